"""A run with a deadline: rows that jobs do not answer in time are asked in real time, and no others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from bedrock_batch.commands.plan.build import plan_step
from bedrock_batch.commands.plan.text import render_plan
from bedrock_batch.commands.preparation import StepRequest
from bedrock_batch.environment.container.paths import container_paths
from bedrock_batch.environment.context import RunContext
from bedrock_batch.errors import ConfigurationError
from helpers.batch_runs import StepRun, World, small
from helpers.botocore_models import RECORD_COUNTS
from helpers.run_checks import check_complete, check_paid_once
from local_bedrock.behaviour import JobFault
from local_bedrock.journal import CallInfo

MakeWorld = Callable[..., World]


def plan(world: World, **environ: str) -> dict[str, Any]:
    everything = {**world.environ, **world.local.environment, **environ}
    return plan_step(StepRequest(*container_paths(world.processing), everything, "training"))


def run_until_the_deadline_is_near(world: World, when: Callable[[], bool]) -> StepRun:
    """Run the step with a deadline to which ten minutes are left at the first poll after `when()` holds."""
    passed = [0.0]

    def let_time_pass(call: CallInfo) -> None:
        if call.operation == "GetModelInvocationJob" and call.when == "after" and not passed[0] and when():
            passed[0] = 20 * 3600.0 - 600.0

    def shift(context: RunContext) -> RunContext:
        return replace(context, clock=lambda: context.clock() + passed[0])

    world.local.on_call(let_time_pass)
    run = world.run(speed=50.0, adapt=shift, BEDROCK_DEADLINE_HOURS="20")
    assert run.error is None, run.error
    return run


def test_rows_of_jobs_that_do_not_end_are_asked_before_the_deadline(
    make_world: MakeWorld, reference: dict[str, tuple[Any, ...]]
) -> None:
    """A user who needs the labels in the morning would get them a day later."""
    world = make_world()
    world.local.hold_jobs()
    run = run_until_the_deadline_is_near(world, lambda: len(world.local.jobs) == 3)
    assert run.logged("stop=sent reason=the deadline of the run is near")
    check_complete(run, reference)
    check_paid_once(run)


@RECORD_COUNTS
def test_only_the_stuck_job_is_stopped_and_what_it_answered_is_kept(
    make_world: MakeWorld, reference: dict[str, tuple[Any, ...]]
) -> None:
    """One stuck job would make the whole run late, or its answers would be paid for twice."""
    world = make_world(small(jobs=(JobFault(name="-0001$", ends="NeverEnds", share=0.5),)))
    run = run_until_the_deadline_is_near(world, lambda: sum(job.processed for job in world.local.jobs) == 50)
    assert run.salvaged == {"stopped": 10}
    assert world.local.count("StopModelInvocationJob") == 1
    check_complete(run, reference)
    check_paid_once(run)


def test_a_deadline_that_jobs_keep_changes_nothing(make_world: MakeWorld) -> None:
    """A user would pay for real time although the jobs end in time."""
    world = make_world()
    run = world.answer(BEDROCK_DEADLINE_HOURS="900")
    assert run.salvaged == {}
    assert world.local.count("StopModelInvocationJob") == 0


def test_a_deadline_is_no_part_of_the_run(make_world: MakeWorld) -> None:
    """A user who states a later deadline at the next start would pay for all rows again."""
    world = make_world()
    world.answer(BEDROCK_DEADLINE_HOURS="900")
    later = datetime.now(timezone.utc) + timedelta(days=40)
    run = world.answer(BEDROCK_DEADLINE=later.isoformat())
    check_paid_once(run)


def test_a_deadline_that_has_passed_ends_the_step_before_anything_is_paid_for(make_world: MakeWorld) -> None:
    """A wrong year would move all rows to real time at twice the price."""
    world = make_world()
    run = world.run(BEDROCK_DEADLINE="2025-12-01T06:00Z")
    assert isinstance(run.error, ConfigurationError)
    assert "BEDROCK_DEADLINE=2025-12-01T06:00:00+00:00 has passed" in str(run.error)
    assert world.local.charges.total() == 0


def test_a_deadline_needs_real_time(make_world: MakeWorld) -> None:
    """Jobs would be stopped in time, and their rows be errors."""
    run = make_world().run(BEDROCK_DEADLINE_HOURS="2", BEDROCK_BATCH_FALLBACK="error")
    assert "BEDROCK_DEADLINE_HOURS needs BEDROCK_BATCH_FALLBACK=realtime" in str(run.error)


def test_jobs_of_a_model_without_real_time_are_not_stopped(make_world: MakeWorld) -> None:
    """A user of such a model would get errors in place of answers that are only late."""
    capabilities = '{"realtime": false}'
    world = make_world(BEDROCK_MODEL_CAPABILITIES=capabilities)
    run = world.answer(speed=50.0, BEDROCK_DEADLINE_HOURS="0.001")
    assert run.logged("deadline=missed by")
    assert world.local.count("StopModelInvocationJob") == 0
    assert {row["llm_status"] for row in run.all_rows} == {"success"}


@pytest.mark.parametrize(
    ("hours", "certain", "words"),
    [("30", True, "It is met even if no job ends in time"), ("0.2", False, "It is met only by jobs")],
)
def test_the_plan_says_whether_the_deadline_is_met(
    make_world: MakeWorld, hours: str, certain: bool, words: str
) -> None:
    """A user would learn at the deadline that it could never be met."""
    world = make_world(files={"train/a.csv": 1000})
    found = plan(world, BEDROCK_DEADLINE_HOURS=hours, BEDROCK_CONCURRENCY_MODE="sequential")
    assert found["deadline"]["certain"] is certain
    assert words in " ".join(render_plan(found).split())
    assert plan(world)["deadline"] is None
