"""What happens to records without an answer from batch, by `BEDROCK_BATCH_FALLBACK` and by the cause."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bedrock_batch.errors import ConfigurationError, RunError
from bedrock_batch.progress import Progress
from helpers.batch_runs import MODEL, ids_in, jobs_in_order, small
from helpers.botocore_models import CONVERSE_IN_BATCH
from helpers.run_checks import answers_of, check_complete, check_paid_once
from local_bedrock import JobFault, RecordFaults
from local_bedrock.behaviour import CallFault


def rows_in_error(world):
    return {row_id for job in world.local.jobs for row_id in ids_in(world, job, "error")}


def error_kinds(run):
    return {kind: each["records"] for kind, each in run.summary["error_kinds"].items()}


def test_record_level_400_is_not_asked_again(make_world, reference):
    """The same refusal would be asked for, row by row, a second time."""
    world = make_world(small(records=RecordFaults(error=0.15, error_message="messages: too long")))
    run = world.answer()
    refused = rows_in_error(world)
    assert len(refused) > 3
    assert world.realtime_ids == set()
    assert error_kinds(run) == {"batch_error_400": len(refused)}
    assert {row["llm_error"] for row in run.all_rows if row["id"] in refused} == {"messages: too long"}
    check_complete(run, reference, unanswered=refused)
    check_paid_once(run, never=refused)


@pytest.mark.parametrize(
    "faults",
    [
        RecordFaults(throttled=0.15),
        RecordFaults(error=0.15, error_code=500, error_message="internal", error_retryable=True),
        RecordFaults(error=0.15, error_code=503, error_message="unavailable", error_retryable=True),
    ],
    ids=["throttled", "internal error", "unavailable"],
)
def test_record_that_failed_for_a_passing_reason_is_asked_in_real_time(make_world, reference, faults):
    """A row would stay without an answer because the service was busy for a moment."""
    world = make_world(small(records=faults))
    run = world.answer()
    failed = rows_in_error(world)
    assert len(failed) > 3
    assert world.realtime_ids == failed
    assert sum(run.salvaged.values()) == len(failed)
    check_complete(run, reference)
    check_paid_once(run)


def test_summary_tells_what_each_cause_sent_to_real_time_and_its_tokens(make_world, reference):
    """A user could not see why a run that batch should have answered cost more."""
    fates = (JobFault(name="-0000$", ends="Expired"), JobFault(name="-0001$", ends="PartiallyCompleted", share=0.5))
    world = make_world(small(jobs=fates, records=RecordFaults(throttled=0.1)))
    run = world.answer()
    salvaged = run.summary["batch_job_info"]["salvaged"]
    assert set(salvaged) == {"expired", "out_of_time", "batch_error_429"}
    assert (salvaged["expired"]["records"], salvaged["out_of_time"]["records"]) == (20, 10)
    assert salvaged["batch_error_429"]["records"] == len(rows_in_error(world))
    tokens = run.summary["tokens"]
    for kind in ("input_tokens", "output_tokens"):
        assert sum(each[kind] for each in salvaged.values()) == tokens[f"realtime_{kind}"]
    assert {row["id"] for row in run.all_rows if row["llm_source"] == "realtime"} == world.realtime_ids
    check_complete(run, reference)
    check_paid_once(run)


def test_fallback_error_leaves_records_failed_with_their_reason(make_world, reference):
    """A user who forbade real time would be charged for it, or get rows without a reason."""
    world = make_world(small(jobs=(JobFault(name="-0001$", ends="Expired"),)), BEDROCK_BATCH_FALLBACK="error")
    run = world.answer()
    lost = ids_in(world, jobs_in_order(world)[1])
    assert world.realtime_ids == set()
    assert run.salvaged == {}
    assert error_kinds(run) == {"expired": 20}
    assert {row["llm_error"] for row in run.all_rows if row["id"] in lost} == {
        "the batch job expired before it answered this record"
    }
    check_complete(run, reference, unanswered=lost)
    check_paid_once(run, never=lost)


def test_fallback_fail_ends_the_run_after_the_other_jobs(make_world, reference):
    """A user who wants all rows or none would go on with a part; or the other jobs' answers would be lost."""
    world = make_world(small(jobs=(JobFault(name="-0001$", ends="Expired"),)), BEDROCK_BATCH_FALLBACK="fail")
    run = world.run()
    assert isinstance(run.error, RunError)
    assert "20 of 60 records have no answer and BEDROCK_BATCH_FALLBACK=fail" in str(run.error)
    assert world.realtime_ids == set()
    assert [job.status for job in jobs_in_order(world)] == ["Completed", "Expired", "Completed"]
    after = world.answer(BEDROCK_BATCH_FALLBACK="realtime")
    assert len(world.local.jobs) == 3, "the answers of the other jobs were kept"
    check_complete(after, reference)
    check_paid_once(after)


