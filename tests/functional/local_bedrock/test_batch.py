"""Batch jobs of the local Bedrock, through boto3 over HTTP."""

import json
import re

import jsonschema
import pytest
from botocore.exceptions import ClientError

from helpers.botocore_models import CONVERSE_IN_BATCH, RECORD_COUNTS, S3_URI_RULE
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
    run_job,
    wait_for,
)
from local_bedrock import Behaviour, JobFault, LocalBedrock, Phases

SMALL = Behaviour(min_records_per_job=1)


@pytest.fixture(scope="module")
def local():
    """A server that accepts small jobs."""
    with LocalBedrock(SMALL, answers=SCHEMA) as server:
        server.create_bucket("bucket")
        yield server


@pytest.fixture
def name(request):
    """A job name that no other test uses."""
    return re.sub(r"[^a-zA-Z0-9]+", "-", request.node.name)[-60:].strip("-")


@RECORD_COUNTS
def test_job_answers_every_record_once_with_counts(local, name):
    """A client that joins by recordId would lose or duplicate rows."""
    job = run_job(local, name=name)
    records = output_records(local, job)
    assert sorted(record["recordId"] for record in records) == [f"CALL{i:07d}" for i in range(100)]
    assert [job[f"{kind}RecordCount"] for kind in ("total", "processed", "success", "error")] == [100, 100, 100, 0]
    assert manifest(local, job)["successRecordCount"] == 100
    assert manifest(local, job)["outputTokenCount"] > 0


def test_output_is_not_in_input_order(local, name):
    """A client that joins by position would pass its tests, and mix up rows at AWS."""
    ids = [record["recordId"] for record in output_records(local, run_job(local, name=name))]
    assert ids != sorted(ids)


def test_output_is_named_after_job_and_input(local, name):
    """A client would not find the results."""
    job = run_job(local, name=name, key="in/some-name.jsonl")
    folder = f"out/{job['jobArn'][-12:]}"
    assert output_keys(local, job) == [f"{folder}/manifest.json.out", f"{folder}/some-name.jsonl.out"]


def test_output_echoes_the_input(local, name):
    """A client that compares the echo with its input would reject correct answers."""
    body = messages_body("one of a kind \u2028 with a separator")
    (record,) = output_records(local, run_job(local, lines_of([body]), name=name))
    assert record["modelInput"] == body


@RECORD_COUNTS
def test_job_passes_through_the_documented_statuses(name):
    """A client that does not know Validating or Scheduled would fail at AWS."""
    phases = Phases(0.1, 0.1, 0.1, 0.2)
    with LocalBedrock(Behaviour(phases=phases)) as local:
        arn = create_job(local, name=name)
        seen = [wait_for(local, arn, {status})["status"] for status in ("Validating", "Scheduled", "InProgress")]
        counts = wait_for(local, arn)["processedRecordCount"]
    assert seen == ["Validating", "Scheduled", "InProgress"]
    assert counts == 100


@CONVERSE_IN_BATCH
def test_get_tells_the_request_and_the_times(local, name):
    """A client that reads back its own request would not find it."""
    job = run_job(local, name=name, timeoutDurationInHours=48, clientRequestToken=f"token-{name}")
    assert job["jobName"] == name
    assert job["clientRequestToken"] == f"token-{name}"
    assert job["modelInvocationType"] == "InvokeModel"
    assert job["endTime"] >= job["submitTime"]
    assert (job["jobExpirationTime"] - job["submitTime"]).total_seconds() == 48 * 3600


def test_get_accepts_the_bare_job_id(local, name):
    """A client that stores only the id could not find its job."""
    arn = create_job(local, name=name)
    assert local.client("bedrock").get_model_invocation_job(jobIdentifier=arn[-12:])["jobArn"] == arn


