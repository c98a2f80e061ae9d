"""Lost results: the count of AWS compared with the lines that could be read."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from bedrock_batch.aws.invocation_jobs import JobState
from bedrock_batch.batch.job_files.files import JobFile
from bedrock_batch.batch.jobs.job import Job, ended_state
from bedrock_batch.batch.jobs.losses import counted_results, find_loss
from bedrock_batch.batch.results.reader import ResultCounts
from bedrock_batch.records import Manifest

ARN = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abc123def456"


def make_job(status: str = "Completed", processed: int | None = 20, manifest: int | None = None) -> Job:
    job_file = JobFile(0, 0, 20, Path("job.jsonl"), array("q", range(20)), array("L", range(20)))
    state = JobState(ARN, "name", status, "", "s3://b/in", "s3://b/out", None, 20, processed, processed, 0, None, None)
    totals = None if manifest is None else Manifest(processed_record_count=manifest)
    return Job(job_file, "name", arn=ARN, state=state, manifest=totals)


@pytest.mark.parametrize(
    ("status", "processed", "manifest", "expected"),
    [
        pytest.param("Completed", 20, 15, 20, id="the job's count comes first"),
        pytest.param("Completed", None, 15, 15, id="no count: the manifest's"),
        pytest.param("Completed", None, None, 0, id="neither"),
        pytest.param("Completed", 25, None, 20, id="more than were sent"),
        pytest.param("PartiallyCompleted", 12, 20, 12, id="out of time"),
        pytest.param("Stopped", 5, None, 5, id="stopped"),
        pytest.param("Expired", 0, None, 0, id="expired"),
        pytest.param("Failed", 20, None, 0, id="failed: it may have written nothing"),
        pytest.param("Failed", 20, 10, 10, id="failed after it had written"),
        pytest.param("Stopping", 20, 20, 0, id="not ended"),
    ],
)
def test_what_a_job_must_have_left(status: str, processed: int | None, manifest: int | None, expected: int) -> None:
    """A run would end over results that never were, or buy those again that were charged."""
    assert counted_results(make_job(status, processed, manifest)) == expected


@pytest.mark.parametrize(
    ("counts", "lost"),
    [
        pytest.param(ResultCounts(lines=20), None, id="all there"),
        pytest.param(ResultCounts(lines=20, unreadable=3, unknown=2, missing=2), None, id="damaged lines are there"),
        pytest.param(ResultCounts(lines=20, repeated=5, missing=5), 5, id="a repeated line is no other result"),
        pytest.param(ResultCounts(lines=0, missing=20), 20, id="nothing there"),
        pytest.param(ResultCounts(lines=15, missing=5), 5, id="a part"),
    ],
)
def test_a_loss_is_told_with_its_number_and_place(counts: ResultCounts, lost: int | None) -> None:
    """A user would not know what to restore, or where."""
    loss = find_loss(make_job(), None, counts)
    assert (loss and loss[0]) == lost
    if loss:
        assert f"{lost} of 20 results" in loss[1]
        assert "s3://b/out/abc123def456/" in loss[1]


def test_a_restart_knows_what_aws_counted() -> None:
    """With the manifest deleted too, the second start would buy what the first refused to buy."""
    job = make_job()
    assert counted_results(Job(job.file, "name", arn=ARN, state=ended_state(job.entry("ended")))) == 20
