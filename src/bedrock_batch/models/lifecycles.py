"""The retirement of models, as data: legacy periods, ends of life and successors.

`docs/models.md` gives the source of every date. What the service says takes precedence: see `models.model_warnings`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from bedrock_batch.families import model_name

CHECKED = date(2026, 11, 27)
"""The day on which the table was compared with its sources."""

State = Literal["active", "legacy", "ended"]


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The dates of a model; None for a date that is not known.

    A model without any date is active: AWS publishes an end of life when the legacy period begins
    (https://docs.aws.amazon.com/bedrock/latest/userguide/model-lifecycle.html).
    """

    legacy: date | None = None
    extended_access: date | None = None
    """From this day on the provider may charge more."""
    end_of_life: date | None = None
    """From this day on AWS refuses requests."""
    is_legacy: bool | None = None
    """Whether the service says that the model is in its legacy period now; None if the dates decide."""

    def state(self, today: date) -> State:
        """Return the state of the model on a day."""
        if self.end_of_life is not None and self.end_of_life <= today:
            return "ended"
        is_legacy = self.is_legacy
        if is_legacy is None:
            is_legacy = self.end_of_life is not None if self.legacy is None else self.legacy <= today
        return "legacy" if is_legacy else "active"


ACTIVE = Lifecycle()


@dataclass(frozen=True, slots=True)
class Retirement:
    """A row of the table: the names of its models, as `families.model_name` gives them, and their lifecycle.

    `successor` is the id of the next model of the same line, without a profile prefix; None if there is none.
    """

    names: tuple[str, ...]
    lifecycle: Lifecycle
    successor: str | None = None


def _ends(year: int, month: int, day: int) -> Lifecycle:
    return Lifecycle(end_of_life=date(year, month, day))


RETIREMENTS: tuple[Retirement, ...] = (
    Retirement(("anthropic.claude-3-haiku",), _ends(2026, 9, 10), "anthropic.claude-haiku-4-5-20251001-v1:0"),
    Retirement(("anthropic.claude-3-5-haiku",), _ends(2026, 6, 19), "anthropic.claude-haiku-4-5-20251001-v1:0"),
    Retirement(
        ("anthropic.claude-3-sonnet", "anthropic.claude-3-5-sonnet"),
        _ends(2026, 7, 30),
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    Retirement(("anthropic.claude-3-7-sonnet",), _ends(2026, 4, 28), "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    Retirement(
        ("anthropic.claude-sonnet-4",),
        Lifecycle(date(2026, 4, 14), None, date(2026, 10, 14)),
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    Retirement(("anthropic.claude-sonnet-4-5",), _ends(2027, 4, 8), "anthropic.claude-sonnet-4-6"),
    Retirement(("anthropic.claude-opus-4",), _ends(2026, 5, 31), "anthropic.claude-opus-4-1-20250805-v1:0"),
    Retirement(
        ("anthropic.claude-opus-4-1",),
        Lifecycle(date(2026, 7, 8), date(2026, 10, 8), date(2027, 1, 8)),
        "anthropic.claude-opus-4-5-20251101-v1:0",
    ),
    Retirement(("amazon.nova-premier",), _ends(2026, 9, 14), "amazon.nova-2-lite-v1:0"),
    Retirement(
        (
            "meta.llama3-1-405b-instruct",
            "meta.llama3-2-1b-instruct",
            "meta.llama3-2-3b-instruct",
            "meta.llama3-2-11b-instruct",
            "meta.llama3-2-90b-instruct",
        ),
        _ends(2026, 7, 7),
    ),
    Retirement(
        (
            "meta.llama3-8b-instruct",
            "meta.llama3-70b-instruct",
            "meta.llama3-1-8b-instruct",
            "meta.llama3-1-70b-instruct",
            "meta.llama3-3-70b-instruct",
            "meta.llama4-maverick-17b-instruct",
            "meta.llama4-scout-17b-instruct",
        ),
        _ends(2027, 3, 30),
    ),
    Retirement(("deepseek.r1", "deepseek.v3"), _ends(2027, 3, 30), "deepseek.v3.2"),
    Retirement(
        ("mistral.mistral-7b-instruct", "mistral.mixtral-8x7b-instruct", "mistral.devstral-2-123b"),
        _ends(2027, 3, 30),
    ),
    Retirement(("qwen.qwen3-coder-30b-a3b", "qwen.qwen3-coder-480b-a35b"), _ends(2027, 3, 30), "qwen.qwen3-coder-next"),
)

_BY_NAME = {name: row for row in RETIREMENTS for name in row.names}


def lifecycle_of(model_id: str) -> Lifecycle:
    """Return the lifecycle of the model that an id, profile id or ARN names, as the table has it."""
    row = _BY_NAME.get(model_name(model_id))
    return row.lifecycle if row else ACTIVE


def nearest_successor(model_id: str, today: date) -> str | None:
    """Return the id of the next model of the line that is active on a day, None if the table has none."""
    return next((each for each in _line_after(model_id) if lifecycle_of(each).state(today) == "active"), None)


def _line_after(model_id: str) -> Iterator[str]:
    row = _BY_NAME.get(model_name(model_id))
    while row is not None and row.successor is not None:
        yield row.successor
        row = _BY_NAME.get(model_name(row.successor))