@CONVERSE_IN_BATCH
def test_converse_job_answers_in_converse_shape_with_null_members(local, name):
    """A client that tests `"toolUse" in block` would misread the output of AWS, in which every member is present."""
    data = lines_of([converse_body()])
    (record,) = output_records(local, run_job(local, data, name=name, modelInvocationType="Converse"))
    (block,) = record["modelOutput"]["output"]["message"]["content"]
    jsonschema.validate(json.loads(block["text"]), SCHEMA)
    assert block["toolUse"] is None
    assert record["modelOutput"]["stopReason"] == "end_turn"


def test_batch_and_realtime_give_the_same_answer(local, name):
    """A test that compares both modes would fail although the client is correct."""
    body = messages_body("the same in both modes", prefill="{")
    (record,) = output_records(local, run_job(local, lines_of([body]), name=name))
    answer = local.client("bedrock-runtime").invoke_model(modelId=MODEL, body=json.dumps(body))
    assert json.loads(answer["body"].read()) == record["modelOutput"]


@RECORD_COUNTS
def test_prefix_input_processes_every_jsonl_file_below_it(local, name):
    """A client that passes a prefix would not notice that other files are processed too."""
    data = lines_of([messages_body("a")])
    local.client("s3").put_object(Bucket="bucket", Key=f"{name}/a.jsonl", Body=data)
    local.client("s3").put_object(Bucket="bucket", Key=f"{name}/b.jsonl", Body=lines_of([messages_body("b")], 1))
    local.client("s3").put_object(Bucket="bucket", Key=f"{name}/notes.txt", Body=b"no record")
    job = run_job(local, b"", key=f"{name}/", name=name)
    assert [key.rpartition("/")[2] for key in output_keys(local, job)] == [
        "a.jsonl.out",
        "b.jsonl.out",
        "manifest.json.out",
    ]
    assert job["totalRecordCount"] == 2


def test_replayed_token_gives_the_first_job(local, name):
    """A client that repeats a creation after a lost response would pay twice."""
    token = f"token-{name}"
    first = create_job(local, name=name, clientRequestToken=token)
    assert create_job(local, name=name, clientRequestToken=token) == first


