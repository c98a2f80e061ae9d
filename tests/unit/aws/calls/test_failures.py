"""Failed calls to AWS: their kind by code and text, and the details that an error keeps."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError, classify, read_retry_after, translate, translating
from helpers.aws_clients import fake_session


def client_error(code: str, message: str = "text", operation: str = "InvokeModel", **metadata: Any) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, operation)


ON_DEMAND = (
    "Invocation of model ID anthropic.claude-sonnet-4-20250514-v1:0 with on-demand throughput isn’t supported. Retry "
    "your request with the ID or ARN of an inference profile that contains this model."
)
SUPPORT_CASE = "Your account is not authorized to perform this action. Please create a support case with AWS Support."
SUBSCRIBE = (
    "Model access is denied due to IAM user or service role is not authorized to perform the required AWS Marketplace "
    "actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable access to this model."
)
K = ErrorKind


@pytest.mark.parametrize(
    ("code", "message", "operation", "kind"),
    [
        ("ThrottlingException", "Too many requests, please wait before trying again.", "InvokeModel", K.THROTTLED),
        ("ThrottlingException", "Too many tokens, please wait before trying again.", "Converse", K.THROTTLED),
        ("ThrottlingException", "Too many tokens per day, please wait before trying again.", "Converse", K.DAILY_QUOTA),
        ("SlowDown", "Please reduce your request rate.", "PutObject", K.THROTTLED),
        ("ModelNotReadyException", "text", "InvokeModel", K.NOT_READY),
        ("ServiceUnavailableException", "Bedrock is unable to process your request.", "InvokeModel", K.TRANSIENT),
        ("InternalServerException", "text", "Converse", K.TRANSIENT),
        ("503", "Service Unavailable", "GetModelInvocationJob", K.TRANSIENT),
        ("ModelErrorException", "text", "InvokeModel", K.MODEL_ERROR),
        ("ModelTimeoutException", "text", "InvokeModel", K.TIMEOUT),
        ("ServiceQuotaExceededException", "text", "CreateModelInvocationJob", K.QUOTA_EXCEEDED),
        ("ValidationException", "max_tokens: Field required", "InvokeModel", K.VALIDATION),
        ("ValidationException", ON_DEMAND, "InvokeModel", K.ON_DEMAND_UNSUPPORTED),
        ("ValidationException", ON_DEMAND.replace("’", "'"), "InvokeModel", K.ON_DEMAND_UNSUPPORTED),
        ("ValidationException", SUPPORT_CASE, "CreateModelInvocationJob", K.ENTITLEMENT),
        ("ValidationException", "Operation not allowed", "InvokeModel", K.ENTITLEMENT),
        (
            "ValidationException",
            "Batch inference is not supported for model amazon.nova-lite-v1:0 in region us-west-2",
            "CreateModelInvocationJob",
            K.MODEL_UNSUPPORTED,
        ),
        ("ValidationException", "The provided model identifier is invalid.", "Converse", K.MODEL_NOT_FOUND),
        ("ValidationException", "The provided job name is currently in use.", "CreateModelInvocationJob", K.CONFLICT),
        ("ConflictException", "The provided job name is currently in use.", "CreateModelInvocationJob", K.CONFLICT),
        (
            "ResourceNotFoundException",
            "This model version has reached the end of its life.",
            "Converse",
            K.MODEL_NOT_FOUND,
        ),
        ("ResourceNotFoundException", "Could not resolve the foundation model", "InvokeModel", K.MODEL_NOT_FOUND),
        ("ResourceNotFoundException", "No such job", "GetModelInvocationJob", K.NOT_FOUND),
        ("AccessDeniedException", "User is not authorized to perform: x", "InvokeModel", K.ACCESS_DENIED),
        ("AccessDeniedException", SUBSCRIBE, "InvokeModel", K.MARKETPLACE),
        ("AccessDenied", "Access Denied", "PutObject", K.ACCESS_DENIED),
        ("403", "Forbidden", "HeadObject", K.ACCESS_DENIED),
        ("UnrecognizedClientException", "The security token is invalid.", "InvokeModel", K.CREDENTIALS),
        ("ExpiredTokenException", "The security token is expired", "InvokeModel", K.CREDENTIALS),
        ("InvalidSignatureException", "Signature expired", "InvokeModel", K.CREDENTIALS),
        ("NoSuchBucket", "text", "PutObject", K.BUCKET_NOT_FOUND),
        ("NoSuchKey", "text", "GetObject", K.NOT_FOUND),
        ("404", "Not Found", "HeadObject", K.NOT_FOUND),
        ("PreconditionFailed", "text", "PutObject", K.PRECONDITION),
        ("ConditionalRequestConflict", "text", "PutObject", K.TRANSIENT),
        ("SomethingNew", "text", "InvokeModel", K.UNKNOWN),
    ],
)
def test_a_refusal_is_known_by_its_code_and_text(code: str, message: str, operation: str, kind: ErrorKind) -> None:
    """A kind mistaken for another is retried for nothing, or fails every row where the run should stop."""
    assert classify(client_error(code, message, operation)) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.ReadTimeoutError(endpoint_url="http://x"), K.TIMEOUT),
        (exceptions.ConnectTimeoutError(endpoint_url="http://x"), K.TRANSIENT),
        (exceptions.EndpointConnectionError(endpoint_url="http://x"), K.TRANSIENT),
        (exceptions.ConnectionClosedError(endpoint_url="http://x"), K.TRANSIENT),
        (exceptions.ResponseStreamingError(error="x"), K.TRANSIENT),
        (exceptions.NoCredentialsError(), K.CREDENTIALS),
        (exceptions.CredentialRetrievalError(provider="x", error_msg="y"), K.CREDENTIALS_UNAVAILABLE),
        (exceptions.NoRegionError(), K.CONFIGURATION),
        (ResponseParserError("x"), K.INVALID_RESPONSE),
        (RuntimeError("x"), K.UNKNOWN),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_of_the_sdk_is_known_by_its_class(error: Exception, kind: ErrorKind) -> None:
    """A broken connection would fail a row for good, or missing credentials would be retried for every row."""
    assert classify(error) is kind


def test_every_kind_is_decided() -> None:
    """A kind that is neither retried, nor ends the run, nor stays with its record would be handled by chance."""
    record_only = {
        K.QUOTA_EXCEEDED, K.VALIDATION, K.CONFLICT, K.PRECONDITION, K.NOT_FOUND, K.INVALID_RESPONSE, K.UNKNOWN,
    }  # fmt: skip
    for kind in ErrorKind:
        assert (kind.retryable or kind.hopeless) is (kind not in record_only), kind
    assert [kind for kind in ErrorKind if kind.retryable and kind.hopeless] == [
        K.CREDENTIALS_UNAVAILABLE,
        K.ENDPOINT_UNKNOWN,
    ]
    assert all(kind.retryable for kind in ErrorKind if kind.unprocessed)


def test_a_translated_error_keeps_what_support_asks_for() -> None:
    """Without the request id, AWS Support cannot find the request."""
    error = client_error(
        "ThrottlingException",
        "slow down",
        HTTPStatusCode=429,
        RequestId="r-1",
        HTTPHeaders={"retry-after": "7"},
        RetryAttempts=2,
    )
    translated = translate(error)
    assert (translated.kind, translated.status, translated.request_id) == (K.THROTTLED, 429, "r-1")
    assert (translated.retry_after, translated.sdk_retries, translated.operation) == (7.0, 2, "InvokeModel")
    assert str(translated) == "InvokeModel: ThrottlingException (HTTP 429, request id r-1): slow down"
    assert translate(translated) is translated


def test_an_overlong_text_is_cut() -> None:
    """A message that quotes a whole request would fill the log with row text."""
    assert len(translate(client_error("ValidationException", "x" * 100_000)).message) == 1000


def test_the_values_of_parameters_stay_out_of_the_message() -> None:
    """A wrongly built request would write its prompt into the log."""
    runtime: Any = fake_session().client("bedrock-runtime")
    with pytest.raises(AwsError) as caught, translating("Converse"):
        runtime.converse(modelId="m", messages=[{"role": "user", "content": "the customer's\nsecret, type: x"}])
    assert caught.value.kind is K.VALIDATION
    assert "secret" not in str(caught.value)
    assert "messages[0].content" in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "12"}, 12.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Tue, 24 Nov 2026 06:00:30 GMT"}, 30.0),
        ({"retry-after": "Tue, 24 Nov 2026 05:00:00 GMT"}, 0.0),
        ({"retry-after": "Tue, 24 Nov 2026 06:00:30 -0000"}, 30.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": ""}, None),
        ({"x-amz-retry-after": "1500"}, 1.5),
    ],
    ids=["none", "seconds", "fraction", "date", "past", "no zone", "word", "negative", "empty", "milliseconds"],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], expected: float | None) -> None:
    """The wait that the service asked for would be ignored, and the throttling would continue."""
    assert read_retry_after(headers, datetime(2026, 11, 24, 6, 0, tzinfo=timezone.utc)) == expected
