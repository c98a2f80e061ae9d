"""Polling jobs until they end, stopping them in time, and leaving them when the run is interrupted."""

from __future__ import annotations

import signal
import threading

import pytest

from bedrock_batch.batch.jobs import monitor
from bedrock_batch.errors import RunError
from helpers.batch_runs import ids_in, jobs_in_order, small
from helpers.run_checks import check_complete, check_paid_once
from local_bedrock import CallFault, JobFault, Phases
from local_bedrock.batch.jobs import TERMINAL

GET = "GetModelInvocationJob"
STOP = "StopModelInvocationJob"
SLOW = Phases(in_progress=3600.0)


@pytest.mark.parametrize(
    "fault",
    [
        CallFault(GET, calls=(1, 2, 4, 5, 7, 8, 9)),
        CallFault(GET, calls=(1, 3, 4), code="InternalServerException", message="internal"),
        CallFault(GET, calls=(1, 3, 4), drop=True),
        CallFault(GET, calls=(2,), code="AccessDeniedException", message="not for a moment"),
    ],
    ids=["throttled", "internal error", "connection lost", "denied once"],
)
def test_failed_polls_are_tolerated(make_world, reference, fault):
    """One failed look at a job would throw away the job, which runs on and is charged."""
    world = make_world(small(calls=(fault,)))
    run = world.answer()
    assert [job["status"] for job in run.jobs] == ["Completed"] * 3
    assert run.logged("poll=failed times=1")
    check_complete(run, reference)
    check_paid_once(run)


def test_job_that_can_never_be_looked_at_ends_the_run_and_is_not_paid_again(make_world, reference):
    """A job that runs unseen would be asked again in real time: paid twice."""
    world = make_world(small(calls=(CallFault(GET, code="AccessDeniedException", message="no"),)))
    run = world.run()
    assert isinstance(run.error, RunError)
    assert "bedrock:GetModelInvocationJob" in str(run.error)
    assert world.realtime_ids == set()


def test_unknown_status_is_a_job_that_still_runs(make_world, reference):
    """A status that AWS adds would be taken for an end, and the job's answers be bought again."""
    world = make_world(files={"train/a.csv": 20})
    seen = []

    def rename(call):
        if call.operation == GET and call.when == "before" and len(seen) < 3:
            job = world.local.jobs[0]
            if job.status not in TERMINAL:
                seen.append(job.status)
                job.status = "Reviewing"

    world.local.on_call(rename)
    run = world.answer()
    assert seen
    assert run.logged("status=Reviewing")
    assert [job["status"] for job in run.jobs] == ["Completed"]
    check_paid_once(run)


def test_run_falls_back_while_there_is_time_left(make_world, reference):
    """A container that is killed while it waits for a batch job would leave no output at all."""
    world = make_world(small(jobs=(JobFault(name="-0001$", ends="NeverStarts"),)))
    run = world.run_short_of_time(lambda: sum(job.over.is_set() for job in world.local.jobs) == 2)
    assert run.error is None
    stuck = jobs_in_order(world)[1]
    assert stuck.status == "Stopped"
    assert run.logged("stop=sent reason=the time of this container runs out")
    assert world.realtime_ids == ids_in(world, stuck)
    assert run.salvaged == {"stopped": 20}
    check_complete(run, reference)
    check_paid_once(run)


def test_job_given_up_in_time_keeps_what_it_had_answered(make_world, reference):
    """The answers of a job that is stopped are charged: asking again would pay for them twice."""
    slow = JobFault(phases=Phases(in_progress=20.0))
    world = make_world(small(jobs=(slow,)), files={"train/a.csv": 20})
    run = world.run_short_of_time(lambda: world.local.jobs[0].processed > 3)
    assert run.error is None
    (job,) = world.local.jobs
    answered = ids_in(world, job, "answered")
    assert 0 < len(answered) < 20
    assert world.realtime_ids == ids_in(world, job) - answered
    assert [row["id"] for row in run.all_rows] == [row["id"] for row in world.inputs]
    check_paid_once(run)


