"""The REST-JSON protocol of AWS by botocore's service models: routing, parsing, checks, serialisation and errors."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote

import botocore.session
from botocore.model import OperationModel, Shape

from local_bedrock.errors import AwsError
from local_bedrock.jsonio import dump_json, load_json
from local_bedrock.wire.constraints import violations
from local_bedrock.wire.shapes import read_value, write_value

SERVICES = ("bedrock-runtime", "bedrock")
UNKNOWN_OPERATION = "UnknownOperationException"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `raw_path` is still percent-encoded, and header names are lower case."""

    method: str
    raw_path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response: a body, or the chunks of a body that is sent while it comes into being."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    chunks: Iterator[bytes] | None = None


class DroppedConnection(Exception):  # noqa: N818 - it is an order to the server, not an error
    """Raised by the chunks of a response: the connection ends here, in the middle of the body."""


@dataclass(frozen=True, slots=True)
class Route:
    """An operation of a service, with the pattern of its raw path."""

    service: str
    operation: str
    model: OperationModel
    method: str
    pattern: re.Pattern[str]
    loose_pattern: re.Pattern[str]
    labels: tuple[str, ...]


@dataclass(slots=True)
class ServiceModels:
    """The operations of `bedrock` and `bedrock-runtime` that the installed botocore knows."""

    routes: list[Route] = field(default_factory=list)

    @classmethod
    @lru_cache(maxsize=1)
    def load(cls) -> ServiceModels:
        """Load both service models from the installed botocore. All servers share the result."""
        session = botocore.session.Session()
        routes = []
        for service in SERVICES:
            model = session.get_service_model(service)
            routes += [_route(service, model.operation_model(name)) for name in model.operation_names]
        return cls(routes)

    def match(self, method: str, raw_path: str) -> tuple[Route, dict[str, str]]:
        """Return the operation of a raw path and its decoded labels; raise `AwsError` if no operation matches."""
        for loose in (False, True):
            for route in self.routes:
                pattern = route.loose_pattern if loose else route.pattern
                if route.method == method and (found := pattern.fullmatch(raw_path)):
                    return route, dict(zip(route.labels, map(unquote, found.groups()), strict=True))
        raise AwsError(UNKNOWN_OPERATION, f"no operation of Amazon Bedrock has the route {method} {raw_path}")

    @property
    def operation_names(self) -> frozenset[str]:
        """The names of the operations of both services."""
        return frozenset(route.operation for route in self.routes)

    def operation(self, name: str) -> OperationModel | None:
        """Return the model of an operation, or None if the installed botocore does not know it."""
        return next((route.model for route in self.routes if route.operation == name), None)


def _route(service: str, model: OperationModel) -> Route:
    uri = model.http["requestUri"].split("?")[0]
    labels = tuple(label.rstrip("+") for label in re.findall(r"\{([^}]+)\}", uri))
    parts = re.split(r"\{[^}]+\}", uri)
    return Route(
        service,
        model.name,
        model,
        model.http["method"],
        re.compile("([^/]+)".join(map(re.escape, parts)) + "/?"),
        # As at AWS, a client that does not encode the "/" of an ARN still reaches its operation.
        re.compile("(.+)".join(map(re.escape, parts)) + "/?"),
        labels,
    )


def parse_request(route: Route, labels: Mapping[str, str], request: Request) -> dict[str, Any]:
    """Read the parameters of an operation; raise `AwsError` if they violate the service model."""
    shape = route.model.input_shape
    if shape is None:
        return {}
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    payload = shape.serialization.get("payload")
    document = None if payload else _body_document(request.body)
    params: dict[str, Any] = {}
    for name, member in shape.members.items():
        wire_name = member.serialization.get("name", name)
        match member.serialization.get("location"):
            case "uri":
                value: Any = labels.get(wire_name)
            case "querystring":
                value = query.get(wire_name)
            case "header":
                value = request.headers.get(wire_name.lower())
            case _ if name == payload:
                value = request.body if member.type_name == "blob" else _body_document(request.body)
                if member.type_name == "blob":
                    params[name] = value
                    continue
            case _:
                value = document.get(wire_name) if document else None
        if value is not None:
            params[name] = read_value(member, value, name)
    refuse_violations(shape, params)
    return params


def refuse_violations(shape: Shape, params: Any) -> None:
    """Raise `AwsError` (`ValidationException`) with every constraint of `shape` that `params` violates."""
    found = violations(shape, params)
    if found:
        noun = "error" if len(found) == 1 else "errors"
        raise AwsError("ValidationException", f"{len(found)} validation {noun} detected: " + "; ".join(found))


def _body_document(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        document = load_json(body)
    except ValueError as error:
        raise AwsError("SerializationException", f"the request body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise AwsError("SerializationException", "the request body is not a JSON object")
    return document


def json_response(model: OperationModel, result: Mapping[str, Any]) -> Response:
    """Return the successful response of an operation with JSON output."""
    document = write_value(model.output_shape, result) if model.output_shape is not None else {}
    return Response(model.http.get("responseCode", 200), json_headers(), dump_json(document))


def error_response(error: AwsError) -> Response:
    """Return an error response: the error type in a header and the message in JSON (rest-json protocol)."""
    headers = {**json_headers(), "x-amzn-ErrorType": error.code, **error.headers}
    document: dict[str, Any] = {"message": error.message}
    if error.code == UNKNOWN_OPERATION:  # AWS sends these two fields alone
        document |= {"Output": {"__type": f"com.amazon.coral.service#{UNKNOWN_OPERATION}"}, "Version": "1.0"}
    return Response(error.status, headers, dump_json(document))


def json_headers() -> dict[str, str]:
    """Return the headers of a JSON response, with a new request id."""
    return {"Content-Type": "application/json", "x-amzn-RequestId": str(uuid.uuid4())}