def test_name_in_use_is_a_conflict(local, name):
    """A client would not notice that its job names are not unique."""
    create_job(local, name=name)
    with pytest.raises(ClientError, match="The provided job name is currently in use") as caught:
        create_job(local, name=name)
    assert caught.value.response["Error"]["Code"] == "ConflictException"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jobName": "bad_name"}, "'jobName' failed to satisfy constraint: Member must satisfy regular expression"),
        ({"jobName": "a" + "-" * 60 + "_"}, "'jobName' failed to satisfy constraint"),
        ({"jobName": "x" * 64}, "Member must have length less than or equal to 63"),
        ({"roleArn": "me"}, "'roleArn' failed to satisfy constraint"),
        ({"timeoutDurationInHours": 169}, "Member must have value less than or equal to 168"),
        pytest.param(
            {"modelInvocationType": "Both"}, r"enum value set: \[InvokeModel, Converse\]", marks=CONVERSE_IN_BATCH
        ),
        ({"clientRequestToken": "a_b"}, "'clientRequestToken' failed to satisfy constraint"),
        pytest.param(
            {"inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bucket/dt=1/x.jsonl"}}},
            "s3Uri' failed to satisfy",
            marks=S3_URI_RULE,
        ),
        (
            {"outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://nowhere/out/"}}},
            "bucket nowhere .* does not exist",
        ),
        ({"modelId": "anthropic.claude-unheard-of"}, "The provided model identifier is invalid"),
        ({"modelId": "anthropic.claude-sonnet-4-20250514-v1:0"}, "Batch inference is not supported for model"),
        (
            {"modelId": "global.anthropic.claude-opus-5-5"},
            "Batch inference is not supported for model .* in region us-east-1",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_create_refuses_what_aws_refuses(local, name, change, message):
    """A request that passes the checks of botocore would be refused for the first time in production."""
    with pytest.raises(ClientError, match=message) as caught:
        create_job(local, b"", **{"name": name, **change})
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_account_without_batch_is_refused():
    """A client could not be tested against a new account, which has no batch inference."""
    with LocalBedrock(Behaviour(entitled=False)) as local, pytest.raises(ClientError, match="support case"):
        create_job(local)


def test_quota_counts_jobs_in_flight_per_model():
    """A client that never waits for a free slot would pass its tests, and fail at AWS."""
    behaviour = Behaviour(max_concurrent_jobs=1, jobs=(JobFault(name="first", ends="NeverStarts"),))
    with LocalBedrock(behaviour) as local:
        first = create_job(local, name="first")
        with pytest.raises(ClientError) as caught:
            create_job(local, name="second")
        create_job(local, name="other-model", modelId="amazon.nova-lite-v1:0")
        local.client("bedrock").stop_model_invocation_job(jobIdentifier=first)
        wait_for(local, first, {"Stopped"})
        create_job(local, name="third")
    assert caught.value.response["Error"]["Code"] == "ServiceQuotaExceededException"


@pytest.mark.parametrize(
    ("data", "key", "message"),
    [
        (b"", "in/absent.jsonl", "no .jsonl object was found"),
        (lines_of([messages_body()]), "in/records.json", "must have the extension .jsonl"),
        (b'{"recordId": "A"}\n[1]\n', "in/records.jsonl", "line 2 is not a JSON object"),
        (b'{"recordId": "A"\n', "in/records.jsonl", "line 1 is not a JSON object"),
        (
            lines_of([messages_body()] * 99),
            "in/records.jsonl",
            r"less records \(99\) than the required minimum of: 100",
        ),
        (
            lines_of([messages_body()] * 201),
            "in/records.jsonl",
            r"more records \(201\) than the allowed maximum of: 200",
        ),
        (lines_of([messages_body("x" * 3000)] * 100), "in/records.jsonl", r"larger .* than the allowed maximum"),
        (lines_of([messages_body()] * 100) * 2, "in/records.jsonl", "CALL0000000 more than once"),
    ],
    ids=["absent", "extension", "no object", "no JSON", "too few", "too many", "too large", "duplicates"],
)
def test_bad_input_fails_in_validating_with_a_message(data, key, message):
    """A client that shows only `Failed` would hide the reason from its user."""
    behaviour = Behaviour(max_records_per_job=200, max_input_file_bytes=200_000, refuse_duplicate_record_ids=True)
    with LocalBedrock(behaviour) as local:
        job = run_job(local, data, key=key)
        assert output_keys(local, job) == []
    assert job["status"] == "Failed"
    assert re.search(message, job["message"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({**messages_body(), "modelId": MODEL}, "modelId: Extra inputs are not permitted"),
        (
            {key: value for key, value in messages_body().items() if key != "anthropic_version"},
            "anthropic_version: Field required",
        ),
        (
            messages_body(system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]),
            "prompt caching",
        ),
        ({"inputText": "no such shape"}, "anthropic_version: Field required"),
    ],
    ids=["modelId", "version", "cache marker", "other shape"],
)
@RECORD_COUNTS
def test_bad_body_is_an_error_of_its_record_in_a_completed_job(local, name, body, message):
    """A client that trusts `Completed` would report rows without answers as answered."""
    job = run_job(local, lines_of([body]), name=name)
    (record,) = output_records(local, job)
    assert job["status"] == "Completed"
    assert job["errorRecordCount"] == 1
    assert record["error"]["errorCode"] == 400
    assert record["error"]["retryable"] is False
    assert message in record["error"]["errorMessage"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (messages_body(), 'Unrecognized field "anthropic_version"'),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, 'Unrecognized field "type"'),
        (converse_body(modelId=MODEL), 'Unrecognized field "modelId"'),
        (converse_body(toolConfig={"tools": []}), "Tool calling is not supported"),
    ],
    ids=["anthropic body", "anthropic block", "modelId", "tools"],
)
@CONVERSE_IN_BATCH
def test_converse_record_of_another_shape_is_an_error(local, name, body, message):
    """A client that sends bodies of the wrong invocation type would notice it only at AWS."""
    job = run_job(local, lines_of([body]), name=name, modelInvocationType="Converse")
    (record,) = output_records(local, job)
    assert message in record["error"]["errorMessage"]