def test_no_job_is_begun_when_the_time_is_short(make_world, reference):
    """A job that cannot end in time would be paid for and asked again."""
    world = make_world()
    run = world.run(seconds_left=250.0)
    assert run.error is None
    assert world.local.jobs == []
    assert run.salvaged == {"not_submitted": 60}
    check_complete(run, reference)
    check_paid_once(run)


def test_job_that_outlives_its_timeout_is_stopped_and_its_rows_are_asked(make_world, monkeypatch):
    """A run would wait for ever for a job that AWS forgot."""
    # On the clock of this run the usual ten minutes would be three milliseconds.
    monkeypatch.setattr(monitor, "STOP_SECONDS", 600_000.0)
    world = make_world(small(jobs=(JobFault(ends="NeverStarts"),)), files={"train/a.csv": 20})
    run = world.run(speed=200_000.0)
    assert run.error is None
    assert world.local.count(STOP) == 1
    assert run.logged("it ran past its timeout of 24 hours")
    assert len(world.realtime_ids) == 20
    check_paid_once(run)


@pytest.mark.parametrize("resume", ["true", "false"])
def test_interrupt_leaves_jobs_running_or_stops_them(make_world, reference, resume):
    """Jobs of a run that nobody continues would be charged for nothing; those of one that is continued, be lost."""
    world = make_world(small(phases=SLOW), BEDROCK_BATCH_RESUME=resume)
    main_thread = threading.main_thread()
    assert main_thread.ident is not None

    def interrupt(call):
        if call.operation == GET and call.operation_ordinal == 4 and call.when == "after":
            signal.pthread_kill(main_thread.ident, signal.SIGINT)

    world.local.on_call(interrupt)
    run = world.run()
    assert isinstance(run.error, KeyboardInterrupt)
    began = world.local.jobs
    assert began
    if resume == "true":
        assert world.local.count(STOP) == 0
        assert run.logged("left=running")
        assert all(job.status not in TERMINAL for job in began)
    else:
        assert world.local.count(STOP) == len(began)
        assert run.logged("stop=sent reason=the run ends")
    assert run.rows == {}, "no unfinished output"


def test_run_continues_after_an_interrupt_and_pays_nothing_twice(make_world, reference):
    """The answers of the jobs that were left running would be bought a second time."""
    world = make_world(small(phases=Phases(in_progress=4.0)))
    main_thread = threading.main_thread()
    done = []

    def interrupt(call):
        if call.operation == GET and call.when == "after" and not done and len(world.local.jobs) >= 2:
            done.append(call)
            signal.pthread_kill(main_thread.ident, signal.SIGINT)

    world.local.on_call(interrupt)
    first = world.run()
    assert isinstance(first.error, KeyboardInterrupt)
    begun = len(world.local.jobs)
    second = world.answer()
    assert begun >= 2
    assert len(world.local.jobs) == 3
    check_complete(second, reference)
    check_paid_once(second)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException", "InternalServerException"])
def test_a_job_that_cannot_be_stopped_is_not_asked_again_in_real_time(make_world, code):
    """The rows of a job that goes on would be paid for by batch and in real time."""
    world = make_world(small(phases=Phases(0.05, 0.05, 0.05, 24.0)))

    def refuse(call):
        if call.operation == "StopModelInvocationJob" and call.when == "before":
            return CallFault(
                "StopModelInvocationJob", code=code, status=403 if code == "AccessDeniedException" else 400
            )
        return None

    world.local.on_call(refuse)
    run = world.run_short_of_time(lambda: any(job.processed > 3 for job in world.local.jobs))
    assert isinstance(run.error, RunError)
    assert "was asked to stop and did not stop in time" in str(run.error)
    assert run.rows == {}
    assert world.realtime_ids == set()
    world.local.wait_for_jobs()
    again = world.answer()
    assert [row["id"] for row in again.all_rows] == [row["id"] for row in world.inputs]
    check_paid_once(again)
