"""Conversion of values between JSON and Python by the shapes of a service model."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from local_bedrock.errors import AwsError


def read_value(shape: Shape, value: Any, path: str, unknown: Callable[[str, str], None] | None = None) -> Any:
    """Convert a JSON value to the Python value of `shape`.

    Call `unknown(path, name)` for each member that the shape does not have.
    """
    if value is None or _is_document(shape):
        return value
    match shape:
        case StructureShape():
            return _read_structure(shape, value, path, unknown)
        case ListShape():
            _require(isinstance(value, list), path, "a list")
            return [read_value(shape.member, item, f"{path}.{i + 1}.member", unknown) for i, item in enumerate(value)]
        case MapShape():
            _require(isinstance(value, dict), path, "an object")
            return {key: read_value(shape.value, item, f"{path}.{key}", unknown) for key, item in value.items()}
        case _:
            return _read_scalar(shape.type_name, value, path)


def _read_scalar(type_name: str, value: Any, path: str) -> Any:
    match type_name:
        case "integer" | "long":
            return _read_number(int, value, path)
        case "float" | "double":
            return _read_number(float, value, path)
        case "boolean":
            if value in ("true", "false"):
                return value == "true"
            _require(isinstance(value, bool), path, "a boolean")
            return value
        case "timestamp":
            return _read_timestamp(value, path)
        case "blob":
            return _read_blob(value, path)
        case _:
            _require(isinstance(value, str), path, "a string")
            return value


def _read_structure(
    shape: StructureShape, value: Any, path: str, unknown: Callable[[str, str], None] | None
) -> dict[str, Any]:
    _require(isinstance(value, dict), path, "an object")
    members = shape.members
    result = {}
    for key, item in value.items():
        if key in members:
            if item is not None:
                result[key] = read_value(members[key], item, f"{path}.{key}" if path else key, unknown)
        elif unknown is not None:
            unknown(path, key)
    return result


def _is_document(shape: Shape) -> bool:
    return bool(getattr(shape, "is_document_type", False))


def _require(condition: bool, path: str, kind: str) -> None:
    if not condition:
        raise AwsError("SerializationException", f"the value at '{path}' is not {kind}")


def _read_number(kind: type[int] | type[float], value: Any, path: str) -> int | float:
    try:
        _require(not isinstance(value, bool), path, "a number")
        return kind(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise AwsError("SerializationException", f"the value at '{path}' is not a number") from error


def _read_timestamp(value: Any, path: str) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError as error:
        raise AwsError("SerializationException", f"the value at '{path}' is not a timestamp in ISO 8601") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _read_blob(value: Any, path: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, binascii.Error) as error:
        raise AwsError("SerializationException", f"the value at '{path}' is not Base64") from error


def write_value(shape: Shape, value: Any) -> Any:
    """Convert a Python value to the JSON value of `shape`."""
    if value is None or _is_document(shape):
        return value
    match shape:
        case StructureShape():
            members = shape.members
            return {
                key: write_value(members[key], item) if key in members else item
                for key, item in value.items()
                # Members that an older botocore does not know are sent too if they are plain JSON, as AWS would.
                if item is not None and (key in members or isinstance(item, str | int))
            }
        case ListShape():
            return [write_value(shape.member, item) for item in value]
        case MapShape():
            return {key: write_value(shape.value, item) for key, item in value.items()}
        case Shape(type_name="timestamp"):
            return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        case Shape(type_name="blob"):
            return base64.b64encode(value).decode()
        case _:
            return value
