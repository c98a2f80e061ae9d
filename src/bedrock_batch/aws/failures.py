"""A failed call to AWS as one exception, whatever botocore raised."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.parsers import ResponseParserError

from bedrock_batch.aws.error_codes import KIND_BY_CLASS, KIND_BY_CODE, KIND_BY_TEXT, MODEL_OPERATIONS, ErrorKind
from bedrock_batch.errors import BedrockBatchError
from bedrock_batch.text import shorten

__all__ = ["AwsError", "ErrorKind", "classify", "read_retry_after", "translate", "translating"]

MESSAGE_LIMIT = 1000


class AwsError(BedrockBatchError):
    """A call to AWS failed: what kind of failure it is and everything that the service said about it."""

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
        """Seconds that the service asked to wait, where it did."""
        self.sdk_retries = sdk_retries
        """Repetitions that the SDK had already made (S3 only: elsewhere it makes none)."""
        self.attempts = 1
        """Tries that were made altogether; `retries.call` sets it."""
        super().__init__(message)

    def __str__(self) -> str:
        details = [f"HTTP {self.status}"] if self.status else []
        details += [f"request id {self.request_id}"] if self.request_id else []
        head = f"{self.operation}: " if self.operation else ""
        tail = f" ({', '.join(details)})" if details else ""
        return f"{head}{self.code or self.kind.value}{tail}: {self.message}"


_Failure = (ClientError, BotoCoreError, ResponseParserError)


def classify(error: BaseException) -> ErrorKind:
    """Return the kind of an error of botocore (or of a translated one); `UNKNOWN` for everything not named here."""
    if isinstance(error, AwsError):
        return error.kind
    if isinstance(error, ClientError):
        return _classify_response(error)
    return next((kind for cls, kind in KIND_BY_CLASS if isinstance(error, cls)), ErrorKind.UNKNOWN)


def _classify_response(error: ClientError) -> ErrorKind:
    details = error.response.get("Error", {})
    text = str(details.get("Message", ""))
    kind = KIND_BY_CODE.get(str(details.get("Code", "")), ErrorKind.UNKNOWN)
    for kinds, pattern, special in KIND_BY_TEXT:
        if kind in kinds and pattern.search(text):
            return special
    if kind is ErrorKind.NOT_FOUND and error.operation_name in MODEL_OPERATIONS:
        return ErrorKind.MODEL_NOT_FOUND
    return kind


def translate(error: BaseException, operation: str = "") -> AwsError:
    """Return `error` as an `AwsError`; one that is translated already is returned as it is."""
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


@contextmanager
def translating(operation: str) -> Iterator[None]:
    """Raise every error of botocore inside the block as an `AwsError` of `operation`."""
    try:
        yield
    except _Failure as error:
        raise translate(error, operation) from error


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
    """Return the text of an error that the SDK made, without the values of parameters: they may hold row text."""
    text = str(error)
    if isinstance(error, ParamValidationError):
        text = re.sub(r"value: .*?, (?=(type|valid)\b)", "", text, flags=re.DOTALL)
    return shorten(text, MESSAGE_LIMIT)
