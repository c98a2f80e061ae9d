"""A run over twelve thousand records in which everything goes wrong that can go wrong with their jobs."""

from __future__ import annotations

import pytest

from helpers.batch_runs import World, ids_in, jobs_in_order
from helpers.run_checks import check_complete, check_paid_once
from local_bedrock import Behaviour, JobFault, RecordFaults
from local_bedrock.batch.jobs import TERMINAL

# 12,000 records in 7 files over 3 splits and all formats; no file ends where a job ends.
FILES = {
    "train/a.csv": 3100,
    "train/b.csv": 1450,
    "train/c.parquet": 2250,
    "val/d.tsv": 1600,
    "val/e.tsv.gz": 700,
    "test/f.csv": 1000,
    "test/g.parquet": 1900,
}
JOBS = 24
SETTINGS = {
    "BEDROCK_BATCH_THRESHOLD": "1000",
    "BEDROCK_MIN_RECORDS_PER_JOB": "100",
    "BEDROCK_MAX_RECORDS_PER_JOB": "500",
    "BEDROCK_MAX_CONCURRENT_BATCH_JOBS": "4",
    "BEDROCK_MAX_CONCURRENT_WORKERS": "8",
    "BEDROCK_RATE_LIMIT_PER_SECOND": "1000",
}
FAILED, PARTIAL, EXPIRED = "-0003$", "-0007$", "-0012$"
BEHAVIOUR = Behaviour(
    max_concurrent_jobs=4,
    throttle_share={"*": 0.1},
    jobs=(
        JobFault(name=FAILED, ends="Failed", writes_output=False, share=0.0),
        JobFault(name=PARTIAL, ends="PartiallyCompleted", share=0.6),
        JobFault(name=EXPIRED, ends="Expired"),
    ),
    records=RecordFaults(error=0.02, missing=0.01),
)


@pytest.fixture
def undisturbed(tmp_path):
    """The rows of the same inputs in a world in which nothing goes wrong."""
    world = World(tmp_path / "undisturbed", Behaviour(), FILES, **SETTINGS)
    try:
        return world.answer().all_rows
    finally:
        world.close()


def test_every_row_is_answered_and_paid_once_whatever_happens_to_its_job(make_world, undisturbed):
    """Rows, their order, or money would be lost on the first bad day of the service."""
    from helpers.run_checks import answers_of

    world = make_world(BEHAVIOUR, FILES, **SETTINGS)
    in_flight: list[int] = []

    def count(call):
        if call.operation == "CreateModelInvocationJob" and call.when == "before":
            in_flight.append(sum(job.status not in TERMINAL for job in world.local.jobs))

    world.local.on_call(count)
    run = world.answer()
    jobs = jobs_in_order(world)

    assert [len(ids_in(world, job)) for job in jobs] == [500] * JOBS
    assert max(in_flight) <= 3, "with the one that is created there are four"
    expected_ends = {3: "Failed", 7: "PartiallyCompleted", 12: "Expired"}
    assert [job.status for job in jobs] == [expected_ends.get(index, "Completed") for index in range(JOBS)]

    refused = {row_id for job in jobs for row_id in ids_in(world, job, "error")}
    missing = {row_id for job in jobs for row_id in ids_in(world, job, "missing")}
    unprocessed = {row_id for job in jobs for row_id in ids_in(world, job)} - {
        row_id for job in jobs for outcome in job.ids_by_outcome for row_id in ids_in(world, job, outcome)
    }
    assert len(unprocessed) == 500 + 200 + 500
    assert 150 < len(refused) < 300
    assert 60 < len(missing) < 180

    # Every row once, in order, with the answer of the undisturbed run; a 400 stays an error with its reason.
    check_complete(run, answers_of(undisturbed), unanswered=refused)
    # Each paid once, except those that had no answer at all.
    check_paid_once(run, never=refused)
    assert world.realtime_ids == missing | unprocessed

    _check_summary(run, jobs, refused, missing)


def _check_summary(run, jobs, refused, missing):
    """The summary's figures are those of the local Bedrock."""
    summary, world = run.summary, run.world
    assert summary["total_records"] == 12_000
    assert (summary["failed_records"], summary["successful_records"]) == (len(refused), 12_000 - len(refused))
    assert summary["error_kinds"]["batch_error_400"]["records"] == len(refused)
    late = len(missing & ids_in(world, jobs[7]))  # what is missing in a job that ran out of time may have been late
    assert run.salvaged == {
        "missing": len(missing) - late,
        "job_failed": 500,
        "out_of_time": 200 + late,
        "expired": 500,
    }
    told = {job["arn"]: job for job in run.jobs}
    assert {job.arn: job.status for job in jobs} == {arn: job["status"] for arn, job in told.items()}
    for job in jobs:
        lines = sum(job.outcomes[outcome] for outcome in ("answered", "error")) if job.output_keys else 0
        assert told[job.arn]["results"]["lines"] == lines
        assert told[job.arn]["results"]["missing"] == told[job.arn]["records"] - lines
    charged = [fate for job in jobs for fate in job.fates.values() if fate.charged]
    assert summary["sources"]["batch"] == len(charged) + len(refused)
    assert summary["sources"]["realtime"] == len(world.realtime_ids) == sum(world.local.realtime_answers.values())
    assert summary["tokens"]["batch_input_tokens"] == sum(fate.input_tokens for fate in charged)
    assert summary["tokens"]["batch_output_tokens"] == sum(fate.output_tokens for fate in charged)
    per_split = {split["split_name"]: split["total_records"] for split in summary["splits_processed"]}
    assert per_split == {"train": 6800, "val": 2300, "test": 2900}
    files = [file for split in summary["splits_processed"] for file in split["files"]]
    assert {file["file"]: file["total_records"] for file in files} == {
        name.split("/")[1]: count for name, count in FILES.items()
    }
    throttled = [call for call in world.local.calls if call.error == "ThrottlingException"]
    assert len(throttled) > 50
