"""The lifecycle of models as data: launch, legacy period, extended access and end of life.

Sources: AWS's model cards and its page on the lifecycle of models (copies of 2026), and public reports that quote them.
A model that is missing here is active, and its dates are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

# AWS announces an end of life at least half a year ahead.
NOTICE = timedelta(days=183)


@dataclass(frozen=True, slots=True)
class Dates:
    """The dates of a model, each `YYYY-MM-DD` or empty."""

    launch: str = ""
    legacy: str = ""
    extended_access: str = ""
    end_of_life: str = ""


_DATES: Mapping[str, Dates] = {
    "anthropic.claude-3-haiku-20240307-v1:0": Dates("2024-03-13", end_of_life="2026-09-10"),
    "anthropic.claude-3-5-haiku-20241022-v1:0": Dates("2024-11-04", end_of_life="2026-06-19"),
    "anthropic.claude-3-5-sonnet-20240620-v1:0": Dates(end_of_life="2026-07-30"),
    "anthropic.claude-3-5-sonnet-20241022-v2:0": Dates(end_of_life="2026-07-30"),
    "anthropic.claude-3-7-sonnet-20250219-v1:0": Dates(end_of_life="2026-04-28"),
    "anthropic.claude-sonnet-4-20250514-v1:0": Dates("", "2026-04-14", "", "2026-10-14"),
    "anthropic.claude-sonnet-4-5-20250929-v1:0": Dates(end_of_life="2027-04-08"),
    "anthropic.claude-opus-4-20250514-v1:0": Dates(end_of_life="2026-05-31"),
    "anthropic.claude-opus-4-1-20250805-v1:0": Dates("", "2026-07-08", "2026-10-08", "2027-01-08"),
    "anthropic.claude-haiku-4-5-20251001-v1:0": Dates("2025-10-16"),
    "anthropic.claude-opus-4-6-v1": Dates("2026-02-05"),
    "anthropic.claude-sonnet-4-6": Dates("2026-02-17"),
    "anthropic.claude-opus-4-7": Dates("2026-04-16"),
    "anthropic.claude-opus-4-8": Dates("2026-05-28"),
    "anthropic.claude-sonnet-5": Dates("2026-06-30"),
    "anthropic.claude-opus-5": Dates("2026-07-24"),
    "amazon.nova-premier-v1:0": Dates(end_of_life="2026-09-14"),
    "meta.llama3-3-70b-instruct-v1:0": Dates(end_of_life="2027-03-30"),
    "deepseek.v3-v1:0": Dates(end_of_life="2027-03-30"),
    "deepseek.v3.2": Dates("2025-12-01"),
}


def describe_lifecycle(model_id: str, now: datetime, *, is_legacy: bool, end_of_life: str = "") -> dict[str, Any]:
    """Return the member `modelLifecycle` of GetFoundationModel; `end_of_life` replaces the dates of the table.

    AWS has two values of the status, and omits a date that is not set
    (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_FoundationModelLifecycle.html).
    """
    known = Dates(end_of_life=end_of_life) if end_of_life else _DATES.get(model_id, Dates())
    end = _moment(known.end_of_life)
    legacy = _moment(known.legacy) or (end - NOTICE if end else None)
    moments = {
        "startOfLifeTime": _moment(known.launch),
        "legacyTime": legacy,
        "publicExtendedAccessTime": _moment(known.extended_access),
        "endOfLifeTime": end,
    }
    status = "LEGACY" if is_legacy or (legacy is not None and legacy <= now) else "ACTIVE"
    return {"status": status, **{name: moment for name, moment in moments.items() if moment is not None}}


def has_ended(end_of_life: str, now: datetime) -> bool:
    """Return whether a day, `YYYY-MM-DD`, has come."""
    moment = _moment(end_of_life)
    return moment is not None and moment <= now


def _moment(day: str) -> datetime | None:
    return datetime.fromisoformat(day).replace(tzinfo=timezone.utc) if day else None
