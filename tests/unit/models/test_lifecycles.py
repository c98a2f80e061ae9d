"""The table of retired models, and the sentences that a user reads."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.aws.account import ModelFacts
from bedrock_batch.environment.settings import Settings, settings_from_mapping
from bedrock_batch.models.lifecycles import RETIREMENTS, Lifecycle, lifecycle_of, nearest_successor
from bedrock_batch.models.model_warnings import PRIMARY, find_model_warnings, find_retired_model

DAY = date(2026, 6, 1)
NEXT = DAY + timedelta(1)
SONNET_4 = "anthropic.claude-sonnet-4-20250514-v1:0"
days = st.dates(date(2024, 1, 1), date(2030, 1, 1))


def settings(**given: Any) -> Settings:
    return settings_from_mapping({"primary_model_id": SONNET_4, **given})


def facts(status: str, **dates: date) -> ModelFacts:
    return ModelFacts("arn:aws:bedrock:us-east-1::foundation-model/x", "x", status, (), **dates)


@pytest.mark.parametrize(
    ("lifecycle", "state"),
    [
        (Lifecycle(), "active"),
        (Lifecycle(legacy=NEXT, end_of_life=date(2026, 12, 1)), "active"),
        (Lifecycle(legacy=DAY), "legacy"),
        (Lifecycle(end_of_life=NEXT), "legacy"),
        (Lifecycle(end_of_life=DAY), "ended"),
        (Lifecycle(legacy=DAY, end_of_life=DAY), "ended"),
        (Lifecycle(is_legacy=True), "legacy"),
        (Lifecycle(end_of_life=NEXT, is_legacy=False), "active"),
    ],
)
def test_the_state_changes_on_its_day(lifecycle: Lifecycle, state: str) -> None:
    """A user would be warned a day late, or of a model that is active."""
    assert lifecycle.state(DAY) == state


@given(row=st.sampled_from(RETIREMENTS), day=days)
def test_a_successor_is_active_and_of_the_same_provider(row: Any, day: date) -> None:
    """A user would move to a model that is retired as well."""
    for name in row.names:
        successor = nearest_successor(name, day)
        if successor is not None:
            assert lifecycle_of(successor).state(day) == "active"
            assert successor.partition(".")[0] == name.partition(".")[0]


def test_the_nearest_successor_depends_on_the_day() -> None:
    """A user would be sent to a model that AWS has retired since, or past the nearest one."""
    assert nearest_successor(SONNET_4, DAY) == "anthropic.claude-sonnet-4-6"
    assert nearest_successor("anthropic.claude-opus-4-20250514-v1:0", DAY) == "anthropic.claude-opus-4-1-20250805-v1:0"
    later = nearest_successor("anthropic.claude-opus-4-20250514-v1:0", date(2026, 11, 27))
    assert later == "anthropic.claude-opus-4-5-20251101-v1:0"
    assert nearest_successor("meta.llama3-3-70b-instruct-v1:0", DAY) is None
    assert nearest_successor("a.model-of-nobody", DAY) is None


@pytest.mark.parametrize(
    ("given_id", "successor"),
    [
        (f"us.{SONNET_4}", "us.anthropic.claude-sonnet-4-6"),
        (f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.{SONNET_4}", "eu.anthropic.claude-sonnet-4-6"),
        (SONNET_4, "anthropic.claude-sonnet-4-6"),
        (f"apac.{SONNET_4}", "jp.anthropic.claude-sonnet-4-6"),
    ],
)
def test_the_successor_keeps_the_profile(given_id: str, successor: str) -> None:
    """A user who copies the successor would send the rows to another geography, or be refused."""
    retired = find_retired_model(settings(region_name="ap-northeast-1"), PRIMARY, given_id, DAY)
    assert retired is not None
    assert retired.remedy == f"set BEDROCK_PRIMARY_MODEL_ID to its nearest successor, {successor}"


def test_a_higher_price_is_told_from_its_day_on() -> None:
    """A user would trust an estimate by a price that no longer holds."""
    opus = "us.anthropic.claude-opus-4-1-20250805-v1:0"
    before, after = (find_retired_model(settings(), PRIMARY, opus, date(2026, 10, day)) for day in (7, 8))
    assert "may charge more" not in str(before)
    assert "its provider may charge more since 2026-10-08" in str(after)


def test_the_table_fills_in_what_an_old_botocore_drops() -> None:
    """With an old botocore a user would read that a model is legacy, without the date that matters."""
    retired = find_retired_model(settings(), PRIMARY, SONNET_4, DAY, facts("LEGACY"))
    assert "since 2026-04-14, its end of life is 2026-10-14" in str(retired)


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        (facts("ACTIVE"), "None"),
        (facts("ACTIVE", end_of_life=date(2030, 1, 1)), "None"),
        (facts("LEGACY", end_of_life=date(2030, 1, 1)), "its end of life is 2030-01-01"),
        (facts("LEGACY", end_of_life=DAY), f"reached its end of life on {DAY}"),
    ],
)
def test_the_service_has_the_last_word(stated: ModelFacts, text: str) -> None:
    """A user would act by a date that AWS has moved."""
    assert text in str(find_retired_model(settings(), PRIMARY, SONNET_4, DAY, stated))


@given(day=days)
def test_the_day_is_an_argument(day: date) -> None:
    """A test or a run would depend on the day on which it takes place."""
    warnings = find_model_warnings(settings(), day)
    assert bool(warnings) == (lifecycle_of(SONNET_4).state(day) != "active")
    assert warnings == find_model_warnings(settings(), day)
