"""Throttling and failures of every call that a batch run makes, except creation and polling."""

from __future__ import annotations

import pytest

from bedrock_batch.errors import RunError
from helpers.batch_runs import ids_in, jobs_in_order, small
from helpers.run_checks import check_complete, check_paid_once
from local_bedrock import CallFault, JobFault, RecordFaults


def result_fault(operation, *, calls=(), code="SlowDown"):
    """A hook that fails reads of result folders: the ordinals `calls` of them, or all."""
    seen = []

    def fail(call):
        if (call.when, call.operation) != ("before", operation) or not call.detail["key"].startswith("output/"):
            return None
        seen.append(call)
        return CallFault(operation, code=code, message="no") if not calls or len(seen) in calls else None

    return fail


@pytest.mark.parametrize(
    "operation", ["S3.PutObject", "S3.ListObjectsV2", "S3.HeadObject", "S3.GetObject"], ids=lambda name: name[3:]
)
@pytest.mark.parametrize("code", ["SlowDown", "InternalError"])
def test_busy_moment_of_s3_costs_nothing(make_world, operation, code):
    """One 503 of S3 among thousands of calls would end a run of hours, or buy its answers again."""
    ordinal = 1 if operation == "S3.HeadObject" else 2
    world = make_world(small(calls=(CallFault(operation, calls=(ordinal,), code=code),)), files={"train/a.csv": 20})
    run = world.answer()
    assert [call.operation for call in world.local.calls if call.error == code] == [operation]
    assert world.realtime_ids == set()
    check_paid_once(run)


def test_results_that_are_throttled_longer_than_the_sdk_tries_are_read_in_the_end(make_world):
    """The SDK gives up after three tries: a busy minute of S3 would lose a job's paid results."""
    world = make_world(files={"train/a.csv": 20})
    world.local.on_call(result_fault("S3.HeadObject", calls=range(1, 5)))
    run = world.answer()
    assert world.realtime_ids == set()
    check_paid_once(run)


def test_results_that_may_not_be_read_end_the_run_and_are_collected_by_the_next(make_world, reference):
    """Results that a policy hides would be paid for again in real time, instead of being read once it is corrected."""
    world = make_world()
    denying = [True]
    fail = result_fault("S3.HeadObject", code="AccessDenied")
    world.local.on_call(lambda call: fail(call) if denying else None)
    run = world.run()
    assert isinstance(run.error, RunError)
    assert "cannot be read" in str(run.error)
    assert world.realtime_ids == set()
    denying.clear()
    after = world.answer()
    assert len(world.local.jobs) == 3
    check_complete(after, reference)
    check_paid_once(after)


def test_throttled_real_time_answers_of_a_fallback_are_asked_until_they_come(make_world, reference):
    """The rows of an expired job would be lost because the real-time fallback was throttled."""
    world = make_world(
        small(
            jobs=(JobFault(name="-0000$", ends="Expired"),),
            throttle_share={"InvokeModel": 0.3},
        )
    )
    run = world.answer()
    lost = ids_in(world, jobs_in_order(world)[0])
    assert world.local.count("InvokeModel") > len(lost)
    assert world.realtime_ids == lost
    check_complete(run, reference)
    check_paid_once(run)


def test_stop_that_is_refused_does_not_buy_the_rows_twice(make_world):
    """A job that goes on may still answer its rows: asked in real time, they would be paid for twice."""
    faults = (CallFault("StopModelInvocationJob", code="AccessDeniedException", message="no"),)
    world = make_world(small(jobs=(JobFault(name="-0002$", ends="NeverStarts"),), calls=faults))
    run = world.run_short_of_time(lambda: sum(job.over.is_set() for job in world.local.jobs) == 2)
    assert isinstance(run.error, RunError)
    assert run.logged("stop=failed")
    assert "was asked to stop and did not stop in time" in str(run.error)
    assert world.realtime_ids == set()
    assert run.rows == {}


def test_a_tenth_of_all_calls_throttled_changes_nothing(make_world, reference):
    """A busy account would get other rows, or the same rows at another price."""
    world = make_world(small(throttle_share={"*": 0.1}, records=RecordFaults(missing=0.1)))
    run = world.answer()
    check_complete(run, reference)
    check_paid_once(run)
