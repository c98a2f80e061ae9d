"""Calls that fail in one way: whatever botocore raises, and every damaged response, is an `AwsError`.

botocore checks neither that a required member is present nor that a count is a number, and its parsers raise any
exception of Python over a body of another form. Responses are therefore validated here, as they arrive.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    PaginationError,
    ParamValidationError,
)
from botocore.parsers import ResponseParserError
from pydantic import BaseModel, ValidationError

from bedrock_batch.aws.calls.error_codes import KIND_BY_CLASS, KIND_BY_CODE, KIND_BY_TEXT, MODEL_OPERATIONS, ErrorKind
from bedrock_batch.errors import BedrockBatchError
from bedrock_batch.text import printable, shorten

MESSAGE_LIMIT = 1000
_CAUSES = 10
# AWS charges for a generated answer even if it cannot be read: the request is not retried automatically.
CHARGED_OPERATIONS = frozenset({"InvokeModel", "Converse"})
_DETAIL_LIMIT = 200
# What the parsers and paginators of botocore raise over malformed bodies.
UNREADABLE = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
)

S = TypeVar("S", bound=BaseModel)


class AwsError(BedrockBatchError):
    """A failed call to AWS: its kind, and everything that the service said about it."""

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        operation: str = "",
        code: str = "",
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        sdk_retries: int = 0,
    ) -> None:
        self.kind = kind
        self.message = message
        """The service's own text, cut to 1,000 characters."""
        self.operation = operation
        self.code = code
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after
        """Seconds that the service asked to wait, if it did."""
        self.sdk_retries = sdk_retries
        """The SDK's own retries (S3 only: elsewhere it makes none)."""
        self.attempts = 1
        """The number of tries; `retries.call` sets it."""
        super().__init__(message)

    def __str__(self) -> str:
        details = [f"HTTP {self.status}"] if self.status else []
        details += [f"request id {self.request_id}"] if self.request_id else []
        head = f"{self.operation}: " if self.operation else ""
        tail = f" ({', '.join(details)})" if details else ""
        return f"{head}{self.code or self.kind.value}{tail}: {self.message}"


_Failure = (ClientError, BotoCoreError, ResponseParserError)


def classify(error: BaseException) -> ErrorKind:
    """Return the kind of an error of botocore or of an `AwsError`; `UNKNOWN` for any other exception."""
    if isinstance(error, AwsError):
        return error.kind
    if isinstance(error, ClientError):
        return _classify_response(error)
    kind = next((kind for cls, kind in KIND_BY_CLASS if isinstance(error, cls)), ErrorKind.UNKNOWN)
    return _classify_connection(error) or kind if kind is ErrorKind.TRANSIENT else kind


# Old versions of urllib3 keep only the text of OpenSSL's error. The last two mean that the peer does not speak TLS.
_NO_TRUST = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "HTTP_REQUEST")
_NO_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


def _classify_connection(error: BaseException) -> ErrorKind | None:
    """Return the kind of a failed connection if its cause is permanent, unlike the `try again` of a name server."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError) and any(text in str(cause) for text in _NO_TRUST):
            return ErrorKind.CERTIFICATE
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ErrorKind.CERTIFICATE
        if isinstance(cause, socket.gaierror) and cause.errno in _NO_NAME:
            return ErrorKind.ENDPOINT_UNKNOWN
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes; botocore and urllib3 keep those in members of their own."""
    found: BaseException | None = error
    for _ in range(_CAUSES):
        if found is None:
            return
        yield found
        inner = getattr(found, "kwargs", {}).get("error") or getattr(found, "reason", None)
        found = inner if isinstance(inner, BaseException) else found.__cause__ or found.__context__


def _classify_response(error: ClientError) -> ErrorKind:
    details = error.response.get("Error", {})
    text = str(details.get("Message", ""))
    kind = KIND_BY_CODE.get(str(details.get("Code", "")), ErrorKind.UNKNOWN)
    for kinds, pattern, special in KIND_BY_TEXT:
        if kind in kinds and pattern.search(text):
            return special
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if kind is ErrorKind.UNKNOWN and isinstance(status, int) and status >= 500:
        return ErrorKind.TRANSIENT
    if kind is ErrorKind.NOT_FOUND and error.operation_name in MODEL_OPERATIONS:
        return ErrorKind.MODEL_NOT_FOUND
    return kind


