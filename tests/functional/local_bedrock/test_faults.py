"""Every fault of the local Bedrock, seen by an unmodified boto3 client."""

import contextlib
import json
import socket
import threading
import time

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError

from helpers.botocore_models import CONDITIONAL_WRITES, RECORD_COUNTS
from helpers.local_bedrock_jobs import (
    MODEL,
    SCHEMA,
    converse_body,
    create_job,
    lines_of,
    manifest,
    messages_body,
    output_keys,
    output_records,
    read_object,
    run_job,
    wait_for,
)
from local_bedrock import (
    AnswerFaults,
    Behaviour,
    CallFault,
    JobFault,
    LocalBedrock,
    Phases,
    RecordFaults,
    prompt_hash,
)

NO_RETRY = {"total_max_attempts": 1}


def invoke(local, body):
    """Call InvokeModel without retries, and return the response body."""
    client = local.client("bedrock-runtime", retries=NO_RETRY)
    return json.loads(client.invoke_model(modelId=MODEL, body=json.dumps(body))["body"].read())


def run_with(fault, **kwargs):
    """Run a job with a fault; return the job, its output records and keys, and the server's record of it."""
    with LocalBedrock(Behaviour(jobs=(fault,)), answers=SCHEMA) as local:
        job = run_job(local, **kwargs)
        return job, output_records(local, job), output_keys(local, job), local.jobs[0]


# Calls


def test_call_fails_once_with_code_status_and_retry_after():
    """A client's retry of a throttled call could not be tested."""
    fault = CallFault("Converse", calls=(2,), retry_after=1.5)
    with LocalBedrock(Behaviour(calls=(fault,))) as local:
        client = local.client("bedrock-runtime", retries=NO_RETRY)
        client.converse(modelId=MODEL, **converse_body())
        with pytest.raises(client.exceptions.ThrottlingException) as caught:
            client.converse(modelId=MODEL, **converse_body())
        client.converse(modelId=MODEL, **converse_body())
        assert local.charges == {prompt_hash("Where is my parcel?"): 2}
    metadata = caught.value.response["ResponseMetadata"]
    assert metadata["HTTPStatusCode"] == 429
    assert metadata["HTTPHeaders"]["retry-after"] == "1.5"


@pytest.mark.parametrize(
    ("code", "status"),
    [("ServiceUnavailableException", 503), ("ModelTimeoutException", 408), ("ExpiredTokenException", 403)],
)
def test_error_codes_have_their_own_status(code, status):
    """A client that decides by the HTTP status would decide differently at AWS."""
    behaviour = Behaviour(calls=(CallFault("InvokeModel", code=code),))
    with LocalBedrock(behaviour) as local, pytest.raises(ClientError) as caught:
        invoke(local, messages_body())
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_throttled_share_is_the_same_each_time():
    """A test with throttling would be flaky."""

    def throttled():
        with LocalBedrock(Behaviour(seed=7, throttle_share={"*": 0.3})) as local:
            client = local.client("bedrock-runtime", retries=NO_RETRY)
            for _ in range(50):
                with contextlib.suppress(client.exceptions.ThrottlingException):
                    client.converse(modelId=MODEL, **converse_body())
            return [call.ordinal for call in local.calls if call.error]

    first = throttled()
    assert 5 <= len(first) <= 25
    assert throttled() == first


def test_lost_response_of_a_creation_leaves_the_job():
    """A client that creates the job again after a lost response would pay for every record twice."""
    fault = CallFault("CreateModelInvocationJob", calls=(1,), drop=True, when="after")
    with LocalBedrock(Behaviour(calls=(fault,))) as local:
        with pytest.raises(ConnectionClosedError):
            create_job(local, clientRequestToken="token-1")
        (job,) = local.jobs
        assert create_job(local, clientRequestToken="token-1") == job.arn
        assert len(local.jobs) == 1


def test_dropped_request_does_nothing():
    """A client's handling of a lost request could not be tested."""
    fault = CallFault("CreateModelInvocationJob", calls=(1,), drop=True)
    with LocalBedrock(Behaviour(calls=(fault,))) as local:
        with pytest.raises(ConnectionClosedError):
            create_job(local)
        assert local.jobs == []


def test_first_creations_meet_the_quota():
    """A client that gives up at a full quota would lose the run."""
    with LocalBedrock(Behaviour(quota_exceeded_creates=2)) as local:
        for _ in range(2):
            with pytest.raises(ClientError, match="ServiceQuotaExceededException"):
                create_job(local)
        create_job(local)


