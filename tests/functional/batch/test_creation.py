"""Creating jobs when the service has no free slot, fails or refuses: the run waits, retries or falls back."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace

import pytest

from bedrock_batch.errors import RunError
from helpers.batch_runs import BUCKET, small
from helpers.run_checks import check_complete, check_paid_once
from local_bedrock import CallFault

CREATE = "CreateModelInvocationJob"
LIST = "ListModelInvocationJobs"
IN_USE = "The provided job name is currently in use"


def creations(world):
    """Every call that asked for a job: the job's name and the error that answered it."""
    return [(call.detail.get("jobName"), call.error) for call in world.local.calls if call.operation == CREATE]


def test_quota_at_creation_is_waited_for(make_world, reference):
    """Full quota would send a whole job's records to real time at twice the price, or end the run."""
    world = make_world(small(quota_exceeded_creates=7))
    run = world.answer()
    assert [error for _, error in creations(world)].count("ServiceQuotaExceededException") == 7
    assert run.logged("creation=delayed reason=quota_exceeded")
    assert world.realtime_ids == set()
    check_complete(run, reference)
    check_paid_once(run)


def test_a_smaller_quota_than_the_setting_only_slows_the_run(make_world, reference):
    """A user whose account has less room than the default of 20 would lose the jobs over it."""
    world = make_world(small(max_concurrent_jobs=1))
    run = world.answer()
    assert world.realtime_ids == set()
    assert len(world.local.jobs) == 3
    check_complete(run, reference)
    check_paid_once(run)


@pytest.mark.parametrize(
    "fault",
    [
        CallFault(CREATE, calls=(1, 2, 4, 5, 6)),
        CallFault(CREATE, calls=(1, 3), retry_after=120.0),
        CallFault(CREATE, calls=(1, 2, 5), code="InternalServerException", message="internal"),
        CallFault(CREATE, calls=(1, 2, 5), code="ServiceUnavailableException", message="unavailable"),
        CallFault(CREATE, calls=(1, 2, 5), drop=True),
    ],
    ids=["throttled", "throttled with a time", "internal error", "unavailable", "connection lost before"],
)
def test_creation_is_tried_again_after_failures_that_pass(make_world, reference, fault):
    """One busy moment of the control plane would cost a job, and its records twice the price."""
    world = make_world(small(calls=(fault,)))
    run = world.answer()
    assert sum(error is not None for _, error in creations(world)) == len(fault.calls)
    assert world.realtime_ids == set()
    check_complete(run, reference)
    check_paid_once(run)


def test_lost_create_response_is_recovered_by_listing(make_world, reference):
    """A job that was made although its response was lost would run on unseen, and its records be paid twice."""
    world = make_world(small(calls=(CallFault(CREATE, calls=(1, 3), drop=True, when="after"),)))
    run = world.answer()
    assert world.local.count(LIST) >= 2
    assert len(world.local.jobs) == 3
    assert [job["status"] for job in run.jobs] == ["Completed"] * 3
    check_complete(run, reference)
    check_paid_once(run)


def test_lost_create_response_is_recovered_when_listing_is_throttled_too(make_world, reference):
    """The same double payment, in the minute in which the whole control plane is busy."""
    faults = (CallFault(CREATE, calls=(1,), drop=True, when="after"), CallFault(LIST, calls=(1, 2)))
    world = make_world(small(calls=faults))
    run = world.answer()
    assert len(world.local.jobs) == 3
    check_complete(run, reference)
    check_paid_once(run)


def test_name_in_use_by_our_own_job_is_taken_over_when_listing_is_throttled(make_world, reference):
    """A conflict over our own lost job would be taken for somebody else's, and its records be paid twice."""
    conflict = CallFault(CREATE, calls=(1,), code="ConflictException", message=IN_USE, when="after")
    faults = (conflict, CallFault(LIST, calls=(1,)))
    world = make_world(small(calls=faults))
    run = world.answer()
    assert len(world.local.jobs) == 3
    check_complete(run, reference)
    check_paid_once(run)


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_name_in_use_by_our_own_job_is_taken_over(make_world, reference, code):
    """AWS reports our own lost job as a conflict of names: failing there would pay for its records twice."""
    fault = CallFault(CREATE, calls=(1, 2), code=code, message=IN_USE, when="after")
    world = make_world(small(calls=(fault,)))
    run = world.answer()
    assert len(world.local.jobs) == 3
    assert [job["status"] for job in run.jobs] == ["Completed"] * 3
    check_complete(run, reference)
    check_paid_once(run)


def test_name_in_use_by_a_foreign_job_costs_only_that_job(make_world, reference):
    """Somebody else's job would be read as ours, or its name would end the run."""
    fault = CallFault(CREATE, calls=(1,), code="ConflictException", message=IN_USE)
    world = make_world(small(calls=(fault,)))
    run = world.answer()
    (refused,) = [job for job in run.jobs if job["status"] == "NotCreated"]
    assert "currently in use" in refused["message"]
    assert run.salvaged == {"not_submitted": 20}
    check_complete(run, reference)
    check_paid_once(run)