def translate(error: BaseException, operation: str = "") -> AwsError:
    """Return `error` as an `AwsError`; return an `AwsError` unchanged."""
    if isinstance(error, AwsError):
        return error
    kind = classify(error)
    if not isinstance(error, ClientError):
        return AwsError(kind, _own_text(error), operation=operation, code=type(error).__name__)
    details: Mapping[str, Any] = error.response.get("Error", {})
    metadata: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
    return AwsError(
        kind,
        shorten(str(details.get("Message") or "no message"), MESSAGE_LIMIT),
        operation=operation or error.operation_name,
        code=str(details.get("Code", "")),
        status=metadata.get("HTTPStatusCode"),
        request_id=metadata.get("RequestId"),
        retry_after=read_retry_after(metadata.get("HTTPHeaders", {})),
        sdk_retries=int(metadata.get("RetryAttempts", 0)),
    )


def ask(operation: str, send: Callable[..., Any], shape: type[S], /, **arguments: Any) -> S:
    """Return the validated response of an operation; raise `AwsError` if the call fails or it does not fit."""
    with answering(operation):
        return shape.model_validate(send(**arguments))


@contextmanager
def answering(operation: str) -> Iterator[None]:
    """Raise every error of botocore inside the block, and every error over a damaged response, as an `AwsError`."""
    try:
        with translating(operation):
            try:
                yield
            except (ResponseParserError, PaginationError) as error:  # raised by botocore, but about the response
                raise damaged(operation, error) from error
    except UNREADABLE as error:
        raise damaged(operation, error) from error


@contextmanager
def translating(operation: str) -> Iterator[None]:
    """Raise every error of botocore inside the block as an `AwsError` of `operation`."""
    try:
        yield
    except _Failure as error:
        raise translate(error, operation) from error


def damaged(operation: str, error: Exception) -> AwsError:
    """Return the `AwsError` of a response that cannot be read, without its content if that may be the text of a row."""
    charged = operation in CHARGED_OPERATIONS
    kind = ErrorKind.INVALID_RESPONSE if charged else ErrorKind.DAMAGED_RESPONSE
    detail = type(error).__name__
    if isinstance(error, ValidationError):
        detail = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:3])
    elif not charged:
        detail = f"{detail}: {error}"
    return AwsError(
        kind,
        f"the response cannot be read ({shorten(printable(' '.join(detail.split())), _DETAIL_LIMIT)})",
        operation=operation,
    )


def read_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that the response asks to wait, or None.

    `Retry-After` holds seconds or an HTTP date (RFC 9110, 10.2.3); `x-amz-retry-after` holds milliseconds, as
    botocore reads it (`botocore.retries.standard`).
    """
    lower = {name.lower(): value for name, value in headers.items()}
    if (milliseconds := _number(lower.get("x-amz-retry-after"))) is not None:
        return milliseconds / 1000
    text = lower.get("retry-after")
    if text is None:
        return None
    if (seconds := _number(text)) is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - (now or datetime.now(timezone.utc))).total_seconds())


def _number(text: str | None) -> float | None:
    """Return a count of ASCII digits as a float; anything else is None."""
    digits = (text or "").strip()
    return float(digits) if digits.isascii() and digits.replace(".", "", 1).isdigit() else None


def _own_text(error: BaseException) -> str:
    """Return the text of an error of the SDK without the values of parameters, which may be the text of a row."""
    text = str(error)
    if isinstance(error, EndpointConnectionError):  # its own text lacks the reason
        reason = str([*_causes(error)][-1])
        text = text if reason in text else f"{text} ({reason})"
    if isinstance(error, ParamValidationError):
        text = re.sub(r"value: .*?, (?=(type|valid)\b)", "", text, flags=re.DOTALL)
    return shorten(text, MESSAGE_LIMIT)
