"""Every request goes through here: recorded, disturbed where it was asked for, and handed to Bedrock or to moto."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from local_bedrock.behaviour import CallFault
from local_bedrock.errors import AwsError
from local_bedrock.faults import FaultDesk, fault_response, s3_operation
from local_bedrock.journal import Call, Journal
from local_bedrock.storage import INTERNAL_MARK
from local_bedrock.wire import (
    Request,
    Response,
    Route,
    ServiceModels,
    error_response,
    json_response,
    parse_request,
)

Operation = Callable[[Mapping[str, Any]], "Response | Mapping[str, Any]"]
_UNRECORDED = frozenset({"body", "messages", "system", "toolConfig", "input", "additionalModelRequestFields"})


class Service:
    """Dispatches requests by the service they are signed for."""

    def __init__(
        self, models: ServiceModels, operations: Mapping[str, Operation], journal: Journal, faults: FaultDesk
    ) -> None:
        self._models = models
        self._operations = operations
        self._journal = journal
        self._faults = faults

    def exchange(self, request: Request, ask_moto: Callable[[], Response]) -> Response | None:
        """Answer one request; None drops the connection."""
        if _is_for_bedrock(request):
            return self._answer_bedrock(request)
        if INTERNAL_MARK in request.headers.get("user-agent", ""):
            return ask_moto()
        return self._answer_s3(request, ask_moto)

    def _answer_bedrock(self, request: Request) -> Response | None:
        try:
            route, labels = self._models.match(request.method, request.raw_path)
        except AwsError as error:
            return error_response(error)
        call = self._journal.begin(route.operation)
        at_once, planned = self._faults.before(call)
        if at_once is not None:
            return _commit(call, at_once)
        response = self._perform(route, labels, request, call)
        afterwards = self._faults.after(call, planned)
        if afterwards is not None:
            return _commit(call, afterwards)
        call.status = response.status
        return response

    def _perform(self, route: Route, labels: Mapping[str, str], request: Request, call: Call) -> Response:
        try:
            operation = self._operations.get(route.operation)
            if operation is None:
                text = f"local_bedrock does not have the operation {route.operation} of {route.service}"
                raise AwsError("UnknownOperationException", text)
            params = parse_request(route, labels, request)
            call.detail.update((name, value) for name, value in params.items() if name not in _UNRECORDED)
            result = operation(params)
            return result if isinstance(result, Response) else json_response(route.model, result)
        except AwsError as error:
            call.error = error.code
            return error_response(error)
        except Exception as error:  # a bug of ours is an internal error in JSON; HTML would hide it behind retries
            call.error = "InternalServerException"
            text = f"local_bedrock failed in {route.operation}: {type(error).__name__}: {error}"
            return error_response(AwsError("InternalServerException", text))

    def _answer_s3(self, request: Request, ask_moto: Callable[[], Response]) -> Response | None:
        call = self._journal.begin(s3_operation(request))
        bucket, _, key = unquote(request.raw_path).lstrip("/").partition("/")
        call.detail.update(bucket=bucket, key=key)
        at_once, planned = self._faults.before(call)
        if at_once is not None:
            return _commit(call, at_once, "s3")
        response = ask_moto()
        afterwards = self._faults.after(call, planned)
        if afterwards is not None:
            return _commit(call, afterwards, "s3")
        call.status = response.status
        return response


def _commit(call: Call, fault: CallFault, service: Any = "bedrock") -> Response | None:
    response = fault_response(fault, service)
    call.error = "dropped" if response is None else fault.code
    call.status = None if response is None else response.status
    return response


def _is_for_bedrock(request: Request) -> bool:
    authorization = request.headers.get("authorization", "")
    if "aws4_request" in authorization:
        return "/bedrock/aws4_request" in authorization
    if "X-Amz-" in request.query:
        return False
    # An API key, or no credentials at all: a person with curl.
    return request.raw_path.startswith(
        ("/model/", "/model-invocation-job", "/foundation-models", "/inference-profiles")
    )
