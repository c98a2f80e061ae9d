"""Monitoring a job on a clock that the test moves: how long the run waits, and when it gives up."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bedrock_batch.batch.job_files.files import JobFile
from bedrock_batch.batch.jobs.job import Job
from bedrock_batch.batch.jobs.monitor import STOP_SECONDS, TOLERATED_POLL_FAILURES, JobMonitor
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.errors import RunError
from helpers.aws_clients import clients_at
from helpers.scripted_http import Reply, ScriptedServer, failure, scripted_server

ARN = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abc123def456"


class Watched:
    """A job that is polled through HTTP, and the clock."""

    def __init__(self, server: ScriptedServer, deadline: float | None) -> None:
        self.now = 1000.0
        self.server = server
        settings = settings_from_mapping({"primary_model_id": "us.anthropic.claude-sonnet-4-20250514-v1:0"})
        context = RunContext(
            clients_at(server.url),
            clock=lambda: self.now,
            uniform=lambda low, high: (low + high) / 2,
            deadline=deadline,
        )
        self.watch = JobMonitor(settings, context)
        self.job = Job(JobFile(0, 0, 1, Path("job.jsonl"), array("q", [0]), array("L", [0])), "name", arn=ARN)
        self.watch.begin(self.job)


@contextmanager
def watching(*replies: Reply, deadline: float | None = None) -> Iterator[Watched]:
    with scripted_server(*replies) as server:
        yield Watched(server, deadline)


def state(status: str) -> Reply:
    place = {"s3OutputDataConfig": {"s3Uri": "s3://bucket/out"}}
    return Reply(body={"jobArn": ARN, "status": status, "outputDataConfig": place})


def test_each_look_is_later_than_the_one_before() -> None:
    """A job of hours would be looked at every ten seconds, or one of minutes every minute."""
    with watching(state("InProgress")) as watched:
        waits = []
        for _ in range(12):
            waits.append(watched.job.next_poll - watched.now)
            watched.now = watched.job.next_poll
            assert not watched.watch.poll(watched.job)
    assert waits[:3] == pytest.approx([10.0, 12.0, 14.4])
    assert waits[-1] == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("deadline", "patience"),
    [(None, STOP_SECONDS), (1000.0 + 10_000.0, STOP_SECONDS), (1000.0 + 300.0, 100.0), (900.0, 0.0)],
    ids=["no deadline", "far", "near", "passed"],
)
def test_a_job_that_does_not_stop_is_waited_for_only_while_there_is_time(
    deadline: float | None, patience: float
) -> None:
    """The container would be killed while it waits for a job that it has given up, with nothing written."""
    with watching(Reply(), state("Stopping"), deadline=deadline) as watched:
        watched.watch.stop(watched.job, "no time")
        watched.now += patience - 1.0
        if patience > 1.0:
            assert not watched.watch.poll(watched.job)
        watched.now += 2.0
        with pytest.raises(RunError, match="it may still answer its records"):
            watched.watch.poll(watched.job)


def test_a_job_is_asked_to_stop_once() -> None:
    """Each look at the clock would send another stop."""
    with watching(Reply()) as watched:
        watched.watch.stop(watched.job, "no time")
        watched.watch.stop(watched.job, "no time")
        assert len(watched.server.requests) == 1


def test_failed_looks_in_a_row_are_tolerated_up_to_a_count() -> None:
    """A moment without the control plane would lose a paid job, or a lost one would be waited for without end."""
    denied = failure(403, "AccessDeniedException", "no")
    with watching(*[denied] * TOLERATED_POLL_FAILURES, state("InProgress"), denied) as watched:
        for _ in range(TOLERATED_POLL_FAILURES + 1 + TOLERATED_POLL_FAILURES):
            watched.now = watched.job.next_poll
            assert not watched.watch.poll(watched.job)
        with pytest.raises(RunError, match="could not be read 11 times in a row"):
            watched.watch.poll(watched.job)


def test_a_look_that_is_refused_with_a_time_is_repeated_no_sooner() -> None:
    """A busy service that says when to come back would be asked before."""
    with watching(failure(429, "ThrottlingException", "busy", **{"Retry-After": "90"})) as watched:
        watched.watch.poll(watched.job)
        assert watched.job.next_poll == watched.now + 90.0
