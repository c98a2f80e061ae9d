"""Checks the simulated services against the names and types of botocore's service models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator

from faults.simulation.s3_model import Paginator

_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "boolean": (bool,),
    "timestamp": (datetime,),
}
# Error codes of S3 that its service model does not name.
_UNMODELLED = frozenset({"PreconditionFailed", "NoSuchKey", "404", "SlowDown", "InternalError"})


class CheckedClient:
    """A simulated client whose requests, responses and errors are checked against the service model.

    `seen` collects the checked operations.
    """

    def __init__(self, client: Any, seen: set[str]) -> None:
        self._client = client
        self._seen = seen
        self.meta = client.meta
        self._operations = {xform_name(name): name for name in client.meta.service_model.operation_names}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        model = self.meta.service_model.operation_model(self._operations[name])
        function = getattr(self._client, name)

        def call(**request: Any) -> Any:
            report = ParamValidator().validate(request, model.input_shape)
            assert not report.has_errors(), f"{model.name}: {report.generate_report()}"
            self._seen.add(model.name)
            try:
                response = function(**request)
            except ClientError as error:
                _check_code(error, model)
                raise
            content = {key: value for key, value in response.items() if key != "ResponseMetadata"}
            check_shape(content, model.output_shape, model.name)
            return response

        return call

    def get_paginator(self, operation: str) -> Paginator:
        pages = self._client.get_paginator(operation)
        return Paginator(getattr(self, operation), pages.token, pages.argument)


def _check_code(error: ClientError, model: OperationModel) -> None:
    code = error.response["Error"]["Code"]
    assert code in {shape.name for shape in model.error_shapes} | _UNMODELLED, f"{model.name} has no error {code}"


def check_shape(value: Any, shape: Shape | None, where: str) -> None:
    """Assert that a response has no member that the service model lacks, and that its values have their types."""
    if shape is None:
        assert not value, f"{where} has no response"
    elif where.endswith((".Body", ".body")):
        assert hasattr(value, "read"), f"{where} is no stream"
    elif shape.type_name == "structure":
        for name, member in value.items():
            assert name in shape.members, f"{where} has no member {name}"
            check_shape(member, shape.members[name], f"{where}.{name}")
    elif shape.type_name == "list":
        for item in value:
            check_shape(item, shape.member, f"{where}[]")
    else:
        assert isinstance(value, _PYTHON_TYPES[shape.type_name]), f"{where} is a {shape.type_name}, not {value!r}"
        enum = getattr(shape, "enum", None)
        assert not enum or value in enum, f"{where} cannot be {value!r}"
