"""The schema as a document: which references it may hold, what they lead to, and where null stands for absent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bedrock_batch.errors import InputError

_DATA_KEYWORDS = frozenset({"const", "default", "enum", "examples"})
_MAPS_OF_SCHEMAS = ("properties", "$defs", "definitions")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
# With one of these a simple change of `type` does not make a schema accept null.
_APPLICATORS = frozenset({"$ref", "allOf", "anyOf", "oneOf", "not", "if", "$dynamicRef", "$recursiveRef"})


def as_node(schema: Any) -> Mapping[str, Any]:
    """Return a subschema as a mapping; the boolean schemas say nothing about types."""
    return schema if isinstance(schema, Mapping) else {}


def refuse_external_references(schema: Any) -> None:
    """Raise InputError for a reference that leads out of the document: nothing is ever fetched."""
    for keyword, target in _references(schema):
        if not target.startswith("#"):
            raise InputError(f"{keyword} {target!r} leads out of the schema; put the definition under $defs")


def _references(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for item in node:
            yield from _references(item)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            if key in _REFERENCES and isinstance(value, str):
                yield key, value
            elif key not in _DATA_KEYWORDS:
                yield from _references(value)


def resolve(
    node: Mapping[str, Any], root: Mapping[str, Any], trail: tuple[str, ...]
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return the node with its `$ref` followed and its own keywords laid over, and the references followed so far.

    InputError for a reference inside its own target: a table column has no recursive type.
    """
    while "$ref" in node:
        reference = str(node["$ref"])
        if reference in trail or reference == "#":
            raise InputError(f"$ref {reference!r} is recursive; a column cannot hold a recursive type")
        trail = (*trail, reference)
        node = {**_target(reference, root), **{key: value for key, value in node.items() if key != "$ref"}}
    return node, trail


def _target(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    target: Any = root
    if not reference.startswith("#/"):
        raise InputError(f"$ref {reference!r} is not supported; use a path such as #/$defs/name")
    for part in reference[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, Mapping) or key not in target:
            raise InputError(f"$ref {reference!r} leads nowhere in the schema")
        target = target[key]
    return as_node(target)


def allow_null_for_optional(schema: Any) -> Any:
    """Return the schema with every optional property also accepting null.

    Models write null for what they were not asked to give. The answer's columns cannot tell the two apart.
    """
    if not isinstance(schema, Mapping):
        return schema
    changed = dict(schema)
    for keyword in _MAPS_OF_SCHEMAS:
        if isinstance(schema.get(keyword), Mapping):
            changed[keyword] = {name: allow_null_for_optional(part) for name, part in schema[keyword].items()}
    for keyword in _LISTS_OF_SCHEMAS:
        if isinstance(schema.get(keyword), list):
            changed[keyword] = [allow_null_for_optional(part) for part in schema[keyword]]
    if isinstance(schema.get("items"), Mapping):
        changed["items"] = allow_null_for_optional(schema["items"])
    if isinstance(schema.get("properties"), Mapping):
        required = schema.get("required", ())
        properties = changed["properties"].items()
        changed["properties"] = {name: part if name in required else _or_null(part) for name, part in properties}
    return changed


def _or_null(node: Any) -> Any:
    if not isinstance(node, Mapping):
        return node
    if _APPLICATORS & node.keys():
        return {"anyOf": [node, {"type": "null"}]}
    changed = dict(node)
    if "type" in node:
        kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
        changed["type"] = [*kinds, "null"] if "null" not in kinds else kinds
    if isinstance(node.get("enum"), list) and None not in node["enum"]:
        changed["enum"] = [*node["enum"], None]
    if "const" in node:
        changed["enum"] = [changed.pop("const"), None]
    return changed
