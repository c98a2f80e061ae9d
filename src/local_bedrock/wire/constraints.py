"""Checks of the constraints that botocore leaves to the service: required, length, range, pattern, enum."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

_EQUIVALENT_PATTERNS = {
    # Python's `re` takes exponential time for a run of hyphens with the published patterns.
    r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}": r"[a-zA-Z0-9][a-zA-Z0-9+\-.]*",
    r"[a-zA-Z0-9]{1,256}(-*[a-zA-Z0-9]){0,256}": r"[a-zA-Z0-9](?:-*[a-zA-Z0-9])*",
}

_RESOLVED_NAMES = frozenset({"modelId", "modelIdentifier", "inferenceProfileIdentifier"})
"""Members without a pattern check: a lookup follows, and older botocore patterns refuse today's profile ids."""


def violations(shape: Shape, value: Any, path: str = "") -> list[str]:
    """Return a message in the wording of AWS's `ValidationException` for each constraint that `value` violates."""
    return list(_violations(shape, value, path))


def _violations(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if value is None or getattr(shape, "is_document_type", False):
        return
    match shape:
        case StructureShape():
            yield from _structure_violations(shape, value, path)
        case ListShape():
            yield from _size_violations(shape, len(value), path, value, "length")
            for i, item in enumerate(value):
                yield from _violations(shape.member, item, f"{path}.{i + 1}.member")
        case MapShape():
            yield from _size_violations(shape, len(value), path, value, "length")
            for key, item in value.items():
                yield from _violations(shape.value, item, f"{path}.{key}")
        case Shape(type_name="string"):
            yield from _string_violations(shape, value, path)
        case Shape(type_name="blob"):
            yield from _size_violations(shape, len(value), path, "java.nio.HeapByteBuffer", "length")
        case Shape(type_name="integer" | "long" | "float" | "double"):
            yield from _size_violations(shape, value, path, value, "value")


def _structure_violations(shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[str]:
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        if value.get(name) is None:
            yield _sentence("null", prefix + name, "Member must not be null")
    if shape.metadata.get("union") and len(value) != 1:
        yield _sentence("null" if not value else "union", path, "Exactly one member of the union must be set")
    for name, item in value.items():
        yield from _violations(shape.members[name], item, prefix + name)


def _string_violations(shape: Shape, value: str, path: str) -> Iterator[str]:
    too_long = list(_size_violations(shape, len(value), path, value, "length"))
    yield from too_long
    pattern = shape.metadata.get("pattern") if path not in _RESOLVED_NAMES else None
    if pattern and not too_long and not _compiled(pattern).fullmatch(value):
        yield _sentence(value, path, f"Member must satisfy regular expression pattern: {pattern}")
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield _sentence(value, path, f"Member must satisfy enum value set: [{', '.join(allowed)}]")


def _size_violations(shape: Shape, size: float, path: str, shown: Any, noun: str) -> Iterator[str]:
    minimum, maximum = shape.metadata.get("min"), shape.metadata.get("max")
    if minimum is not None and size < minimum:
        yield _sentence(shown, path, f"Member must have {noun} greater than or equal to {minimum}")
    if maximum is not None and size > maximum:
        yield _sentence(shown, path, f"Member must have {noun} less than or equal to {maximum}")


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(_EQUIVALENT_PATTERNS.get(pattern, pattern))


def _sentence(shown: Any, path: str, constraint: str) -> str:
    text = str(shown)
    quoted = text if text == "null" else f"'{text[:200]}'"
    return f"Value {quoted} at '{path}' failed to satisfy constraint: {constraint}"
