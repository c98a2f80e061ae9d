"""The part of a JSON Schema that the service's own structured output compiles.

https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html: every object closed, no recursion, no
bounds of numbers, lengths or lists, `minItems` 0 or 1. What is taken out still holds: the whole schema judges the
answer, and the model reads the rules in the descriptions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bedrock_batch.text import shorten

# What stays as it is, besides what `_adapt` walks into.
_KEPT = frozenset({"type", "enum", "const", "title", "description", "default", "required", "$ref"})
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
# Rules that can be told in words where they cannot be compiled; of all others only the whole schema knows.
_TOLD = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
    "format", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties",
)  # fmt: skip # a list of words
_RULE_LIMIT = 200


class NotExpressibleError(ValueError):
    """The service cannot be held to a schema without changing what it means; the message says why."""


def adapt_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema as the service compiles it: closed objects, unsupported rules moved into descriptions.

    NotExpressibleError where closing an object would forbid what it is for: an object of any keys.
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
        raise NotExpressibleError(f"{place} joins schemas by allOf, which closed objects cannot satisfy together")
    alternatives = node.get("anyOf", node.get("oneOf"))
    if isinstance(alternatives, list):
        adapted["anyOf"] = [_adapt(part, place) for part in alternatives]
    _tell(node, adapted)
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
        raise NotExpressibleError(f"{place} is an object of any keys")
    closed = {name: _adapt(part, f"{place}.{name}") for name, part in properties.items()}
    return {"type": node.get("type", "object"), "properties": closed, "additionalProperties": False}


def _tell(node: Mapping[str, Any], adapted: dict[str, Any]) -> None:
    """Keep the rules that the service compiles, and put the others into the description."""
    if node.get("format") in _FORMATS:
        adapted["format"] = node["format"]
    if node.get("minItems") in (0, 1):
        adapted["minItems"] = node["minItems"]
    rules = [f"{key}: {json.dumps(node[key])}" for key in _TOLD if key in node and key not in adapted]
    if rules:
        text = f"({shorten('; '.join(rules), _RULE_LIMIT)})"
        described = node.get("description")
        adapted["description"] = f"{described} {text}" if isinstance(described, str) else text
