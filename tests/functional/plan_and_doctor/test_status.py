"""`--status` over HTTP: what has become of a run that does not wait, and what a start would do now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bedrock_batch.commands.preparation import StepRequest
from bedrock_batch.commands.status.build import status_step
from bedrock_batch.commands.status.text import render_status
from bedrock_batch.environment.container.paths import container_paths
from helpers.batch_runs import World, small
from helpers.botocore_models import RECORD_COUNTS
from local_bedrock.behaviour import JobFault
from local_bedrock.journal import CallInfo

MakeWorld = Callable[..., World]
DO_NOT_WAIT = {"BEDROCK_BATCH_WAIT": "false"}


def status(world: World, **environ: str) -> dict[str, Any]:
    """Return the status, and make sure that the text of it can be written and that nothing else was."""
    written: list[str] = []

    def note(call: CallInfo) -> None:
        if call.operation.startswith(("S3.Put", "S3.Delete", "S3.Upload", "Create", "Stop", "Invoke", "Converse")):
            written.append(call.operation)

    world.local.on_call(note)
    everything = {**world.environ, **world.local.environment, **DO_NOT_WAIT, **environ}
    request = StepRequest(*container_paths(world.processing), everything, "training", processing_dir=world.processing)
    found = status_step(request)
    assert written == []
    assert found["run_id"] in render_status(found)
    return found


@RECORD_COUNTS
def test_a_submitted_run_shows_its_jobs_and_what_a_start_would_do(make_world: MakeWorld) -> None:
    """A user would start an instance to learn whether the jobs have ended, or call AWS by hand for each job."""
    world = make_world(small(), BEDROCK_MAX_CONCURRENT_BATCH_JOBS="2")
    world.local.hold_jobs()
    assert status(world)["state"] == "not_begun"
    world.answer(**DO_NOT_WAIT)
    found = status(world)
    assert (found["state"], found["has_owner"], found["waiting_records"]) == ("running", False, 20)
    assert [(job["status"] in ("Submitted", "Validating", "Scheduled", "InProgress")) for job in found["jobs"]] == [
        True
    ] * 2
    assert (found["next_start"]["ends_as"], found["next_start"]["free_slots"]) == ("submitted", 0)
    assert status(world, BEDROCK_BATCH_WAIT="true")["next_start"]["waits"]
    world.local.wait_for_jobs()
    found = status(world)
    assert (found["state"], found["processed_records"]) == ("incomplete", 40)
    assert [found["next_start"][name] for name in ("reads_jobs", "reads_records", "free_slots")] == [2, 40, 2]
    assert "submit jobs for 20 records" in render_status(found)
    world.answer(**DO_NOT_WAIT)
    world.local.wait_for_jobs()
    found = status(world)
    assert (found["state"], found["next_start"]["ends_as"]) == ("ended", "finished")
    cost = found["cost"]["so_far_usd"]
    run = world.answer(**DO_NOT_WAIT)
    assert run.summary["cost"]["total_usd"] == pytest.approx(cost)
    assert status(world)["state"] == "finished"


def test_jobs_that_ask_again_are_shown(make_world: MakeWorld) -> None:
    """A user would see three ended jobs, and not why the run goes on."""
    refusal = "This model does not support assistant message prefill"
    world = make_world(small(jobs=(JobFault(ordinals=(1, 2, 3), all_records_error=refusal),)))
    world.local.hold_jobs()
    world.answer(**DO_NOT_WAIT)
    world.local.wait_for_jobs()
    world.answer(**DO_NOT_WAIT)
    found = status(world)
    assert len(found["jobs"]) == 6
    assert (found["state"], found["next_start"]["running_jobs"]) == ("running", 3)
    assert render_status(found).count("(asks again)") == 3


def test_the_cost_counts_what_was_asked_in_real_time(make_world: MakeWorld) -> None:
    """The cost so far would lack the dearest answers."""
    world = make_world(files={"train/a.csv": 5})
    run = world.answer(BEDROCK_BATCH_MODE="realtime")
    found = status(world, BEDROCK_BATCH_MODE="realtime")
    assert found["cost"]["realtime_usd"] == pytest.approx(run.summary["cost"]["total_usd"])
