"""Damaged responses to every operation of the step, over HTTP through boto3: failed calls, nothing worse."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.aws.account import (
    ModelFacts,
    bedrock_quotas,
    bucket_region,
    caller_arn,
    denied_actions,
    describe_model,
    find_model_arn,
    missing_access,
    profile_models,
    trust_policy,
)
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.calls.retries import RetryPolicy
from bedrock_batch.aws.clients import ClientFactory
from bedrock_batch.aws.invocation_jobs import (
    JobRequest,
    JobState,
    create_job,
    describe_job,
    find_job,
    get_job,
    list_jobs,
    stop_job,
)
from bedrock_batch.aws.price_list import ListedPrice, list_prices
from bedrock_batch.aws.runtime import converse, count_tokens, invoke_model
from bedrock_batch.aws.s3 import ObjectExistsError, S3Object, S3Storage, StoredBytes
from bedrock_batch.errors import JobError, RunError
from bedrock_batch.models.model_output import read_output
from helpers.aws_clients import clients_at
from helpers.botocore_models import INFERENCE_PROFILES, MODEL_ACCESS, TOKEN_COUNTS
from helpers.scripted_http import Reply, ScriptedServer, scripted_server

# A connection that is cut in the middle of a response is closed when Python gets to it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

ARN = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghijkl"
URI = "s3://bucket/in/a.jsonl"
NAME = "cursus-bedrock-batch-run1-0000"
REQUEST = JobRequest(
    NAME, "arn:aws:iam::123456789012:role/Batch", "us.anthropic.claude-haiku-4-5", URI, "s3://bucket/out", "a" * 64
)
JOB = {
    "jobArn": ARN,
    "jobName": NAME,
    "modelId": REQUEST.model_id,
    "roleArn": REQUEST.role_arn,
    "status": "Completed",
    "message": "done",
    "clientRequestToken": REQUEST.client_request_token,
    "submitTime": "2026-11-24T00:00:00Z",
    "endTime": "2026-11-24T01:00:00Z",
    "inputDataConfig": {"s3InputDataConfig": {"s3Uri": URI}},
    "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://bucket/out"}},
    "totalRecordCount": 10,
    "processedRecordCount": 10,
    "successRecordCount": 9,
    "errorRecordCount": 1,
}
MESSAGE = {"content": [{"type": "text", "text": "{}"}], "stop_reason": "end_turn", "usage": {"input_tokens": 1}}
PRODUCT = (
    '{"product": {"attributes": {"model": "Nova Pro", "usagetype": "USE1-NovaPro-input-tokens"}}, "terms": '
    '{"OnDemand": {"T": {"priceDimensions": {"D": {"unit": "1K tokens", "pricePerUnit": {"USD": "0.0008"}}}}}}}'
)
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "{}"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
    "metrics": {"latencyMs": 1},
}
HEADERS = {"ETag": '"abc"', "Last-Modified": "Tue, 24 Nov 2026 00:00:00 GMT"}
LISTING = (
    '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name>'
    "<Prefix>in/</Prefix><KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated><Contents>"
    "<Key>in/a.jsonl</Key><LastModified>2026-11-24T00:00:00.000Z</LastModified><ETag>&quot;abc&quot;</ETag>"
    "<Size>5</Size><StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>"
)
UPLOADS = (
    '<ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>bucket</Bucket>'
    "<IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
)
STS = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    "<Arn>arn:aws:iam::123456789012:user/a</Arn><UserId>A</UserId><Account>123456789012</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)
IAM = "https://iam.amazonaws.com/doc/2010-05-08/"
ROLE = (
    f'<GetRoleResponse xmlns="{IAM}"><GetRoleResult><Role><Path>/</Path><RoleName>Batch</RoleName>'
    "<AssumeRolePolicyDocument>%7B%22Statement%22%3A%5B%5D%7D</AssumeRolePolicyDocument></Role></GetRoleResult>"
    "</GetRoleResponse>"
)
SIMULATION = (
    f'<SimulatePrincipalPolicyResponse xmlns="{IAM}"><SimulatePrincipalPolicyResult><EvaluationResults><member>'
    "<EvalActionName>iam:PassRole</EvalActionName><EvalDecision>allowed</EvalDecision></member></EvaluationResults>"
    "<IsTruncated>false</IsTruncated></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
)


def is_job(value: Any) -> bool:
    """A complete and valid job."""
    counts = (value.total_records, value.processed_records, value.success_records, value.error_records)
    return (
        isinstance(value, JobState)
        and value.arn == ARN
        and bool(value.status)
        and value.output_uri.startswith("s3://")
        and all(count is None or (type(count) is int and 0 <= count < 2**63) for count in counts)
        and isinstance(value.message, str)
    )


def is_answer(value: Any) -> bool:
    """A body that can be kept in the journal and read."""
    json.dumps(value)
    return isinstance(read_output(value).text, str)


def is_texts(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(each, str) for each in value)


@dataclass(frozen=True)
class Operation:
    """A call of the step, its right response, and the accepted outcomes of a damaged one."""

    call: Callable[[ClientFactory], Any]
    right: Reply
    fits: Callable[[Any], bool]
    most_requests: int = 1


def of_json(call: Callable[[ClientFactory], Any], body: Any, fits: Callable[[Any], bool], most: int = 1) -> Operation:
    return Operation(call, Reply(body=body), fits, most)


def of_xml(call: Callable[[ClientFactory], Any], text: str, fits: Callable[[Any], bool], most: int = 3) -> Operation:
    return Operation(call, Reply(body=text.encode(), headers={"Content-Type": "text/xml"}), fits, most)


def of_object(call: Callable[[ClientFactory], Any], body: bytes, fits: Callable[[Any], bool], most: int) -> Operation:
    return Operation(call, Reply(body=body, headers=HEADERS), fits, most)


def storage(clients: ClientFactory) -> S3Storage:
    return S3Storage(clients.s3)


OPERATIONS = {
    "CreateModelInvocationJob": of_json(
        lambda clients: create_job(clients.bedrock, REQUEST), {"jobArn": ARN}, lambda value: value == ARN, 2
    ),
    "GetModelInvocationJob": of_json(lambda clients: get_job(clients.bedrock, ARN), JOB, is_job),
    "GetModelInvocationJob for notebooks": of_json(
        lambda clients: describe_job(clients.bedrock, ARN),
        JOB,
        lambda value: value["jobArn"].startswith("arn:") and bool(value["status"]),
    ),
    "ListModelInvocationJobs": of_json(
        lambda clients: list(list_jobs(clients.bedrock)),
        {"invocationJobSummaries": [JOB]},
        lambda value: all(map(is_job, value)),
        2,
    ),
    "ListModelInvocationJobs for one": of_json(
        lambda clients: find_job(clients.bedrock, NAME),
        {"invocationJobSummaries": [JOB]},
        lambda value: value is None or (is_job(value) and value.input_uri.startswith("s3://")),
        2,
    ),
    "StopModelInvocationJob": of_json(
        lambda clients: stop_job(clients.bedrock, ARN), {}, lambda value: isinstance(value, bool)
    ),
    "GetFoundationModel": of_json(
        lambda clients: describe_model(clients.bedrock, "m"),
        {"modelDetails": {"modelArn": "arn:aws:bedrock:::m", "modelId": "m", "modelLifecycle": {"status": "ACTIVE"}}},
        lambda value: isinstance(value, ModelFacts) and is_texts((value.arn, value.name, value.lifecycle)),
    ),
    "GetFoundationModelAvailability": of_json(
        lambda clients: missing_access(clients.bedrock, "m"),
        {
            "modelId": "m",
            "agreementAvailability": {"status": "AVAILABLE"},
            "authorizationStatus": "AUTHORIZED",
            "entitlementAvailability": "AVAILABLE",
            "regionAvailability": "AVAILABLE",
        },
        is_texts,
    ),
    "GetInferenceProfile": of_json(
        lambda clients: profile_models(clients.bedrock, "p"),
        {"models": [{"modelArn": "arn:aws:bedrock:::m"}]},
        is_texts,
    ),
    "GetInferenceProfile for its model": of_json(
        lambda clients: find_model_arn(clients.bedrock, "p", RetryPolicy(sleep=lambda _: None)),
        {"models": [{"modelArn": "arn:aws:bedrock:::m"}]},
        lambda value: value == "arn:aws:bedrock:::m",
        10,
    ),
    "InvokeModel": of_json(lambda clients: invoke_model(clients.bedrock_runtime, "m", b"{}"), MESSAGE, is_answer),
    "Converse": of_json(lambda clients: converse(clients.bedrock_runtime, "m", {"messages": []}), CONVERSE, is_answer),
    "CountTokens": of_json(
        lambda clients: count_tokens(clients.bedrock_runtime, "m", b"{}"),
        {"inputTokens": 7},
        lambda value: type(value) is int and 0 <= value < 2**63,
    ),
    "GetCallerIdentity": of_xml(
        lambda clients: caller_arn(clients.sts), STS, lambda value: isinstance(value, str) and bool(value), 2
    ),
    "GetRole": of_xml(
        lambda clients: trust_policy(clients.iam, "Batch"), ROLE, lambda value: isinstance(value, Mapping), 2
    ),
    "SimulatePrincipalPolicy": of_xml(
        lambda clients: denied_actions(clients.iam, "arn:aws:iam::123456789012:user/a", ["iam:PassRole"], "arn:x"),
        SIMULATION,
        is_texts,
        2,
    ),
    "ListServiceQuotas": of_json(
        lambda clients: list(bedrock_quotas(clients.service_quotas)),
        {"Quotas": [{"QuotaName": "q", "Value": 5.0}]},
        lambda value: all(isinstance(name, str) and isinstance(number, float) for name, number in value),
        4,
    ),
    "GetProducts": of_json(
        lambda clients: list(list_prices(clients.pricing, "us-east-1", RetryPolicy(sleep=lambda _: None))),
        {"PriceList": [PRODUCT]},
        lambda value: all(isinstance(price, ListedPrice) and is_texts(price.names) for price in value),
        40,
    ),
    "HeadBucket": of_object(
        lambda clients: bucket_region(clients.s3, "bucket"), b"", lambda value: value is None or bool(value), 3
    ),
    "HeadObject": of_object(
        lambda clients: storage(clients).find(URI), b"", lambda value: value is None or isinstance(value, S3Object), 3
    ),
    "GetObject": of_object(
        lambda clients: storage(clients).get(URI),
        b"12345",
        lambda value: isinstance(value, StoredBytes) and bool(value.etag),
        3,
    ),
    "PutObject": of_object(
        lambda clients: storage(clients).put_bytes(URI, b"12345"), b"", lambda value: bool(value), 12
    ),
    "ListObjectsV2": of_xml(
        lambda clients: list(storage(clients).list_objects("s3://bucket/in/")),
        LISTING,
        lambda value: all(isinstance(item, S3Object) and item.uri.startswith("s3://bucket/in/") for item in value),
        6,
    ),
    "ListMultipartUploads": of_xml(
        lambda clients: storage(clients).abort_uploads("s3://bucket/in/"), UPLOADS, lambda value: value == 0, 6
    ),
    "DeleteObject": of_object(lambda clients: storage(clients).delete(URI), b"", lambda value: value is None, 3),
}

YOUNG = {
    "CountTokens": TOKEN_COUNTS,
    "GetFoundationModelAvailability": MODEL_ACCESS,
    "GetInferenceProfile": INFERENCE_PROFILES,
    "GetInferenceProfile for its model": INFERENCE_PROFILES,
}
NAMES = [pytest.param(name, marks=YOUNG.get(name, ())) for name in OPERATIONS]

HTML = b"<html><head><title>Sign in</title></head><body><p>Please sign in to the network.<br></body></html>"
DEEP = b"[" * 100_000
BODIES: dict[str, bytes] = {
    "empty": b"",
    "an empty object": b"{}",
    "an empty list": b"[]",
    "null": b"null",
    "a number": b"5",
    "a text": b'"text"',
    "true": b"true",
    "a list of objects": b"[{}]",
    "half an object": b'{"a": ',
    "two objects": b"{}{}",
    "NaN": b'{"jobArn": NaN}',
    "HTML": HTML,
    "XHTML": b'<?xml version="1.0"?><html><body>Sign in</body></html>',
    "an XML error": b"<Error><Code>InternalError</Code><Message>no</Message></Error>",
    "XML cut": b"<ListBucketResult><Name>bu",
    "XML of another form": b"<a><b>1</b><b>2</b></a>",
    "an empty element": b"<ListBucketResult/>",
    "too deep a list": DEEP,
    "too deep an object": b'{"output":' * 50_000 + b"1" + b"}" * 50_000,
    "500 levels": b'{"output":' * 500 + b"1" + b"}" * 500,
    "no UTF-8": b"\xff\xfe\x00{}",
    "zeros": b"\0" * 100,
    "a mark of byte order": b"\xef\xbb\xbf{}",
    "half a surrogate": b'{"jobArn": "\\ud800", "message": "\\udfff"}',
    "white space": b" \n ",
}
STATUSES = (204, 301, 302, 400, 403, 404, 409, 418, 429)


def damages(right: Reply) -> Iterator[tuple[str, Reply]]:
    """Damaged forms of a response, each with its name; fifty or more."""
    for name, body in BODIES.items():
        yield name, Reply(body=body)
        yield f"{name}, with the right headers", replace(right, body=body)
    for status in STATUSES:
        yield f"HTTP {status} with HTML", Reply(status, HTML, {"Content-Type": "text/html"})
    yield "HTTP 400 with a list", Reply(400, [1])
    yield "HTTP 400 with a number for its code", Reply(400, {"__type": 5, "message": ["x"]})
    yield "HTTP 503 with a list", Reply(503, [1])
    yield "a lost connection", replace(right, lost=True)
    yield "a cut body", replace(right, cut=True)
    data = right.data
    for part in (1, 2, 3):
        yield f"{part} quarters of it", replace(right, body=data[: len(data) * part // 4])
    yield from _wrong_members(right)
    yield from _wrong_headers(right)


WRONG = (-1, 10**30, "x", 1.5, True, None, [], {}, [1], {"a": 1}, "", "9999-99-99T99:99:99Z")


def _wrong_members(right: Reply) -> Iterator[tuple[str, Reply]]:
    """The right body with each member removed in turn, or replaced by values of every other type."""
    if isinstance(right.body, bytes):
        text = right.body.decode()
        for name in sorted({part.split(">")[0].split(" ")[0] for part in text.split("<") if part[:1].isalpha()}):
            for wrong in ("", "-1", "x", "9" * 31, "<y/>"):
                head, separator, rest = text.partition(f"<{name}>")
                _, end, tail = rest.partition(f"</{name}>")
                if separator and end:
                    changed = f"{head}{separator}{wrong}{end}{tail}"
                    yield f"{name}={wrong!r}", replace(right, body=changed.encode())
                    yield f"no {name}", replace(right, body=f"{head}{tail}".encode())
        return
    for path in _paths(right.body):
        yield f"no {path}", replace(right, body=_changed(right.body, path))
        for wrong in WRONG:
            yield f"{path}={wrong!r}", replace(right, body=_changed(right.body, path, wrong))


def _wrong_headers(right: Reply) -> Iterator[tuple[str, Reply]]:
    for name in right.headers:
        yield f"no {name}", replace(right, headers={k: v for k, v in right.headers.items() if k != name})
        for wrong in ("", "x", "-1"):
            yield f"{name}: {wrong}", replace(right, headers={**right.headers, name: wrong})


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (key,)
        yield from ((key, *rest) for rest in _paths(child))


_GONE = object()


def _changed(value: Any, path: tuple[Any, ...], wrong: Any = _GONE) -> Any:
    copy = value.copy()
    key, *rest = path
    if rest:
        copy[key] = _changed(copy[key], tuple(rest), wrong)
    elif wrong is _GONE:
        del copy[key]
    else:
        copy[key] = wrong
    return copy


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted_server(Reply()) as server:
        yield server


@pytest.fixture(scope="module")
def clients(server: ScriptedServer) -> ClientFactory:
    return clients_at(server.url)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits of the SDK's own retries would take minutes altogether."""
    monkeypatch.setattr(time, "sleep", lambda _: None)


