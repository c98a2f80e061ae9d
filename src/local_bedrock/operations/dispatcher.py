"""The path of every request: it is recorded, may get a fault, and is answered by Bedrock or by moto."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from local_bedrock.behaviour import CallFault
from local_bedrock.errors import AwsError
from local_bedrock.faults import FaultInjector, fault_response, query_error, s3_error, s3_operation
from local_bedrock.journal import Call, Journal
from local_bedrock.operations.account import AccountOperations
from local_bedrock.operations.streams import StreamSender
from local_bedrock.storage import INTERNAL_MARK
from local_bedrock.wire.event_stream import EventStream
from local_bedrock.wire.protocol import (
    UNKNOWN_OPERATION,
    Request,
    Response,
    Route,
    ServiceModels,
    error_response,
    json_response,
    parse_request,
)

Operation = Callable[[Mapping[str, Any]], "Response | EventStream | Mapping[str, Any]"]
_log = logging.getLogger(__name__)
_SCOPE = re.compile(r"/([a-z0-9-]+)/aws4_request")
_UNRECORDED = frozenset({"body", "messages", "system", "toolConfig", "input", "additionalModelRequestFields"})

_BEDROCK_SERVICES = ("bedrock", "bedrock-mantle")
"""The names for which clients of Bedrock sign. The paths of its endpoint `bedrock-mantle` are not served."""
_BEDROCK_PATHS = (
    "/model/", "/model-invocation-job", "/foundation-models", "/inference-profiles", "/guardrail", "/async-invoke",
    "/openai/v1/", "/anthropic/v1/", "/v1/",
)  # fmt: skip # a list of words
"""Beginnings of paths that no bucket has, since the name of a bucket has at least three characters and no client of S3
leaves its requests unsigned."""


class Dispatcher:
    """Dispatches requests by the service for which they are signed."""

    def __init__(
        self,
        models: ServiceModels,
        operations: Mapping[str, Operation],
        journal: Journal,
        faults: FaultInjector,
        account: AccountOperations,
        streams: StreamSender,
    ) -> None:
        self._models = models
        self._operations = operations
        self._journal = journal
        self._faults = faults
        self._account = account
        self._streams = streams

    def exchange(self, request: Request, ask_moto: Callable[[], Response]) -> Response | None:
        """Answer one request, or return None to drop the connection."""
        if _is_for_bedrock(request):
            return self._answer_bedrock(request)
        if INTERNAL_MARK in request.headers.get("user-agent", ""):
            return ask_moto()
        return self._answer_other(request, ask_moto)

    def _answer_bedrock(self, request: Request) -> Response | None:
        try:
            route, labels = self._models.match(request.method, request.raw_path)
        except AwsError as error:
            return self._refuse(request, error)
        call = self._journal.begin(route.operation)
        planned = self._faults.before(call)
        if planned.at_once is not None:
            return _commit(call, planned.at_once)
        response = self._perform(route, labels, request, call, planned.during)
        afterwards = self._faults.after(call, planned.afterwards)
        if afterwards is not None:
            return _commit(call, afterwards)
        call.status = response.status
        return response

    def _refuse(self, request: Request, error: AwsError) -> Response:
        """Record and log a request for which Bedrock has no operation."""
        call = self._journal.begin("UnknownOperation")
        call.detail.update(method=request.method, path=request.raw_path)
        call.status, call.error = error.status, error.code
        _log.warning("%s", error.message)
        return error_response(error)

    def _perform(
        self, route: Route, labels: Mapping[str, str], request: Request, call: Call, fault: CallFault | None
    ) -> Response:
        try:
            operation = self._operations.get(route.operation)
            if operation is None:
                text = f"local_bedrock does not have the operation {route.operation} of {route.service}"
                raise AwsError(UNKNOWN_OPERATION, text)
            params = parse_request(route, labels, request)
            call.detail.update((name, value) for name, value in params.items() if name not in _UNRECORDED)
            result = operation(params)
            if isinstance(result, EventStream):
                return self._streams.respond(result, call, fault)
            return result if isinstance(result, Response) else json_response(route.model, result)
        except AwsError as error:
            call.error = error.code
            return error_response(error)
        except Exception as error:  # a bug must show as a JSON error, not as werkzeug's HTML page
            _log.exception("%s failed", route.operation)
            call.error = "InternalServerException"
            text = f"local_bedrock failed in {route.operation}: {type(error).__name__}: {error}"
            return error_response(AwsError("InternalServerException", text))

    def _answer_other(self, request: Request, ask_moto: Callable[[], Response]) -> Response | None:
        service = _signed_service(request)
        call = self._journal.begin(s3_operation(request) if service == "s3" else _other_operation(service, request))
        if service == "s3":
            bucket, _, key = unquote(request.raw_path).lstrip("/").partition("/")
            call.detail.update(bucket=bucket, key=key)
        planned = self._faults.before(call)
        if planned.at_once is not None:
            return _commit(call, planned.at_once, service)
        response = self._account.answer(call.operation, request) or _ask(ask_moto, service, call.operation)
        afterwards = self._faults.after(call, planned.afterwards)
        if afterwards is not None:
            return _commit(call, afterwards, service)
        call.status = response.status
        return response


def _ask(ask_moto: Callable[[], Response], service: str, operation: str) -> Response:
    """Return moto's response; where moto fails, AWS's error for what the service does not have."""
    try:
        response = ask_moto()
        crashed = response.status == 500 and "html" in response.headers.get("Content-Type", "")
        reason = f"it does not have {operation}" if crashed else ""
    except Exception as error:  # moto does not have the service, or needs a package that is not installed
        reason = f"{type(error).__name__}: {error}"
    if not reason:
        return response
    text = f"moto failed to answer for {service}: {reason}"
    _log.warning("%s", text)
    return _not_implemented(service, text)


def _not_implemented(service: str, text: str) -> Response:
    """Return the error of a service for an operation that it does not have, by the protocol of the service."""
    if service == "s3":
        return s3_error("NotImplemented", text, 501)
    if service in ("iam", "sts"):
        return query_error("InvalidAction", text, 400)
    return error_response(AwsError(UNKNOWN_OPERATION, text))


def _signed_service(request: Request) -> str:
    found = _SCOPE.search(request.headers.get("authorization", ""))
    return found[1] if found else "s3"


def _other_operation(service: str, request: Request) -> str:
    target = request.headers.get("x-amz-target", "").rpartition(".")[2]
    action = dict(parse_qsl(request.body.decode("utf-8", "replace"))).get("Action", request.method)
    return f"{service.upper()}.{target or action}"


def _commit(call: Call, fault: CallFault, service: str = "bedrock") -> Response | None:
    response = fault_response(fault, service)
    call.error = "dropped" if response is None else fault.code
    call.status = None if response is None else response.status
    return response


def _is_for_bedrock(request: Request) -> bool:
    authorization = request.headers.get("authorization", "")
    if "aws4_request" in authorization:
        return _signed_service(request) in _BEDROCK_SERVICES
    if "X-Amz-" in request.query:
        return False
    # A request with an API key, as Bedrock alone takes it, or without credentials, for example from curl.
    with_key = authorization.startswith("Bearer ") or "x-api-key" in request.headers
    return with_key or request.raw_path.startswith(_BEDROCK_PATHS)