def test_one_refused_job_leaves_the_others_alone(make_world, reference):
    """One validation error would throw the other jobs away."""
    fault = CallFault(CREATE, calls=(3,), code="ValidationException", message="The request is not valid.")
    world = make_world(small(calls=(fault,)))
    run = world.answer()
    assert [job["status"] for job in run.jobs].count("Completed") == 2
    assert run.salvaged == {"not_submitted": 20}
    assert len(world.realtime_ids) == 20
    check_complete(run, reference)
    check_paid_once(run)


def test_account_without_batch_is_told_so_and_answered_in_real_time(make_world, reference):
    """A new account would wait for nothing, or see one error for each of its jobs and no word of what to do."""
    world = make_world(small(entitled=False))
    run = world.answer()
    assert world.local.count(CREATE) == 1, "what is refused once is refused always"
    assert run.logged("batch=unavailable")
    assert any("AWS Support" in (job["message"] or "") for job in run.jobs)
    assert run.salvaged == {"not_submitted": 60}
    check_complete(run, reference)
    check_paid_once(run)


def test_model_without_batch_is_told_so_and_answered_in_real_time(make_world, reference):
    """A user would not learn that the model, and not the data, is the reason."""
    world = make_world(small(not_batchable=("anthropic.claude-sonnet-4-20250514-v1:0",)))
    run = world.answer()
    assert world.local.count(CREATE) == 1
    assert any("Batch inference is not supported for model" in (job["message"] or "") for job in run.jobs)
    assert any("BEDROCK_BATCH_MODE=realtime" in (job["message"] or "") for job in run.jobs)
    check_complete(run, reference)
    check_paid_once(run)


def test_role_that_bedrock_cannot_assume_is_told_so_once(make_world, reference):
    """Every job of the run would be uploaded and refused, one after the other."""
    message = "The provided role cannot be assumed by Amazon Bedrock"
    world = make_world(small(calls=(CallFault(CREATE, code="ValidationException", message=message),)))
    run = world.answer()
    assert world.local.count(CREATE) == 1
    assert any("BEDROCK_BATCH_ROLE_ARN" in (job["message"] or "") for job in run.jobs)
    check_complete(run, reference)


def test_denied_pass_role_names_the_statement_to_add(make_world, reference):
    """A user would search the policies for hours; the two principals of batch are the commonest trap."""
    message = (
        "User: arn:aws:sts::123456789012:assumed-role/step/x is not authorized to perform: iam:PassRole on resource: "
        "arn:aws:iam::123456789012:role/batch because no identity-based policy allows the iam:PassRole action"
    )
    fault = CallFault(CREATE, code="AccessDeniedException", message=message)
    world = make_world(small(calls=(fault,)))
    run = world.answer()
    assert world.local.count(CREATE) == 1
    assert any('"Action": "iam:PassRole"' in (job["message"] or "") for job in run.jobs)
    check_complete(run, reference)


def test_expired_credentials_end_the_run(make_world):
    """A run without credentials would go on to fail every row in real time."""
    message = "The security token included in the request is expired"
    world = make_world(small(calls=(CallFault(CREATE, code="ExpiredTokenException", message=message),)))
    run = world.run()
    assert isinstance(run.error, RunError)
    assert "expired" in str(run.error)
    assert world.realtime_ids == set()


def test_upload_that_fails_costs_only_its_own_job(make_world, reference):
    """A denied or failing write of one file would lose the run."""
    denied = []

    def deny(call):
        if (
            call.when == "before"
            and call.operation == "S3.PutObject"
            and call.detail["key"].endswith("job-00002.jsonl")
        ):
            denied.append(call)
            return CallFault("S3.PutObject", code="InternalError", message="We encountered an internal error.")
        return None

    world = make_world()
    world.local.on_call(deny)
    run = world.answer()
    assert len(denied) > 1, "a failure that can pass is tried again"
    assert run.salvaged == {"not_submitted": 20}
    assert len(world.local.jobs) == 2
    check_complete(run, reference)
    check_paid_once(run)


def test_quota_that_never_has_room_ends_in_real_time(make_world, reference):
    """An account with a quota of zero would wait for ever and get no row."""
    world = make_world(small(quota_exceeded_creates=1_000_000))
    run = world.answer(speed=200_000.0)
    assert run.logged("batch=unavailable: AWS has had no room for a batch job for too long")
    assert run.salvaged == {"not_submitted": 60}
    check_complete(run, reference)
    check_paid_once(run)