def test_s3_call_fails_and_is_recorded():
    """A client's retry of an S3 call could not be tested."""
    faults = (CallFault("S3.PutObject", calls=(1,), code="SlowDown"), CallFault("S3.GetObject", code="AccessDenied"))
    with LocalBedrock(Behaviour(calls=faults)) as local:
        local.create_bucket("bucket")
        client = local.client("s3", retries=NO_RETRY)
        with pytest.raises(ClientError, match="SlowDown") as caught:
            client.put_object(Bucket="bucket", Key="k", Body=b"x" * 100_000)
        client.put_object(Bucket="bucket", Key="k", Body=b"x" * 100_000)
        with pytest.raises(ClientError, match="AccessDenied"):
            client.get_object(Bucket="bucket", Key="k")
        assert local.count("S3.PutObject") == 2
        assert [call.error for call in local.calls] == ["SlowDown", None, "AccessDenied"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


@CONDITIONAL_WRITES
def test_conditional_write_is_refused():
    """A client that relies on `IfNoneMatch` would overwrite an object of another run."""
    with LocalBedrock() as local:
        local.create_bucket("bucket")
        client = local.client("s3")
        client.put_object(Bucket="bucket", Key="lock", Body=b"1", IfNoneMatch="*")
        with pytest.raises(ClientError, match="PreconditionFailed"):
            client.put_object(Bucket="bucket", Key="lock", Body=b"2", IfNoneMatch="*")


def test_faults_do_not_disturb_the_jobs_own_reads_and_writes():
    """A test with S3 faults would fail inside the service."""
    with LocalBedrock(Behaviour(calls=(CallFault("S3.*", calls=(5,), code="InternalError"),))) as local:
        assert run_job(local)["status"] == "Completed"


def test_hooks_see_every_call_twice_and_may_fail_it():
    """A test that kills a client at a certain call could not count the calls."""
    seen = []

    def hook(call):
        seen.append((call.ordinal, call.operation, call.when))
        return CallFault(call.operation, drop=True) if call.ordinal == 2 and call.when == "after" else None

    with LocalBedrock() as local:
        local.on_call(hook)
        invoke(local, messages_body())
        with pytest.raises(ConnectionClosedError):
            invoke(local, messages_body())
    assert seen == [(i, "InvokeModel", when) for i in (1, 2) for when in ("before", "after")]


def test_latency_is_per_operation():
    """The concurrency of a client could not be measured."""
    with LocalBedrock(Behaviour(latency_seconds={"Converse": 0.15})) as local:
        client = local.client("bedrock-runtime")
        started = time.monotonic()
        client.converse(modelId=MODEL, **converse_body())
        assert time.monotonic() - started >= 0.15


# Jobs


def test_failed_in_validating_leaves_nothing():
    """A client would wait for output, or hide the reason."""
    fault = JobFault(ends="FailedInValidating", message="Could not validate GetObject permissions")
    job, records, keys, story = run_with(fault)
    assert (job["status"], job["message"]) == ("Failed", "Could not validate GetObject permissions")
    assert (records, keys, story.charged_ids) == ([], [], [])


@pytest.mark.parametrize("writes", [True, False])
def test_failed_at_the_end_may_leave_results(writes):
    """A client that ignores the output of a failed job would discard paid answers."""
    job, records, _, story = run_with(JobFault(ends="Failed", share=0.5, writes_output=writes))
    assert job["status"] == "Failed"
    assert "permissions to invokeModel" in job["message"]
    assert len(records) == (50 if writes else 0)
    assert len(story.charged_ids) == 50


@RECORD_COUNTS
def test_partially_completed_answers_its_share():
    """A client that discards the whole job would pay twice for the answered share."""
    job, records, _, story = run_with(JobFault(ends="PartiallyCompleted", share=0.6))
    assert job["status"] == "PartiallyCompleted"
    assert (job["totalRecordCount"], job["processedRecordCount"], len(records)) == (100, 60, 60)
    assert sorted(story.charged_ids) == sorted(record["recordId"] for record in records)


@pytest.mark.parametrize(("ends", "count"), [("Expired", 0), ("Stopped", 30)])
def test_job_ends_expired_or_stopped(ends, count):
    """A client that knows only Completed and Failed would wait for ever."""
    job, records, _, _ = run_with(JobFault(ends=ends, share=0.3))
    assert job["status"] == ends
    assert len(records) == count


@RECORD_COUNTS
def test_completed_job_may_have_no_answer_at_all():
    """A client that trusts `Completed` would report success without any answer."""
    job, records, _, story = run_with(JobFault(all_records_error="no such field"))
    assert (job["status"], job["errorRecordCount"]) == ("Completed", 100)
    assert {record["error"]["errorMessage"] for record in records} == {"no such field"}
    assert story.charged_ids == []


def test_results_may_be_in_several_files():
    """A client that reads only one file would lose the records of the others."""
    _, records, keys, _ = run_with(JobFault(output_parts=3))
    assert len([key for key in keys if key.endswith(".jsonl.out")]) == 3
    assert len({record["recordId"] for record in records}) == 100


def test_results_may_be_behind_a_thousand_objects():
    """A client that reads only the first page of a listing would find no results."""
    _, records, keys, _ = run_with(JobFault(extra_objects=1001))
    assert len(keys) == 1003
    assert len(records) == 100


def test_manifest_may_be_absent_or_wrong():
    """A client that needs the manifest would reject a job with complete results."""
    _, records, keys, _ = run_with(JobFault(manifest="absent"))
    assert len(records) == 100
    assert not any(key.endswith("manifest.json.out") for key in keys)
    with LocalBedrock(Behaviour(jobs=(JobFault(manifest="wrong"),))) as local:
        assert manifest(local, run_job(local))["successRecordCount"] == 101


def test_faults_choose_jobs_by_ordinal_and_name():
    """A test could not give each of several jobs its own end."""
    faults = (JobFault(ordinals=(2,), ends="Expired"), JobFault(name="^slow", ends="NeverStarts"))
    with LocalBedrock(Behaviour(jobs=faults)) as local:
        arns = [create_job(local, name=name) for name in ("a", "b", "slow-c")]
        statuses = [wait_for(local, arn)["status"] for arn in arns[:2]]
        third = wait_for(local, arns[2], {"Scheduled"})["status"]
    assert [*statuses, third] == ["Completed", "Expired", "Scheduled"]


def test_speed_shortens_the_phases():
    """A demo with realistic phases would take hours."""
    with LocalBedrock(Behaviour(phases=Phases(10, 10, 10, 10)), speed=200) as local:
        assert run_job(local)["status"] == "Completed"


# Records


def run_records(records=None, answers=None, count=400):
    """Run a job of `count` records with faults; return the result lines and the server's record of the job."""
    behaviour = Behaviour(records=records or RecordFaults(), answers=answers or AnswerFaults())
    with LocalBedrock(behaviour, answers=SCHEMA) as local:
        job = run_job(local, lines_of(messages_body(f"text {i}", prefill="{") for i in range(count)))
        (key,) = [key for key in output_keys(local, job) if key.endswith(".jsonl.out")]
        return read_object(local, key).split(b"\n")[:-1], local.jobs[0]


@pytest.mark.parametrize("name", ["error", "throttled"])
def test_share_of_records_fails(name):
    """A client's handling of failed records could not be tested."""
    lines, story = run_records(RecordFaults(**{name: 0.1}))
    failed = [record["recordId"] for record in map(json.loads, lines) if "error" in record]
    assert sorted(failed) == sorted(story.ids_by_outcome["error"])
    assert 20 <= len(failed) <= 60


def test_share_of_records_is_missing():
    """A client would shift or lose the rows of missing records."""
    lines, story = run_records(RecordFaults(missing=0.1))
    assert len(lines) == 400 - story.outcomes["missing"] < 390
    assert len(story.charged_ids) == len(lines)


def test_share_of_records_is_repeated():
    """A client would write a row twice."""
    lines, story = run_records(RecordFaults(repeated=0.1))
    assert len(lines) == 400 + story.outcomes["repeated"] > 410


def test_share_of_records_comes_under_unknown_ids():
    """A client would fail on an unknown record id."""
    lines, story = run_records(RecordFaults(unknown_id=0.1))
    unknown = [record for record in map(json.loads, lines) if not record["recordId"].startswith("CALL0")]
    assert len(unknown) == story.outcomes["unknown_id"] > 10


def test_share_of_lines_is_not_json():
    """A client would lose the whole job because of one bad line."""
    lines, story = run_records(RecordFaults(not_json=0.1))
    assert sum(not is_json(line) for line in lines) == story.outcomes["not_json"] > 10


def test_share_of_lines_is_not_utf8():
    """A client would lose the whole job because of one bad byte."""
    lines, story = run_records(RecordFaults(invalid_utf8=0.1))
    assert sum(b"\xff\xfe" in line for line in lines) == story.outcomes["invalid_utf8"] > 10


def test_share_of_echoes_is_wrong():
    """A client that trusts the echo would give a row the answer of another row."""
    lines, story = run_records(RecordFaults(wrong_echo=0.1))
    assert sum(b'"messages":[]' in line for line in lines) == story.outcomes["wrong_echo"] > 10


def is_json(line):
    """Tell whether a line is a JSON document."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


# Answers


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("truncated", lambda message, text: message["stop_reason"] == "max_tokens" and not is_json("{" + text)),
        ("refused", lambda message, text: message["stop_reason"] == "refusal" and text == ""),
        ("fenced", lambda message, text: text.endswith("\n```") and is_json("{" + text[:-4])),
        ("prose", lambda message, text: text.endswith("Let me know if you need anything else.")),
        ("typographic_quotes", lambda message, text: '„gut"' in text and not is_json("{" + text)),
        ("line_separator", lambda message, text: "\u2028" in text and is_json("{" + text)),
        ("invalid", lambda message, text: "unexpected" in json.loads("{" + text).__str__()),
        ("not_json", lambda message, text: text.startswith("I looked at the text")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_answers_are_bad_in_each_way(name, check):
    """A client's handling of such an answer could not be tested."""
    lines, _ = run_records(answers=AnswerFaults(**{name: 1.0}), count=100)
    for line in lines:
        message = json.loads(line)["modelOutput"]
        text = "".join(block["text"] for block in message["content"])
        assert check(message, text), text


def test_separator_stands_raw_in_the_line():
    """A client that splits lines with `str.splitlines` would break records, and pass its tests."""
    lines, _ = run_records(answers=AnswerFaults(line_separator=1.0), count=100)
    assert all("\u2028".encode() in line for line in lines)


def test_bad_answers_are_the_same_in_both_modes():
    """A test that compares both modes would fail with faults."""
    behaviour = Behaviour(answers=AnswerFaults(truncated=0.5), min_records_per_job=1)
    with LocalBedrock(behaviour, answers=SCHEMA) as local:
        bodies = [messages_body(f"text {i}") for i in range(20)]
        batch = {
            record["recordId"]: record["modelOutput"]
            for record in output_records(local, run_job(local, lines_of(bodies)))
        }
        assert {f"CALL{i:07d}": invoke(local, body) for i, body in enumerate(bodies)} == batch


def test_charges_count_batch_and_realtime_together():
    """A test could not detect a row that was paid for in both modes."""
    with LocalBedrock() as local:
        run_job(local, lines_of(messages_body(f"text {i}") for i in range(100)))
        invoke(local, messages_body("text 7"))
        assert local.charges[prompt_hash("text 7")] == 2
        assert sum(local.charges.values()) == 101


# The server itself


def test_stop_leaves_no_thread_and_frees_the_port():
    """A test suite would run out of ports, or never end."""
    before = set(threading.enumerate())
    behaviour = Behaviour(jobs=(JobFault(ends="NeverStarts"),), latency_seconds={"Converse": 30})
    with LocalBedrock(behaviour) as local:
        port = int(local.endpoint_url.rpartition(":")[2])
        create_job(local)
        client = local.client("bedrock-runtime", retries=NO_RETRY)

        def call():
            with contextlib.suppress(HTTPClientError):  # the server may stop before it answers
                client.converse(modelId=MODEL, **converse_body())

        caller = threading.Thread(target=call)
        caller.start()
        while local.count("Converse") == 0:
            time.sleep(0.01)
    caller.join()
    assert set(threading.enumerate()) == before
    with LocalBedrock(port=port) as again:
        assert again.endpoint_url.endswith(f":{port}")


def test_two_servers_run_side_by_side():
    """A test with its own server would disturb other tests."""
    with LocalBedrock(Behaviour(entitled=False)) as first, LocalBedrock() as second:
        assert run_job(second)["status"] == "Completed"
        assert first.jobs == []


def test_an_upload_that_its_client_did_not_finish_is_not_kept():
    """A client that is killed during a write would leave an object that S3 would not have stored."""
    with LocalBedrock() as local:
        local.create_bucket("cut")
        host, port = local.endpoint_url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"PUT /cut/object HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"PUT /cut/whole HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nwhole")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        found = local.client("s3").list_objects_v2(Bucket="cut")["Contents"]
        assert [item["Key"] for item in found] == ["whole"]