def test_fallback_fail_passes_when_batch_answers_everything(make_world, reference):
    """The strict setting would fail runs that went well."""
    run = make_world(BEDROCK_BATCH_FALLBACK="fail").answer()
    check_complete(run, reference)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"BEDROCK_BATCH_ROLE_ARN": ""}, "BEDROCK_BATCH_ROLE_ARN"),
        ({"BEDROCK_BATCH_OUTPUT_S3_PATH": ""}, "BEDROCK_BATCH_OUTPUT_S3_PATH"),
        ({"BEDROCK_MIN_RECORDS_PER_JOB": "100", "BEDROCK_MAX_RECORDS_PER_JOB": "200"}, "BEDROCK_MIN_RECORDS_PER_JOB"),
    ],
    ids=["no role", "no output path", "too few records"],
)
def test_impossible_batch_with_fallback_fail_stops_before_any_upload(make_world, change, named):
    """A run that cannot do what was asked would upload and pay before it says so."""
    world = make_world(BEDROCK_BATCH_MODE="batch", BEDROCK_BATCH_FALLBACK="fail", **change)
    run = world.run()
    assert isinstance(run.error, ConfigurationError)
    assert named in str(run.error)
    assert run.error.exit_code == 2
    assert world.local.calls == []


def test_impossible_batch_is_said_once_and_answered_in_real_time(make_world, reference):
    """A user would not learn why the price is twice what was planned."""
    world = make_world(BEDROCK_BATCH_MODE="batch", BEDROCK_BATCH_ROLE_ARN="")
    run = world.answer()
    said = [line for line in run.log if "BEDROCK_BATCH_ROLE_ARN is not set" in line]
    assert len(said) == 1
    assert said[0].startswith("WARNING")
    assert answers_of(run.all_rows) == reference
    check_paid_once(run)


def test_batch_and_real_time_give_equal_answers(make_world, reference):
    """Rows of one table would depend on the mode that happened to answer them."""
    world = make_world(BEDROCK_BATCH_MODE="realtime")
    run = world.answer()
    assert world.local.jobs == []
    check_complete(run, reference)
    check_paid_once(run)


RETIRED = CallFault(
    "CreateModelInvocationJob",
    code="ResourceNotFoundException",
    status=404,
    message="This model version has reached the end of its life. Please refer to the AWS documentation for details.",
)
FALLBACK = "amazon.nova-lite-v1:0"


def refuse_model(world, ordinal=1, fault=RETIRED):
    """Refuse one creation because of its model; the run creates no further job of that model."""

    def refuse(call):
        refused = call.operation == "CreateModelInvocationJob" and call.when == "before"
        return fault if refused and call.operation_ordinal == ordinal else None

    world.local.on_call(refuse)


def models_of(run):
    return {row["llm_model_id"] for row in run.all_rows}