def test_job_that_may_exist_is_not_paid_again_when_listing_is_denied(make_world):
    """A start that may not look for the job of an earlier one would make, and pay for, a second."""
    world = make_world(files={"train/a.csv": 20})
    world.local.on_call(_once(CREATE, CallFault(CREATE, code="ExpiredTokenException", message="expired token")))
    assert isinstance(world.run().error, RunError)
    world.local.on_call(_once(LIST, CallFault(LIST, code="AccessDeniedException", message="not authorized")))
    denied = world.run()
    assert isinstance(denied.error, RunError)
    assert "bedrock:ListModelInvocationJobs" in str(denied.error)
    assert world.local.jobs == []
    check_paid_once(world.answer())


def test_job_that_may_exist_is_looked_for_even_when_no_job_is_begun_any_more(make_world):
    """A start that has too little time for batch would pay again for a job of the start before it."""
    world = make_world(files={"train/a.csv": 20})
    expired = CallFault(CREATE, code="ExpiredTokenException", message="expired token")
    world.local.on_call(_once(CREATE, expired, when="after"))
    assert isinstance(world.run().error, RunError)
    world.local.wait_for_jobs()
    late = world.run(seconds_left=250.0)
    assert late.error is None
    assert len(world.local.jobs) == 1
    assert world.realtime_ids == set()
    check_paid_once(late)


def test_job_that_may_exist_is_found_under_the_name_that_it_was_given(make_world):
    """A start with another prefix of job names would not find the job of the start before it, and pay for a second."""
    world = make_world(files={"train/a.csv": 20})
    expired = CallFault(CREATE, code="ExpiredTokenException", message="expired token")
    world.local.on_call(_once(CREATE, expired, when="after"))
    assert isinstance(world.run().error, RunError)
    run = world.answer(BEDROCK_BATCH_JOB_NAME_PREFIX="another")
    assert world.local.count(CREATE) == 1
    assert [job["name"] for job in run.jobs] == [world.local.jobs[0].name]
    check_paid_once(run)


def test_creation_without_an_answer_is_looked_for_before_its_rows_are_asked_elsewhere(make_world):
    """A creation that failed just when batch is given up may have made a job: its rows would be paid twice."""
    world = make_world(files={"train/a.csv": 20})
    world.local.on_call(_once(CREATE, CallFault(CREATE, drop=True), when="after"))
    world.local.on_call(_once(LIST, CallFault(LIST)))
    passed = [0.0]

    def let_time_pass(call):
        if call.operation == CREATE and call.when == "after":
            assert world.local.jobs[0].over.wait(60)
            passed[0] = 4750.0

    world.local.on_call(let_time_pass)
    run = world.run(
        seconds_left=5000.0, adapt=lambda context: replace(context, clock=lambda: context.clock() + passed[0])
    )
    assert run.error is None
    assert len(world.local.jobs) == 1
    assert world.realtime_ids == set()
    check_paid_once(run)


def test_job_that_may_exist_is_looked_for_although_its_file_cannot_be_sent_again(make_world):
    """A start whose upload is denied would pay again for a job of the start before it."""
    world = make_world(files={"train/a.csv": 20})
    expired = CallFault(CREATE, code="ExpiredTokenException", message="expired token")
    world.local.on_call(_once(CREATE, expired, when="after"))
    assert isinstance(world.run().error, RunError)
    world.local.wait_for_jobs()

    def deny(call):
        is_file = call.operation == "S3.PutObject" and call.detail["key"].endswith(".jsonl")
        return CallFault(call.operation, code="AccessDenied") if is_file and call.when == "before" else None

    world.local.on_call(deny)
    run = world.answer()
    assert run.logged("upload=failed")
    assert len(world.local.jobs) == 1
    assert world.realtime_ids == set()
    check_paid_once(run)


def test_parts_of_an_upload_that_was_killed_are_removed(make_world):
    """Parts that nobody finishes are charged for every month, and no listing of objects shows them."""
    world = make_world(files={"train/a.csv": 20})
    client = world.local.client("s3")

    def interrupt(call):
        if call.operation != "S3.PutObject" or not call.detail["key"].endswith("job-00000.jsonl") or ended.is_set():
            return None
        if not uploads:
            uploads.append(client.create_multipart_upload(Bucket=BUCKET, Key=call.detail["key"]))
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        # An upload that succeeds before the step notices the signal would leave no job behind that is still planned.
        ended.wait(1.0)
        return CallFault(call.operation, drop=True)

    uploads: list[object] = []
    ended = threading.Event()
    world.local.on_call(interrupt)
    assert isinstance(world.run().error, KeyboardInterrupt)
    ended.set()
    assert client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    run = world.answer()
    assert run.logged("uploads=aborted count=1")
    assert "Uploads" not in client.list_multipart_uploads(Bucket=BUCKET)
    check_paid_once(run)


def _once(operation, fault, when="before"):
    """A hook that commits a fault at the next call of an operation, and never again."""
    left = [fault]

    def commit(call):
        return left.pop() if call.operation == operation and call.when == when and left else None

    return commit
