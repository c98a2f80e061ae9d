"""Whole runs in which AWS, or something in its place, answers with what it should not: nothing lost or paid twice."""

from __future__ import annotations

import json

import pytest

from bedrock_batch.errors import RunError
from helpers.batch_runs import NOVA, World, small
from helpers.run_checks import check_complete, check_paid_once
from local_bedrock import CallFault

# A connection that is cut in the middle of a response is closed when Python gets to it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CREATE, GET, LIST = "CreateModelInvocationJob", "GetModelInvocationJob", "ListModelInvocationJobs"
HTML = "<html><body>Please sign in to the network.<br></body></html>"
DEEP = '{"output":' * 500 + "1" + "}" * 500
ARN = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghijkl"


@pytest.mark.parametrize("body", [HTML, "{}", "[]", "", '{"jobArn": ', '{"jobArn": 5}'])
@pytest.mark.parametrize("when", ["before", "after"])
def test_creation_with_a_damaged_answer_makes_one_job(make_world, reference, body, when):
    """The job may exist: asked in real time or created again, its rows would be paid twice."""
    world: World = make_world(small(calls=(CallFault(CREATE, calls=(1, 3), body=body, when=when),)))
    run = world.answer()
    assert world.local.count(LIST) >= 2, "it is looked for"
    assert len(world.local.jobs) == 3
    assert world.realtime_ids == set()
    check_complete(run, reference)
    check_paid_once(run)


@pytest.mark.parametrize("body", [HTML, "{}", "[]"])
def test_damaged_listing_does_not_say_that_there_is_no_job(make_world, reference, body):
    """A page of a proxy would be read as an empty list, and the job be created a second time."""
    faults = (CallFault(CREATE, calls=(1,), body=HTML, when="after"), CallFault(LIST, calls=(1, 2), body=body))
    world: World = make_world(small(calls=faults))
    run = world.answer()
    assert world.local.count(LIST) >= 3
    assert len(world.local.jobs) == 3
    check_complete(run, reference)
    check_paid_once(run)


@pytest.mark.parametrize(
    "body",
    [
        HTML,
        "{}",
        '{"jobAr',
        json.dumps({"jobArn": ARN, "status": "Completed"}),
        json.dumps({"jobArn": ARN, "status": "Completed", "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": ""}}}),
    ],
    ids=["HTML", "empty", "cut", "another job without a place", "another job with an empty place"],
)
def test_damaged_look_at_a_job_is_a_failed_look(make_world, reference, body):
    """A body cut in the middle would end the run with a KeyError, or an empty place be stored for ever."""
    world: World = make_world(small(calls=(CallFault(GET, calls=(1, 2, 4, 5), body=body),)))
    run = world.answer()
    assert run.logged("poll=failed")
    assert world.realtime_ids == set()
    check_complete(run, reference)
    check_paid_once(run)


def test_looks_that_stay_damaged_end_the_run_and_a_restart_continues(make_world):
    """A run behind a broken proxy would end in a traceback, or ask its rows again."""
    world: World = make_world(files={"train/a.csv": 20})
    world.local.on_call(
        lambda call: CallFault(GET, body=HTML) if call.operation == GET and call.when == "before" and broken else None
    )
    broken = [True]
    failed = world.run()
    assert isinstance(failed.error, RunError)
    assert "the response cannot be read" in str(failed.error)
    broken.clear()
    check_paid_once(world.answer())
    assert world.realtime_ids == set()


@pytest.mark.parametrize("operation", ["S3.GetObject", "S3.HeadObject", "S3.ListObjectsV2", "S3.PutObject"])
@pytest.mark.parametrize("body", [HTML, ""])
def test_damaged_answers_of_storage_are_tried_again(make_world, reference, operation, body):
    """A page in place of a result file, or of a listing of them, would buy the answers of a job again."""
    world: World = make_world(small(calls=(CallFault(operation, calls=(2, 3, 7, 11), body=body),)))
    run = world.answer()
    assert len(world.local.jobs) == 3
    assert world.realtime_ids == set()
    check_complete(run, reference)
    check_paid_once(run)


@pytest.mark.parametrize("model", [None, NOVA], ids=["InvokeModel", "Converse"])
@pytest.mark.parametrize("body", [HTML, "[]", "[" * 100_000, DEEP, '{"output": ', "null", "5"])
def test_damaged_answer_of_a_model_is_one_failed_record(make_world, model, body):
    """One answer that is no object would end a real-time run of a million rows."""
    operation = "Converse" if model else "InvokeModel"
    more = {"BEDROCK_PRIMARY_MODEL_ID": model} if model else {}
    world: World = make_world(
        small(calls=(CallFault(operation, calls=(5,), body=body),)), BEDROCK_BATCH_MODE="realtime", **more
    )
    run = world.answer()
    assert [row["llm_status"] for row in run.all_rows].count("error") == 1
    assert len(run.all_rows) == 60
    assert run.summary["successful_records"] == 59
