"""The times of the next poll and of the next creation."""

from __future__ import annotations

from pathlib import Path

import pytest

from bedrock_batch.aws.invocation_jobs import TERMINAL, JobState
from bedrock_batch.batch.job_files.files import JobFile
from bedrock_batch.batch.jobs.job import Job, creation_wait, next_poll
from bedrock_batch.batch.results.reader import UNANSWERED


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def lowest(low: float, high: float) -> float:
    return low


def highest(low: float, high: float) -> float:
    return high


def test_polls_grow_by_a_fifth_from_the_first_to_the_longest_wait() -> None:
    """The specification's timing would not hold: a short job waits too long, a long one is asked too often."""
    waits = [next_poll(checks, 10.0, 60.0, middle) for checks in range(12)]
    assert waits[:4] == pytest.approx([10.0, 12.0, 14.4, 17.28])
    assert waits[10:] == [60.0, 60.0]
    assert next_poll(10_000_000, 10.0, 60.0, middle) == 60.0


def test_jitter_keeps_jobs_out_of_step() -> None:
    """Twenty jobs of one run would be asked for in the same instant, for ever."""
    assert next_poll(0, 10.0, 60.0, lowest) == pytest.approx(9.0)
    assert next_poll(0, 10.0, 60.0, highest) == pytest.approx(11.0)


def test_creations_wait_longer_after_each_refusal_up_to_five_of_the_longest_polls() -> None:
    """A full quota would be asked for every ten seconds for hours."""
    waits = [creation_wait(failures, 10.0, 60.0, None, highest) for failures in range(8)]
    assert waits == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]
    assert creation_wait(0, 10.0, 60.0, None, lowest) == 5.0
    assert creation_wait(10_000_000, 10.0, 60.0, None, highest) == 300.0


def test_creation_never_comes_back_sooner_than_the_service_asks() -> None:
    """A service that says when to come back would be asked before."""
    assert creation_wait(0, 10.0, 60.0, 120.0, lowest) == 120.0
    assert creation_wait(5, 10.0, 60.0, 120.0, highest) == 300.0


def make_job(status: str | None, tmp_path: Path) -> Job:
    from array import array

    job_file = JobFile(0, 0, 1, tmp_path / "job.jsonl", array("q", [0]), array("L", [0]))
    job = Job(job_file, "name")
    if status is not None:
        job.state = JobState("arn", "name", status, "", "", "", None, None, None, None, None, None, None)
    return job


@pytest.mark.parametrize("status", [None, *sorted(TERMINAL), "InProgress", "Stopping", "Reviewing"])
def test_every_status_has_words_for_a_record_without_a_result(status: str | None, tmp_path: Path) -> None:
    """A new status, or a job that was given up while it ran, would raise where its results are read."""
    assert make_job(status, tmp_path).unanswered in UNANSWERED


def test_results_lie_in_the_folder_of_the_job_id() -> None:
    """The results of another job under the same path would be read as this one's."""
    arn = "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:model-invocation-job/abc123def456"
    state = JobState(arn, "n", "Completed", "", "", "s3://b/out/run/", None, None, None, None, None, None, None)
    assert state.results_uri == "s3://b/out/run/abc123def456/"