def test_record_without_id_gets_one(local, name):
    """A client that omits record ids would get output without ids."""
    data = json.dumps({"modelInput": messages_body()}).encode()
    (record,) = output_records(local, run_job(local, data, name=name))
    assert re.fullmatch("[A-Z0-9]{11}", record["recordId"])


def test_list_pages_filters_and_sorts():
    """A client that recovers its jobs by listing would miss those beyond the first page."""
    with LocalBedrock(SMALL) as local:
        arns = [create_job(local, name=f"{kind}-{i}") for i in range(3) for kind in ("mine", "other")]
        local.wait_for_jobs()
        client = local.client("bedrock")
        pages = client.get_paginator("list_model_invocation_jobs").paginate(PaginationConfig={"PageSize": 2})
        everything = [job["jobArn"] for page in pages for job in page["invocationJobSummaries"]]
        mine = client.list_model_invocation_jobs(nameContains="mine", sortOrder="Ascending")["invocationJobSummaries"]
        running = client.list_model_invocation_jobs(statusEquals="InProgress")["invocationJobSummaries"]
        later = client.list_model_invocation_jobs(submitTimeAfter=mine[-1]["endTime"].replace(year=2100))
    assert everything == arns[::-1]
    assert [job["jobName"] for job in mine] == ["mine-0", "mine-1", "mine-2"]
    assert running == later["invocationJobSummaries"] == []


@RECORD_COUNTS
def test_stop_in_progress_writes_and_charges_what_was_done():
    """A client that discards the results of a stopped job would discard paid answers."""
    with LocalBedrock(Behaviour(phases=Phases(in_progress=2)), answers=SCHEMA) as local:
        arn = create_job(local)
        wait_for(local, arn, {"InProgress"})
        while local.client("bedrock").get_model_invocation_job(jobIdentifier=arn)["processedRecordCount"] == 0:
            pass
        local.client("bedrock").stop_model_invocation_job(jobIdentifier=arn)
        job = wait_for(local, arn)
        records = output_records(local, job)
        charged = local.jobs[0].charged_ids
    assert job["status"] == "Stopped"
    assert 0 < len(records) < 100
    assert sorted(charged) == sorted(record["recordId"] for record in records)


def test_stop_before_the_start_leaves_nothing():
    """A client would look for the output of a job that never started."""
    with LocalBedrock(Behaviour(phases=Phases(submitted=5))) as local:
        arn = create_job(local)
        local.client("bedrock").stop_model_invocation_job(jobIdentifier=arn)
        job = wait_for(local, arn)
        assert output_keys(local, job) == []
        with pytest.raises(ClientError, match="cannot be stopped"):
            local.client("bedrock").stop_model_invocation_job(jobIdentifier=arn)
    assert job["status"] == "Stopped"


def test_unknown_job_is_not_found(local):
    """A client could not distinguish a lost job from a running one."""
    with pytest.raises(ClientError) as caught:
        local.client("bedrock").get_model_invocation_job(jobIdentifier="abcdefghijkl")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_encryption_key_reaches_the_output(local, name):
    """A client could lose its KMS setting unnoticed."""
    key = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"
    output = {"s3OutputDataConfig": {"s3Uri": "s3://bucket/out/", "s3EncryptionKeyId": key}}
    job = run_job(local, name=name, outputDataConfig=output)
    (results,) = [each for each in output_keys(local, job) if each.endswith(".jsonl.out")]
    assert local.client("s3").head_object(Bucket="bucket", Key=results)["SSEKMSKeyId"] == key
