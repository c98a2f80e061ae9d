"""The subset of JSON Schema that the service accepts for structured output.

Source: AWS's page on structured output (closed objects, no recursion, no external references, no numeric or length
bounds, `minItems` 0 or 1 only). The messages are those of Anthropic's API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from local_bedrock.body_checks import BodyError
from local_bedrock.jsonio import dump_json, load_json

_FIELD = "output_config.format.schema"
_UNSUPPORTED = {
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength"),
    "array": ("maxItems", "uniqueItems", "contains"),
}
_NESTING = ("anyOf", "allOf", "oneOf")


def refuse_output_schema(schema: Any) -> None:
    """Raise `BodyError` if the service does not accept a schema (an object, or JSON text as in Converse)."""
    message = _problem(schema if isinstance(schema, str) else dump_json(schema).decode())
    if message is not None:
        raise BodyError(f"{_FIELD}: {message}")


@lru_cache(maxsize=256)
def _problem(text: str) -> str | None:
    try:
        schema = load_json(text)
    except ValueError:
        return "Schema is not valid JSON"
    if not isinstance(schema, dict):
        return "Input should be a valid dictionary"
    return next(_problems(schema, schema, ()), None)


def _problems(node: Any, root: Mapping[str, Any], via: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(node, Mapping):
        return
    reference = node.get("$ref")
    if isinstance(reference, str):
        yield from _reference_problems(reference, root, via)
    kind = node.get("type", "object" if "properties" in node else None)
    if kind == "object" and node.get("additionalProperties") is not False:
        yield "For 'object' type, 'additionalProperties' must be explicitly set to false"
    found = [keyword for keyword in _UNSUPPORTED.get(kind if isinstance(kind, str) else "", ()) if keyword in node]
    if found:
        yield f"For '{kind}' type, properties {', '.join(found)} are not supported"
    if node.get("minItems", 0) not in (0, 1):
        yield "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
    for child in _children(node):
        yield from _problems(child, root, via)


def _reference_problems(reference: str, root: Mapping[str, Any], via: tuple[str, ...]) -> Iterator[str]:
    if not reference.startswith("#"):
        yield f"External reference '{reference}' is not supported"
        return
    if reference in via or reference == "#":
        yield "Recursive schemas are not supported"
        return
    target: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        target = target.get(part) if isinstance(target, Mapping) else None
    if target is None:
        yield f"Reference '{reference}' cannot be resolved"
    yield from _problems(target, root, (*via, reference))


def _children(node: Mapping[str, Any]) -> Iterator[Any]:
    yield from (node.get("properties") or {}).values()
    yield node.get("items")
    for keyword in _NESTING:
        yield from node.get(keyword) or ()
