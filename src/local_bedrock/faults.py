"""Fault injection: the behaviour, the call's ordinal, a seeded draw and the hooks decide whether a call fails."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from local_bedrock.behaviour import Behaviour, CallFault
from local_bedrock.draws import Draw
from local_bedrock.errors import AwsError
from local_bedrock.journal import Call, Journal
from local_bedrock.wire.protocol import Request, Response, error_response

_MESSAGES = {
    "ThrottlingException": "Too many requests, please wait before trying again.",
    "ServiceQuotaExceededException": "You have exceeded a service quota.",
    "AccessDeniedException": "User is not authorized to perform this operation.",
    "ExpiredTokenException": "The security token included in the request is expired",
    "SlowDown": "Please reduce your request rate.",
    "AccessDenied": "Access Denied",
    "InternalError": "We encountered an internal error. Please try again.",
    "PreconditionFailed": "At least one of the pre-conditions you specified did not hold",
}
_S3_STATUS = {"SlowDown": 503, "InternalError": 500, "AccessDenied": 403, "PreconditionFailed": 412, "NoSuchKey": 404}


@dataclass(frozen=True, slots=True)
class PlannedFaults:
    """The faults of one call: in place of its work, in the middle of its event stream, in place of its response."""

    at_once: CallFault | None
    during: CallFault | None
    afterwards: CallFault | None


class FaultInjector:
    """Decides which fault a call gets, and counts the calls that each fault's `operation` matches."""

    def __init__(self, behaviour: Behaviour, journal: Journal, sleep: Callable[[float], object]) -> None:
        self._behaviour = behaviour
        self._journal = journal
        self._sleep = sleep
        self._lock = threading.Lock()
        self._matched: Counter[int] = Counter()

    def before(self, call: Call) -> PlannedFaults:
        """Wait for the operation's latency, and choose the faults of a call."""
        latency = self._behaviour.latency_seconds
        seconds = latency.get(call.operation, latency.get("*", 0.0))
        if seconds > 0:
            self._sleep(seconds)
        asked = self._journal.ask_hooks(call, "before")
        during = asked if asked is not None and asked.when == "during" else None
        chosen = {"before": asked if during is None else None, "during": during, "after": None}
        for fault in self._matching(call):
            chosen[fault.when] = chosen[fault.when] or fault
        return PlannedFaults(chosen["before"] or self._throttle(call), chosen["during"], chosen["after"])

    def after(self, call: Call, planned: CallFault | None) -> CallFault | None:
        """Return the fault that replaces the response."""
        return self._journal.ask_hooks(call, "after") or planned

    def _matching(self, call: Call) -> list[CallFault]:
        found = []
        with self._lock:
            for i, fault in enumerate(self._behaviour.calls):
                if _names(fault.operation, call.operation):
                    self._matched[i] += 1
                    if not fault.calls or self._matched[i] in fault.calls:
                        found.append(fault)
        return found

    def _throttle(self, call: Call) -> CallFault | None:
        shares = self._behaviour.throttle_share
        share = shares.get(call.operation, 0.0 if "." in call.operation else shares.get("*", 0.0))
        draw = Draw.of(self._behaviour.seed, "throttle", call.operation, call.operation_ordinal)
        if share <= 0 or draw.share() >= share:
            return None
        code = "SlowDown" if call.operation.startswith("S3.") else "ThrottlingException"
        return CallFault(call.operation, code=code)


def refuse_unknown_operations(behaviour: Behaviour, known: frozenset[str]) -> None:
    """Raise ValueError if the behaviour names an operation that does not exist, because it would have no effect."""
    named = [*behaviour.latency_seconds, *behaviour.throttle_share, *(fault.operation for fault in behaviour.calls)]
    for name in named:
        if "*" not in name and "." not in name and name not in known:
            raise ValueError(
                f"the behaviour names the operation {name!r}, which Bedrock does not have; use a "
                "name such as 'Converse', 'CreateModelInvocationJob', 'S3.PutObject', 'S3.*' or '*'"
            )


def _names(pattern: str, operation: str) -> bool:
    return pattern in ("*", operation) or (pattern.endswith("*") and operation.startswith(pattern[:-1]))


def fault_response(fault: CallFault, service: str) -> Response | None:
    """Return the response of a fault, or None to drop the connection."""
    if fault.drop:
        return None
    if fault.body is not None:
        return Response(fault.status or 200, {"Content-Type": "text/html"}, fault.body.encode())
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    message = fault_message(fault)
    if service == "s3":
        return s3_error(fault.code, message, fault.status, headers)
    if service in ("iam", "sts"):
        return query_error(fault.code, message, fault.status, headers)
    return error_response(AwsError(fault.code, message, fault.status, headers))


def fault_message(fault: CallFault) -> str:
    """Return the text of a fault's error."""
    return fault.message or _MESSAGES.get(fault.code, f"The local Bedrock was told to answer with {fault.code}.")


def query_error(
    code: str, message: str, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error response in the XML format of IAM and STS."""
    body = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(code)}</Code>"
        f"<Message>{escape(message)}</Message></Error><RequestId>local</RequestId></ErrorResponse>"
    )
    return Response(status or 403, {"Content-Type": "text/xml", **(headers or {})}, body.encode())


def s3_error(code: str, message: str, status: int | None = None, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error response in the XML format of S3."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    )
    all_headers = {"Content-Type": "application/xml", **(headers or {})}
    return Response(status or _S3_STATUS.get(code, 400), all_headers, body.encode())


_BUCKET_QUERIES = {
    "GET": {
        "uploads": "ListMultipartUploads",
        "location": "GetBucketLocation",
        "versioning": "GetBucketVersioning",
        "encryption": "GetBucketEncryption",
        "list-type": "ListObjectsV2",
    },
    "POST": {"delete": "DeleteObjects"},
    "PUT": {"versioning": "PutBucketVersioning", "encryption": "PutBucketEncryption"},
}
_BUCKET_METHODS = {"GET": "ListObjects", "PUT": "CreateBucket", "DELETE": "DeleteBucket", "HEAD": "HeadBucket"}
_OBJECT_QUERIES = {
    "GET": {"uploadId": "ListParts", "tagging": "GetObjectTagging"},
    "POST": {"uploads": "CreateMultipartUpload", "uploadId": "CompleteMultipartUpload"},
    "PUT": {"partNumber": "UploadPart", "tagging": "PutObjectTagging"},
    "DELETE": {"uploadId": "AbortMultipartUpload"},
}
_OBJECT_METHODS = {"GET": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject", "HEAD": "HeadObject"}


def s3_operation(request: Request) -> str:
    """Return the S3 operation of a path-style request, for example `S3.PutObject`."""
    bucket, _, key = request.raw_path.lstrip("/").partition("/")
    if not bucket:
        return "S3.ListBuckets"
    queries, methods = (_OBJECT_QUERIES, _OBJECT_METHODS) if key else (_BUCKET_QUERIES, _BUCKET_METHODS)
    names = {part.partition("=")[0] for part in request.query.split("&")}
    for name, operation in queries.get(request.method, {}).items():
        if name in names:
            return f"S3.{operation}"
    if request.method == "PUT" and key and "x-amz-copy-source" in request.headers:
        return "S3.CopyObject"
    return f"S3.{methods.get(request.method, request.method)}"
