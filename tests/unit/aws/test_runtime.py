"""Single model calls over HTTP: the request, the response, and the kind of each failure."""

from __future__ import annotations

import json

import pytest

from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.calls.retries import RetryPolicy, call
from bedrock_batch.aws.runtime import ask_model, converse, invoke_model
from helpers.aws_clients import clients_at
from helpers.scripted_http import Reply, failure, scripted_server

PROFILE = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0"
BODY = json.dumps({"messages": [{"role": "user", "content": "„Grüße“ \ud800"}], "max_tokens": 5}).encode("ascii")
ANSWER = {"content": [{"type": "text", "text": "{}"}], "stop_reason": "end_turn"}
CONVERSE_ANSWER = {
    "output": {"message": {"role": "assistant", "content": [{"text": "{}"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
    "metrics": {"latencyMs": 1},
}


def test_invoke_model_sends_the_body_and_returns_the_answer() -> None:
    """A prompt changed on the way, or an answer cut, would give a wrong row."""
    with scripted_server(Reply(body=ANSWER)) as server:
        assert ask_model(clients_at(server.url).bedrock_runtime, PROFILE, BODY) == ANSWER
    (request,) = server.requests
    assert request.path == f"/model/{PROFILE.replace(':', '%3A').replace('/', '%2F')}/invoke"
    assert request.body == BODY
    assert request.headers["Content-Type"] == "application/json"


def test_converse_returns_the_answer_without_the_response_metadata() -> None:
    """The metadata of a request would get into the saved answers and make equal answers differ."""
    request = {"messages": [{"role": "user", "content": [{"text": "hi"}]}], "inferenceConfig": {"maxTokens": 5}}
    with scripted_server(Reply(body=CONVERSE_ANSWER)) as server:
        assert ask_model(clients_at(server.url).bedrock_runtime, PROFILE, request) == CONVERSE_ANSWER
    assert json.loads(server.requests[0].body) == request
    assert server.requests[0].path.endswith("/converse")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        pytest.param(
            failure(429, "ThrottlingException", "Too many requests", **{"Retry-After": "2"}),
            "throttled",
            id="throttled",
        ),
        pytest.param(failure(400, "ValidationException", "max_tokens: Field required"), "validation", id="validation"),
        pytest.param(failure(403, "AccessDeniedException"), "access_denied", id="denied"),
        pytest.param(failure(404, "ResourceNotFoundException"), "model_not_found", id="not found"),
        pytest.param(failure(424, "ModelErrorException"), "model_error", id="model error"),
        pytest.param(failure(408, "ModelTimeoutException"), "timeout", id="model timeout"),
        pytest.param(failure(503, "ServiceUnavailableException"), "transient", id="unavailable"),
        pytest.param(Reply(502, b"<html>bad gateway</html>"), "transient", id="gateway"),
        pytest.param(Reply(lost=True), "transient", id="connection lost"),
        pytest.param(Reply(body=ANSWER, cut=True), "transient", id="answer cut"),
        pytest.param(Reply(body=ANSWER, delay=0.6), "timeout", id="no answer in time"),
        pytest.param(Reply(body=b"<html>proxy login</html>"), "invalid_response", id="not JSON"),
        pytest.param(Reply(body=[1]), "invalid_response", id="no object"),
        pytest.param(Reply(body=b"[" * 100_000), "invalid_response", id="too deep"),
    ],
)
def test_each_way_of_failing_is_told_apart(reply: Reply, kind: str) -> None:
    """A failure of one kind taken for another is retried for money, or loses a record that could be saved."""
    with scripted_server(reply) as server:
        client = clients_at(server.url, read_timeout=0.2 if reply.delay else 30).bedrock_runtime
        with pytest.raises(AwsError) as caught:
            invoke_model(client, "m", BODY)
    assert caught.value.kind.value == kind
    assert caught.value.operation == "InvokeModel"
    assert len(server.requests) == 1


def test_a_throttled_record_is_answered_in_the_end() -> None:
    """A record would be lost to throttling, although the service only asked to wait."""
    throttle = failure(429, "ThrottlingException", "Too many requests", **{"Retry-After": "2"})
    waits: list[float] = []
    with scripted_server(*[throttle] * 8, failure(500, "InternalServerException"), Reply(body=ANSWER)) as server:
        client = clients_at(server.url).bedrock_runtime
        answer = call(
            lambda: invoke_model(client, "m", BODY), RetryPolicy(sleep=waits.append, uniform=lambda low, high: low)
        )
    assert answer == ANSWER
    assert waits == [2.0] * 8 + [0.0]


def test_an_old_sdk_says_which_member_it_does_not_know() -> None:
    """A user of an old botocore would not learn why structured output cannot be asked for."""
    request = {"messages": [], "notYetInvented": {}}
    with scripted_server(Reply()) as server, pytest.raises(AwsError, match="notYetInvented") as caught:
        converse(clients_at(server.url).bedrock_runtime, "m", request)
    assert caught.value.kind is ErrorKind.VALIDATION
