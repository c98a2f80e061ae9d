"""The cost of a run over HTTP: reported in the summary, and limited before and during the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bedrock_batch.errors import ConfigurationError, RunError
from helpers.batch_runs import World, small
from helpers.run_checks import check_paid_once
from local_bedrock import Behaviour
from local_bedrock.behaviour import AnswerFaults, JobFault

# Answers cost far more than prompts here, so that the length of the answers alone decides.
DEAR = '{"us.anthropic.claude-sonnet-4-20250514-v1:0": {"input": 0, "output": 1000}}'
FILES = {"train/a.csv": 40, "train/b.csv": 40, "val/c.tsv": 40}


# The local Bedrock answers by a longer schema than this, so that real answers cost more than their estimate.
SHORT_SCHEMA = '{"type": "object", "properties": {"confidence": {"type": "number"}}, "required": ["confidence"]}'


def short_world(make_world: Callable[..., World], behaviour: Behaviour | None = None) -> World:
    """Return a world in which the step knows only a part of the schema of the answers."""
    world = make_world(behaviour, files=FILES)
    (schema,) = (world.processing / "input" / "schema").iterdir()
    schema.write_text(SHORT_SCHEMA, encoding="utf-8")
    return world


def test_the_summary_reports_cost_and_savings(make_world: Callable[..., World]) -> None:
    """A user could not account for a run, or would account for unused tokens."""
    run = make_world().answer()
    cost = run.summary["cost"]
    assert cost["batch_usd"] == cost["total_usd"] > 0
    assert cost["all_on_demand_usd"] == pytest.approx(2 * cost["total_usd"], abs=1e-5)
    assert cost["saved_by_batch_usd"] == pytest.approx(cost["total_usd"], abs=1e-5)
    (usage,) = cost["usage"]
    assert usage["records"] == len(run.all_rows)
    for name in ("input_tokens", "output_tokens"):
        assert usage[name] == sum(int(row[f"llm_{name}"]) for row in run.all_rows)
        # The local Bedrock counts JSON by a quarter of its characters, which is less than any model's tokenizer does.
        assert cost["estimate"][name]["low"] / 2 <= usage[name] <= cost["estimate"][name]["high"]
    assert cost["total_usd"] <= cost["estimate"]["usd"]["batch"]["high"]


def test_validation_retries_are_paid_in_their_own_mode(make_world: Callable[..., World]) -> None:
    """The real-time fallback would appear at the price of batch."""
    behaviour = Behaviour(min_records_per_job=5, answers=AnswerFaults(invalid=0.3))
    cost = make_world(behaviour).answer(BEDROCK_VALIDATION_RETRIES="1").summary["cost"]
    assert {row["source"] for row in cost["usage"]} == {"batch", "realtime"}
    assert cost["on_demand_usd"] > 0
    assert cost["total_usd"] == pytest.approx(cost["batch_usd"] + cost["on_demand_usd"], abs=1e-5)


def test_a_missing_price_is_reported_and_not_guessed(make_world: Callable[..., World]) -> None:
    """A user would trust a cost of zero."""
    run = make_world().answer(BEDROCK_PRIMARY_MODEL_ID="qwen.qwen3-14b-v1:0", BEDROCK_BATCH_MODE="realtime")
    cost = run.summary["cost"]
    assert cost["unpriced_models"] == ["qwen.qwen3-14b-v1:0"]
    assert cost["usage"][0]["input_tokens"] > 0
    assert cost["estimate"]["usd"] is None


def test_a_run_above_its_limit_is_refused_before_the_model_is_asked(make_world: Callable[..., World]) -> None:
    """A run would cost more than the user allows."""
    world = make_world()
    run = world.run(BEDROCK_MAX_COST_USD="0.0001")
    assert isinstance(run.error, ConfigurationError)
    assert "above BEDROCK_MAX_COST_USD=0.0001" in str(run.error)
    assert {call.operation.split(".")[0] for call in world.local.calls} == {"S3"}  # ledger and answer store


def test_the_limit_counts_only_what_is_asked(make_world: Callable[..., World]) -> None:
    """A run whose answers are known would be refused for a cost that does not arise."""
    world = make_world(BEDROCK_BATCH_MODE="realtime")
    world.answer()
    run = world.answer(BEDROCK_MAX_COST_USD="0.0001", BEDROCK_VALIDATION_RETRIES="1")
    assert run.summary["cost"]["total_usd"] == 0
    assert run.summary["cost"]["reused"]["records"] == 60
    assert run.summary["cost"]["reused"]["usd_not_spent"] > 0


def test_a_limit_without_a_price_is_refused(make_world: Callable[..., World]) -> None:
    """A run would silently ignore the limit."""
    world = make_world()
    run = world.run(BEDROCK_MAX_COST_USD="5", BEDROCK_FALLBACK_MODEL_ID="x.unknown")
    assert isinstance(run.error, ConfigurationError)
    assert "no price is known for x.unknown" in str(run.error)


@pytest.mark.parametrize("mode", ["batch", "realtime"])
def test_a_run_stops_at_its_limit_and_continues_with_a_higher_one(make_world: Callable[..., World], mode: str) -> None:
    """A run would exceed its limit, or paid answers would be lost or paid for again."""
    settings = {
        "BEDROCK_PRICES": DEAR,
        "BEDROCK_BATCH_MODE": mode,
        "BEDROCK_MAX_CONCURRENT_BATCH_JOBS": "1",
        "BEDROCK_CONCURRENCY_MODE": "sequential",
    }
    whole = short_world(make_world).answer(**settings, BEDROCK_BATCH_RESUME="false").summary["cost"]["total_usd"]
    world = short_world(make_world)
    stopped = world.run(**settings, BEDROCK_MAX_COST_USD=f"{whole * 0.75:.6f}")
    assert isinstance(stopped.error, RunError), stopped.error
    assert "no further record was asked" in str(stopped.error)
    rest = [row for row in stopped.all_rows if row["llm_status"] == "error"]
    assert 0 < len(rest) < 120
    assert all(row["llm_error"].startswith("not asked: the run has cost") for row in rest)
    run = world.answer(**settings, BEDROCK_MAX_COST_USD=f"{whole * 3:.6f}")
    assert run.summary["failed_records"] == 0
    check_paid_once(run)
    assert run.summary["cost"]["total_usd"] == pytest.approx(whole)


def test_the_limit_holds_over_starts_that_do_not_wait(make_world: Callable[..., World]) -> None:
    """Each start would count only what it reads itself, and the run would cost several times its limit."""
    settings = {"BEDROCK_PRICES": DEAR, "BEDROCK_MAX_CONCURRENT_BATCH_JOBS": "2"}
    whole = short_world(make_world).answer(**settings, BEDROCK_BATCH_RESUME="false").summary["cost"]["total_usd"]
    world = short_world(make_world)
    world.local.hold_jobs()
    settings |= {"BEDROCK_MAX_COST_USD": f"{whole * 0.75:.6f}", "BEDROCK_BATCH_WAIT": "false"}
    runs = [world.run(**settings)]
    while runs[-1].error is None and len(runs) < 5:
        assert runs[-1].summary["state"] == "submitted"
        world.local.wait_for_jobs()
        runs.append(world.run(**settings))
    assert "no further record was asked" in str(runs[-1].error)
    assert len(world.local.jobs) == 4
    assert runs[1].summary["cost"]["total_usd"] == pytest.approx(whole / 3, rel=0.2)
    assert [row["llm_status"] for row in runs[-1].all_rows].count("success") == 80


def test_the_limit_holds_for_what_a_job_leaves_to_real_time(make_world: Callable[..., World]) -> None:
    """One failed job would be asked in real time, at twice the price and at any cost."""
    world = make_world(small(jobs=(JobFault(ends="Stopped", share=0.0),)), files={"train/a.csv": 40})
    prices = '{"anthropic.claude-sonnet-4-20250514-v1:0": {"input": 3000, "output": 15000, "batch_input": 0.01}}'
    cheap_in_batch = prices.replace("}}", ', "batch_output": 0.01}}')
    settings = {
        "BEDROCK_PRICES": cheap_in_batch,
        "BEDROCK_MAX_RECORDS_PER_JOB": "40",
        "BEDROCK_MAX_CONCURRENT_WORKERS": "2",
    }
    run = world.run(BEDROCK_MAX_COST_USD="0.5", **settings)
    assert "BEDROCK_MAX_COST_USD" in str(run.error)
    assert 0 < world.local.count("InvokeModel") < 20
    rest = world.answer(**settings)
    assert {row["llm_status"] for row in rest.all_rows} == {"success"}
    assert max(world.charges.values()) == 1
