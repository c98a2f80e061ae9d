"""The adapters of AWS together, over HTTP against the local Bedrock: upload, create, poll, list, download, ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.calls.retries import Retry, RetryPolicy, call
from bedrock_batch.aws.invocation_jobs import (
    BatchUnavailableError,
    JobRequest,
    JobState,
    client_request_token,
    create_job,
    find_job,
    get_job,
    job_name,
    list_jobs,
    stop_job,
)
from bedrock_batch.aws.runtime import converse, invoke_model
from bedrock_batch.aws.s3 import S3Storage
from helpers.aws_clients import clients_at
from helpers.botocore_models import CONVERSE_IN_BATCH, RECORD_COUNTS
from local_bedrock.behaviour import Behaviour, CallFault, Phases
from local_bedrock.server import LocalBedrock

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
MESSAGES = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Grüße\u2028"}]}],
}
BODY = json.dumps(MESSAGES).encode("ascii")
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "hi"}]}], "inferenceConfig": {"maxTokens": 100}}


def serve(behaviour: Behaviour) -> LocalBedrock:
    return LocalBedrock(behaviour, speed=5.0)


@pytest.fixture
def local() -> Iterator[LocalBedrock]:
    with serve(Behaviour(min_records_per_job=1)) as server:
        server.create_bucket("bucket")
        yield server


def make_request(index: int = 0, **more: object) -> JobRequest:
    return JobRequest(
        name=job_name("prefix", "run1", index),
        role_arn="arn:aws:iam::123456789012:role/Batch",
        model_id=MODEL,
        input_uri=f"s3://bucket/in/run1/{index:04d}.jsonl",
        output_uri="s3://bucket/out/run1",
        client_request_token=client_request_token("run1", f"content {index}"),
        **more,  # type: ignore[arg-type]  # the tests name the fields
    )


def upload_records(server: LocalBedrock, folder: Path, request: JobRequest, count: int = 5) -> S3Storage:
    path = folder / "records.jsonl"
    lines = [json.dumps({"recordId": f"R{i:010d}", "modelInput": MESSAGES}) for i in range(count)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    storage = S3Storage(clients_at(server.endpoint_url).s3)
    storage.upload_file(path, request.input_uri)
    return storage


def wait_for(server: LocalBedrock, arn: str) -> JobState:
    server.wait_for_jobs()
    return get_job(clients_at(server.endpoint_url).bedrock, arn)


@RECORD_COUNTS
def test_a_job_goes_from_file_to_results(local: LocalBedrock, tmp_path: Path) -> None:
    """A user would pay for answers that the step does not find."""
    request = make_request()
    storage = upload_records(local, tmp_path, request)
    state = wait_for(local, create_job(clients_at(local.endpoint_url).bedrock, request))
    assert (state.status, state.terminal, state.total_records, state.success_records) == ("Completed", True, 5, 5)
    names = {item.name: item.uri for item in storage.list_objects(state.results_uri)}
    assert set(names) == {"0000.jsonl.out", "manifest.json.out"}
    storage.download_file(names["0000.jsonl.out"], tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out").read_bytes().splitlines()]
    assert sorted(line["recordId"] for line in lines) == [f"R{i:010d}" for i in range(5)]
    assert storage.get_bytes(names["manifest.json.out"]).startswith(b"{")


@CONVERSE_IN_BATCH
def test_a_job_in_the_shape_of_converse(local: LocalBedrock, tmp_path: Path) -> None:
    """Models without the Messages body could not be used in batch."""
    request = make_request(invocation_type="Converse")
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps({"recordId": "R0000000000", "modelInput": CONVERSE}) + "\n")
    S3Storage(clients_at(local.endpoint_url).s3).upload_file(path, request.input_uri)
    assert wait_for(local, create_job(clients_at(local.endpoint_url).bedrock, request)).success_records == 1


def test_a_creation_whose_response_is_lost_makes_one_job(tmp_path: Path) -> None:
    """A user would pay for every record of the job twice."""
    lost = CallFault("CreateModelInvocationJob", calls=(1,), drop=True, when="after")
    with serve(Behaviour(min_records_per_job=1, calls=(lost,))) as server:
        server.create_bucket("bucket")
        request = make_request()
        upload_records(server, tmp_path, request)
        client = clients_at(server.endpoint_url).bedrock
        arn = create_job(client, request)
        assert [job.arn for job in server.jobs] == [arn]
        assert server.count("CreateModelInvocationJob") == 1
        assert create_job(client, request) == arn  # the same token again
        assert len(server.jobs) == 1


def test_jobs_are_found_by_name_and_stopped(tmp_path: Path) -> None:
    """A killed run would not find the jobs that it has paid for, and could not stop them."""
    with serve(Behaviour(min_records_per_job=1, phases=Phases(in_progress=100.0))) as server:
        server.create_bucket("bucket")
        client = clients_at(server.endpoint_url).bedrock
        requests = [make_request(index) for index in range(3)]
        for request in requests:
            upload_records(server, tmp_path, request)
            create_job(client, request)
        assert {job.name for job in list_jobs(client, name_contains="run1")} == {request.name for request in requests}
        found = find_job(client, requests[1].name)
        assert found is not None
        assert found.client_request_token == requests[1].client_request_token
        assert stop_job(client, found.arn) is True
        for job in list_jobs(client):
            stop_job(client, job.arn)
        assert wait_for(server, found.arn).status == "Stopped"
        assert stop_job(client, found.arn) is False
        assert find_job(client, "prefix-run1-9999") is None


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        pytest.param(Behaviour(entitled=False), ErrorKind.ENTITLEMENT, id="not entitled"),
        pytest.param(Behaviour(not_batchable=(MODEL,)), ErrorKind.MODEL_UNSUPPORTED, id="no batch"),
    ],
)
def test_what_makes_batch_impossible_is_recognised(behaviour: Behaviour, kind: ErrorKind) -> None:
    """Each of forty jobs would be uploaded and refused, and the user be told forty times."""
    with serve(behaviour) as server:
        server.create_bucket("bucket")
        with pytest.raises(BatchUnavailableError) as caught:
            create_job(clients_at(server.endpoint_url).bedrock, make_request())
    assert caught.value.kind is kind


def test_a_full_quota_is_a_reason_to_wait(tmp_path: Path) -> None:
    """A run of many jobs would lose those that AWS had no room for at the moment."""
    with serve(Behaviour(min_records_per_job=1, quota_exceeded_creates=1)) as server:
        server.create_bucket("bucket")
        request = make_request()
        upload_records(server, tmp_path, request)
        client = clients_at(server.endpoint_url).bedrock
        with pytest.raises(AwsError) as caught:
            create_job(client, request)
        assert caught.value.kind is ErrorKind.QUOTA_EXCEEDED
        assert create_job(client, request) == server.jobs[0].arn


def test_the_model_answers_in_both_apis(local: LocalBedrock) -> None:
    """Real time would not work at all."""
    runtime = clients_at(local.endpoint_url).bedrock_runtime
    body = invoke_model(runtime, MODEL, BODY)
    assert body["content"][0]["type"] == "text"
    answer = converse(runtime, MODEL, CONVERSE)
    assert answer["output"]["message"]["content"][0]["text"]
    assert "ResponseMetadata" not in answer


def test_a_heavily_throttled_service_answers_every_record() -> None:
    """Half of the rows would be lost to throttling, which costs nothing but time."""
    retries: list[Retry] = []
    with serve(Behaviour(throttle_share={"InvokeModel": 0.5})) as server:
        runtime = clients_at(server.endpoint_url).bedrock_runtime
        for _ in range(30):
            call(lambda: invoke_model(runtime, MODEL, BODY), RetryPolicy(sleep=lambda _: None), retries.append)
        assert server.count("InvokeModel") == 30 + len(retries)
    assert len(retries) > 5
    assert {retry.error.kind for retry in retries} == {ErrorKind.THROTTLED}


def test_a_model_that_wants_a_profile_says_so(local: LocalBedrock) -> None:
    """Every row would fail with AWS's text, which does not name the setting."""
    with pytest.raises(AwsError) as caught:
        invoke_model(clients_at(local.endpoint_url).bedrock_runtime, MODEL.removeprefix("us."), BODY)
    assert caught.value.kind is ErrorKind.ON_DEMAND_UNSUPPORTED
