"""BEDROCK_BATCH_WAIT=false: a start submits what fits and ends, and later starts of the same run collect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bedrock_batch_processing
from helpers.batch_runs import StepRun, World, sent_ids, small
from helpers.run_checks import answers_of
from local_bedrock.behaviour import JobFault
from local_bedrock.journal import CallInfo

MakeWorld = Callable[..., World]


def start(world: World, **environ: str) -> StepRun:
    """Start the step without a wait. Its jobs end while `wait_for_jobs` waits."""
    world.local.hold_jobs()
    return world.answer(BEDROCK_BATCH_WAIT="false", **environ)


def left(run: StepRun) -> tuple[int, ...]:
    """Return how many jobs run with how many records, how many have ended, and how many records wait for a slot."""
    assert run.summary["state"] == "submitted"
    found = run.summary["submission"]
    return tuple(found[name] for name in ("running_jobs", "running_records", "ended_jobs", "waiting_records"))


def state_file(world: World) -> dict[str, Any]:
    path = world.processing / "output" / "summary" / "processing_state_training.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert (path.parent / found["summary"]).is_file()
    return found


def note_reads(world: World) -> list[str]:
    """Return a list that grows by the details of each object that is read from now on."""
    seen: list[str] = []

    def note(call: CallInfo) -> None:
        if call.operation == "S3.GetObject" and call.when == "after":
            seen.append(str(call.detail))

    world.local.on_call(note)
    return seen


def test_a_start_submits_and_a_later_one_collects(make_world: MakeWorld, reference: dict[str, tuple[Any, ...]]) -> None:
    """A user would pay for an instance that waits a day, or find nothing when coming back."""
    world = make_world()
    run = start(world)
    assert left(run) == (3, 60, 0, 0)
    assert (run.all_rows, run.summary["splits_processed"], len(run.jobs)) == ([], [], 3)
    assert state_file(world)["state"] == "submitted"
    again = start(world)
    assert left(again) == (3, 60, 0, 0)
    assert not again.logged("has an owner")
    world.local.wait_for_jobs()
    run = start(world)
    assert run.summary["state"] == state_file(world)["state"] == "finished"
    assert run.summary["submission"] is None
    assert answers_of(run.all_rows) == reference
    assert len(world.local.jobs) == 3
    assert set(world.charges.values()) == {1}


def test_more_jobs_than_slots_are_submitted_by_later_starts(
    make_world: MakeWorld, reference: dict[str, tuple[Any, ...]]
) -> None:
    """A run of more jobs than slots would end without the rest, or wait for slots on a paid instance."""
    world = make_world(small(), BEDROCK_MAX_CONCURRENT_BATCH_JOBS="2")
    run = start(world)
    assert left(run) == (2, 40, 0, 20)
    assert run.logged("20 records are not submitted yet")
    world.local.wait_for_jobs()
    run = start(world)
    assert left(run) == (1, 20, 2, 0)
    reads = note_reads(world)
    assert left(start(world)) == (1, 20, 2, 0)
    assert [read for read in reads if ".jsonl.out" in read] == []
    world.local.wait_for_jobs()
    assert answers_of(start(world).all_rows) == reference
    # Those of earlier starts once; the one that has just ended twice: once it is found to have ended, and at the end.
    assert len([read for read in reads if ".jsonl.out" in read]) == 4
    assert set(world.charges.values()) == {1}


def test_the_quota_of_the_account_ends_the_submission(
    make_world: MakeWorld, reference: dict[str, tuple[Any, ...]]
) -> None:
    """A run would wait hours for a slot that other users of the account hold, although it was told not to wait."""
    world = make_world(small(max_concurrent_jobs=2))
    run = start(world)
    assert left(run) == (2, 40, 0, 20)
    (refused,) = (job for job in run.jobs if job["arn"] is None)
    assert "AWS has no room" in refused["message"]
    world.local.wait_for_jobs()
    assert left(start(world)) == (1, 20, 2, 0)
    world.local.wait_for_jobs()
    assert answers_of(start(world).all_rows) == reference


def test_outputs_of_an_earlier_run_stay(make_world: MakeWorld) -> None:
    """A submission would take away the outputs that the next step still reads."""
    world = make_world()
    world.answer(BEDROCK_BATCH_MODE="realtime")
    folder = Path(world.processing / "output" / "data")
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    assert before
    assert left(start(world, BEDROCK_ANSWER_REUSE="false", BEDROCK_MAX_TOKENS="300"))[0] == 3
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def test_jobs_of_another_output_mode_are_left_too(make_world: MakeWorld, reference: dict[str, tuple[Any, ...]]) -> None:
    """A refused field would make the collecting start wait for a day after all."""
    refusal = "This model does not support assistant message prefill"
    world = make_world(small(jobs=(JobFault(ordinals=(1, 2, 3), all_records_error=refusal),)))
    assert left(start(world))[3] == 0
    world.local.wait_for_jobs()
    run = start(world)
    assert left(run) == (3, 60, 3, 0)
    assert not run.all_rows
    assert left(start(world)) == (3, 60, 3, 0)
    world.local.wait_for_jobs()
    run = start(world)
    assert {key: row[:2] for key, row in answers_of(run.all_rows).items()}.keys() == reference.keys()
    assert {row["llm_status"] for row in run.all_rows} == {"success"}
    assert len(world.local.jobs) == 6


def test_records_that_share_a_prompt_are_counted_once(make_world: MakeWorld) -> None:
    """The summary would promise records that nobody submits, and the run would never end."""
    world = make_world(small(), files={"train/a.csv": 30}, BEDROCK_DEDUPLICATE_PROMPTS="true")
    run = start(world)
    assert left(run)[3] == 0
    world.local.wait_for_jobs()
    assert start(world).summary["state"] == "finished"


def test_a_run_that_another_run_holds_up_is_left(make_world: MakeWorld) -> None:
    """A run whose questions are in the jobs of another one would wait for them."""
    world = make_world()
    assert left(start(world))[0] == 3
    (world.processing / "input" / "data" / "train" / "b.csv").unlink()
    run = start(world)
    assert run.summary["state"] == "submitted"
    assert run.summary["submission"]["attached_records"] == 50
    world.local.wait_for_jobs()
    assert len(start(world).all_rows) == 50
    assert len(world.local.jobs) == 3


def test_jobs_that_end_with_the_process_are_not_left(make_world: MakeWorld) -> None:
    """A user who tries it with --local would come back to jobs that are gone."""
    world = make_world()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**world.environ, "BEDROCK_BATCH_WAIT": "false"}.items():
            patch.setenv(name, value)
        arguments = ["--job_type", "training", "--local", "--processing-dir", str(world.processing)]
        assert bedrock_batch_processing.run(arguments) == 2
    assert world.local.jobs == []


def test_real_time_runs_do_not_change(make_world: MakeWorld) -> None:
    """A user who sets the variable for all runs would find small ones without outputs, or not know why they have."""
    world = make_world(files={"train/a.csv": 5})
    run = start(world)
    assert (run.summary["state"], len(run.all_rows)) == ("finished", 5)
    assert run.logged("BEDROCK_BATCH_WAIT=false changes nothing here")
    assert [sent_ids(world, job) for job in world.local.jobs] == []