@pytest.mark.parametrize(
    "fault",
    [
        RETIRED,
        CallFault(
            "CreateModelInvocationJob",
            code="ValidationException",
            status=400,
            message=f"Batch inference is not supported for model {MODEL}.",
        ),
    ],
    ids=["retired", "no-batch"],
)
@CONVERSE_IN_BATCH
def test_the_fallback_model_gets_the_jobs_of_a_refused_model(make_world, fault):
    """One refused creation would send a whole run to real time, at twice the price."""
    world = make_world(small(), BEDROCK_FALLBACK_MODEL_ID=FALLBACK)
    refuse_model(world, fault=fault)
    run = world.answer()
    assert [row["id"] for row in run.all_rows] == [row["id"] for row in world.inputs]
    assert {row["llm_source"] for row in run.all_rows} == {"batch"}
    assert models_of(run) == {FALLBACK}
    assert world.realtime_ids == set()
    assert sum(world.local.charges.values()) == len(world.inputs)
    assert [job["status"] for job in run.jobs].count("NotCreated") == 3
    assert [job["status"] for job in run.jobs].count("Completed") == 3
    again = world.answer()
    assert again.all_rows == run.all_rows
    assert sum(world.local.charges.values()) == len(world.inputs)


@CONVERSE_IN_BATCH
def test_a_model_refused_in_the_middle_keeps_the_jobs_that_it_has(make_world):
    """What the primary model was paid for would be asked again, or the rest in real time."""
    world = make_world(small(), BEDROCK_FALLBACK_MODEL_ID=FALLBACK, BEDROCK_MAX_CONCURRENT_BATCH_JOBS="1")
    refuse_model(world, ordinal=2)
    run = world.answer()
    assert [row["id"] for row in run.all_rows] == [row["id"] for row in world.inputs]
    assert {row["llm_source"] for row in run.all_rows} == {"batch"}
    assert models_of(run) == {MODEL, FALLBACK}
    assert sum(world.local.charges.values()) == len(world.inputs)
    assert sorted(run.summary["models"].values()) == [20, 40]


@CONVERSE_IN_BATCH
def test_a_fallback_model_that_is_refused_too_leaves_real_time(make_world):
    """Rows would stay without an answer though a model could give it."""
    world = make_world(small(), BEDROCK_FALLBACK_MODEL_ID=FALLBACK)

    def refuse(call):
        return RETIRED if call.operation == "CreateModelInvocationJob" and call.when == "before" else None

    world.local.on_call(refuse)
    run = world.answer()
    assert {row["llm_source"] for row in run.all_rows} == {"realtime"}
    assert sum(world.local.charges.values()) == len(world.inputs)
    assert world.local.jobs == []


@CONVERSE_IN_BATCH
@pytest.mark.parametrize("ordinal", [2, 3, 4])
def test_an_interrupted_run_continues_with_the_fallback_model(make_world, ordinal):
    """A restart would send to real time what the fallback model's jobs answer."""
    world = make_world(small(), BEDROCK_FALLBACK_MODEL_ID=FALLBACK, BEDROCK_MAX_CONCURRENT_BATCH_JOBS="1")
    refuse_model(world)

    interrupted = []

    def note(call):
        if call.operation == "CreateModelInvocationJob" and call.when == "after" and call.operation_ordinal == ordinal:
            interrupted.append(True)

    world.local.on_call(note)

    class Interrupting(Progress):
        def show(self, event):
            pass

        def job(self, job):
            if interrupted == [True]:
                interrupted.append(False)
                raise KeyboardInterrupt

    run = world.run(adapt=lambda context: replace(context, progress=Interrupting(context.clock)))
    assert isinstance(run.error, KeyboardInterrupt)
    again = world.answer()
    assert [row["id"] for row in again.all_rows] == [row["id"] for row in world.inputs]
    assert models_of(again) == {FALLBACK}
    assert {row["llm_source"] for row in again.all_rows} == {"batch"}
    assert sum(world.local.charges.values()) == len(world.inputs)
