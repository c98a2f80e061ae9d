"""Reduces a JSON Schema to the part that the service's structured output can compile.

The service needs closed objects and a `minItems` of 0 or 1, and rejects recursion and bounds of numbers, lengths and
lists (https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html). The rules that are taken out still
apply: the model reads them in the descriptions, and the whole schema validates the answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bedrock_batch.text import shorten

# Keywords that are copied; `_adapt` handles the keywords that hold subschemas.
_KEPT = frozenset({"type", "enum", "const", "title", "description", "default", "required", "$ref"})
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
# Rules that a description can state if they cannot be compiled. Only the whole schema enforces all others.
_DESCRIBED = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
    "format", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties",
)  # fmt: skip # a list of words
_RULE_LIMIT = 200


class NotExpressibleError(ValueError):
    """The service cannot enforce a schema without changing its meaning; the message gives the reason."""


def adapt_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that the service can compile: objects are closed, and unsupported rules move into descriptions.

    NotExpressibleError if an object accepts arbitrary keys, which a closed object would forbid.
    """
    return _adapt(schema, "the schema")


def _adapt(node: Any, place: str) -> dict[str, Any]:
    if not isinstance(node, Mapping):
        raise NotExpressibleError(f"{place} accepts anything")
    adapted: dict[str, Any] = {key: value for key, value in node.items() if key in _KEPT}
    for key in ("$defs", "definitions"):
        if isinstance(node.get(key), Mapping):
            adapted[key] = {name: _adapt(part, f"{place}.{name}") for name, part in node[key].items()}
    if _is_object(node):
        adapted |= _closed(node, place)
    if "items" in node:
        adapted["items"] = _adapt(node["items"], f"{place}[]")
    if "allOf" in node:
        raise NotExpressibleError(f"{place} combines schemas by allOf, which no closed object can satisfy")
    alternatives = node.get("anyOf", node.get("oneOf"))
    if isinstance(alternatives, list):
        adapted["anyOf"] = [_adapt(part, place) for part in alternatives]
    _add_rules(node, adapted)
    if not adapted.keys() & {"type", "enum", "const", "anyOf", "$ref"}:
        raise NotExpressibleError(f"{place} accepts anything")
    return adapted


def _is_object(node: Mapping[str, Any]) -> bool:
    kind = node.get("type")
    return "properties" in node or kind == "object" or (isinstance(kind, list) and "object" in kind)


def _closed(node: Mapping[str, Any], place: str) -> dict[str, Any]:
    properties = node.get("properties")
    extra = node.get("additionalProperties")
    if not isinstance(properties, Mapping) or isinstance(extra, Mapping) or "patternProperties" in node:
        raise NotExpressibleError(f"{place} is an object with arbitrary keys")
    closed = {name: _adapt(part, f"{place}.{name}") for name, part in properties.items()}
    return {"type": node.get("type", "object"), "properties": closed, "additionalProperties": False}


def _add_rules(node: Mapping[str, Any], adapted: dict[str, Any]) -> None:
    """Copy the rules that the service compiles, and state the others in the description."""
    if node.get("format") in _FORMATS:
        adapted["format"] = node["format"]
    if node.get("minItems") in (0, 1):
        adapted["minItems"] = node["minItems"]
    rules = [f"{key}: {json.dumps(node[key])}" for key in _DESCRIBED if key in node and key not in adapted]
    if rules:
        text = f"({shorten('; '.join(rules), _RULE_LIMIT)})"
        described = node.get("description")
        adapted["description"] = f"{described} {text}" if isinstance(described, str) else text
