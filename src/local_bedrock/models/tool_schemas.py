"""The check of the schemas of tools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_MAPS_OF_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS_OF_SCHEMAS = ("anyOf", "allOf", "oneOf", "prefixItems")
_SCHEMAS = ("items", "additionalProperties", "not")


def is_json_schema(schema: Any) -> bool:
    """Tell whether a value is a JSON Schema, by the keywords that tools use: types, properties, required, enum."""
    if isinstance(schema, bool):
        return True
    return isinstance(schema, Mapping) and _keywords_fit(schema) and all(map(is_json_schema, _children(schema)))


def _keywords_fit(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type", [])
    required = schema.get("required", [])
    return (
        _are_unique_texts([kinds] if isinstance(kinds, str) else kinds, _TYPES)
        and _are_unique_texts(required)
        and isinstance(schema.get("enum", []), list)
        and all(isinstance(schema.get(name, {}), Mapping) for name in _MAPS_OF_SCHEMAS)
        and all(isinstance(schema.get(name, []), list) for name in _LISTS_OF_SCHEMAS)
    )


def _are_unique_texts(values: Any, allowed: Iterable[str] | None = None) -> bool:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return False
    return len(set(values)) == len(values) and (allowed is None or set(values) <= set(allowed))


def _children(schema: Mapping[str, Any]) -> Iterator[Any]:
    for name in _MAPS_OF_SCHEMAS:
        yield from schema.get(name, {}).values()
    for name in _LISTS_OF_SCHEMAS:
        yield from schema.get(name, [])
    for name in _SCHEMAS:
        if name in schema:
            yield schema[name]
