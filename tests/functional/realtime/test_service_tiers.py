"""Service tiers over HTTP: sent where the model has them, priced, given up after a refusal, and told afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from helpers.batch_runs import World, small
from helpers.botocore_models import SERVICE_TIERS
from local_bedrock import Behaviour
from local_bedrock.behaviour import RecordFaults

OPEN = "openai.gpt-oss-120b-1:0"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
REALTIME = {"BEDROCK_BATCH_MODE": "realtime", "BEDROCK_PRIMARY_MODEL_ID": OPEN}
MakeWorld = Callable[..., World]
pytestmark = SERVICE_TIERS


def tiers_asked(world: World) -> set[str | None]:
    """Return the tiers that real-time requests have named."""
    calls = [call for call in world.local.calls if call.operation in ("Converse", "InvokeModel")]
    return {tier["type"] if isinstance(tier := call.detail.get("serviceTier"), dict) else tier for call in calls}


def test_flex_costs_what_aws_bills(make_world: MakeWorld) -> None:
    """A user would choose a tier and pay, or be told, the price of another one."""
    world = make_world(**REALTIME)
    run = world.answer(BEDROCK_SERVICE_TIER="flex")
    rows = len(run.all_rows)
    assert run.summary["service_tier"] == {"asked_for": "flex", "served": {"flex": rows}, "notes": []}
    cost, billed = run.summary["cost"], world.local.billed_tokens
    assert {tier for tier, _ in billed} == {"flex"}
    expected = (billed["flex", "input"] * 0.075 + billed["flex", "output"] * 0.3) / 1e6
    assert cost["total_usd"] == pytest.approx(expected, abs=1e-6)
    assert cost["saved_by_tier_usd"] == pytest.approx(expected, abs=1e-6)
    assert cost["saved_by_batch_usd"] == pytest.approx(0, abs=1e-6)


def test_an_answer_is_the_same_whatever_tier_served_it(make_world: MakeWorld) -> None:
    """A user who changes the tier would pay for every answer again."""
    world = make_world(**REALTIME)
    world.answer()
    asked = world.local.count("Converse")
    world.answer(BEDROCK_SERVICE_TIER="priority")
    run = world.answer(BEDROCK_SERVICE_TIER="flex", BEDROCK_VALIDATION_RETRIES="1")
    assert run.summary["cost"]["reused"]["records"] == len(run.all_rows)
    assert world.local.count("Converse") == asked


def test_a_refused_tier_is_given_up_once_for_all(make_world: MakeWorld) -> None:
    """A run would fail, or send every request twice, because an account or region lacks the tier."""
    world = make_world(small(no_service_tiers=(OPEN,)), **REALTIME)
    run = world.answer(BEDROCK_SERVICE_TIER="flex", BEDROCK_MAX_CONCURRENT_WORKERS="4")
    (note,) = run.summary["service_tier"]["notes"]
    assert "service_tier=flex refused: The provided service tier is not supported" in note
    assert sum(note in line for line in run.log) == 1
    assert run.summary["failed_records"] == 0
    assert run.summary["model"]["refusals"] == []
    assert world.local.count("Converse") <= len(run.all_rows) + 5


def test_a_tier_that_the_model_lacks_is_not_sent(make_world: MakeWorld) -> None:
    """The first requests of each run would be refused for a reason that is known beforehand."""
    world = make_world(BEDROCK_BATCH_MODE="realtime", BEDROCK_PRIMARY_MODEL_ID=HAIKU)
    run = world.answer(BEDROCK_SERVICE_TIER="flex")
    assert tiers_asked(world) == {None}
    assert "the claude-4-5 family does not have it" in run.summary["service_tier"]["notes"][0]


def test_reserved_capacity_answers_through_invoke_model(make_world: MakeWorld) -> None:
    """A user would pay by the token for what the reservation pays, or not learn that it was not used."""
    bare = HAIKU.removeprefix("us.")
    world = make_world(
        Behaviour(reserved_models=(bare,)), BEDROCK_PRIMARY_MODEL_ID=HAIKU, BEDROCK_BATCH_MODE="realtime"
    )
    run = world.answer(BEDROCK_SERVICE_TIER="reserved")
    assert run.summary["model"]["api"] == "invoke_model"
    assert run.summary["service_tier"]["served"] == {"reserved": len(run.all_rows)}
    assert run.summary["cost"]["total_usd"] == 0


def test_auto_takes_flex_for_rows_that_nobody_waits_for(make_world: MakeWorld) -> None:
    """Rows that a job left unanswered would cost twice what they need to, or a person would wait for flex."""
    behaviour = small(records=RecordFaults(missing=0.2))
    world = make_world(behaviour, BEDROCK_PRIMARY_MODEL_ID=OPEN, BEDROCK_SERVICE_TIER="auto")
    run = world.answer()
    assert run.summary["batch_processing_used"]
    assert run.summary["service_tier"]["served"] == {"flex": sum(run.salvaged.values())}
    waited = make_world(**REALTIME, BEDROCK_SERVICE_TIER="auto", BEDROCK_ANSWER_REUSE="false")
    waited.answer(BEDROCK_BATCH_RESUME="false")
    assert tiers_asked(waited) == {None}