@pytest.mark.parametrize("name", NAMES)
def test_the_right_response_is_understood(name: str, server: ScriptedServer, clients: ClientFactory) -> None:
    """A check that refuses everything would pass every other test here."""
    operation = OPERATIONS[name]
    server.play(operation.right)
    assert operation.fits(operation.call(clients))


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_response_is_a_failed_call(name: str, server: ScriptedServer, clients: ClientFactory) -> None:
    """A body cut by a proxy would end a run of many hours with a KeyError, or be taken for the answer."""
    operation, wrong = OPERATIONS[name], []
    cases = list(damages(operation.right))
    for damage, reply in cases:
        server.play(reply)
        try:
            value = operation.call(clients)
        except (AwsError, JobError, RunError, ObjectExistsError):
            value = None
        except Exception as error:
            wrong.append(f"{damage}: {type(error).__name__}: {error}")
        else:
            if not operation.fits(value):
                wrong.append(f"{damage}: gave {value!r}")
        # The SDK looks for the region of a bucket by itself when it is redirected without being told one.
        if len(server.requests) > operation.most_requests and "HTTP 30" not in damage:
            wrong.append(f"{damage}: {len(server.requests)} requests")
    assert len(cases) >= 50
    assert wrong == []


@pytest.mark.parametrize("size", [10, 12 << 20], ids=["in one part", "in several"])
def test_a_damaged_answer_to_an_upload_is_a_failed_upload(
    size: int, server: ScriptedServer, clients: ClientFactory, tmp_path: Path
) -> None:
    """A job would be created over an object that was never written, and its rows be asked at twice the price."""
    path = tmp_path / "job.jsonl"
    path.write_bytes(b"x" * size)
    store = S3Storage(clients.s3, part_size=6 << 20)
    for body in (HTML, b"{}", b"", b"<a/>"):
        server.play(Reply(body=body, headers={"Content-Type": "text/html"}))
        with pytest.raises(AwsError):
            store.upload_file(path, URI)


def test_a_damaged_answer_to_a_download_leaves_no_file(
    server: ScriptedServer, clients: ClientFactory, tmp_path: Path
) -> None:
    """A page of a proxy would be read as the results of a job."""
    path = tmp_path / "results.jsonl"
    for reply in (
        Reply(body=HTML),
        Reply(body=b"12", headers=HEADERS, cut=True),
    ):
        server.play(reply)
        with pytest.raises(AwsError):
            storage(clients).download_file(URI, path)
        assert not path.exists()
