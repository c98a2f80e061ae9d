"""Handles the schema as a document: checks and resolves its references, and lets null stand for an absent field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bedrock_batch.errors import InputError

_DATA_KEYWORDS = frozenset({"const", "default", "enum", "examples"})
_MAPS_OF_SCHEMAS = ("properties", "$defs", "definitions")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf")
_NAMED_SCHEMAS = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}
)
_ANCHORS = ("$anchor", "$dynamicAnchor")
_ANCHOR = re.compile(r"[A-Za-z_][-A-Za-z0-9._]*")
_DIALECT = re.compile(r"https?://json-schema\.org/(draft-0[467]|draft/20(19-09|20-12))/schema#?")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
# If a schema has one of these, it takes more than another `type` to make it accept null.
_APPLICATORS = frozenset({"$ref", "allOf", "anyOf", "oneOf", "not", "if", "$dynamicRef", "$recursiveRef"})


def as_node(schema: Any) -> Mapping[str, Any]:
    """Return a subschema as a mapping; a boolean schema, which names no type, becomes an empty one."""
    return schema if isinstance(schema, Mapping) else {}


def refuse_external_references(schema: Mapping[str, Any]) -> None:
    """Raise InputError for anything in a schema that would make a validator look for another document.

    This includes references out of the document, dialects that no validator contains, identifiers below the root, which
    change the base of references, and anchors that are not names.
    """
    for place, keyword, value in _keywords(schema, "#", is_schema=True):
        if keyword in _REFERENCES and not value.startswith("#"):
            raise InputError(f"{place}: {keyword} {value!r} refers out of the schema; put the definition under $defs")
        if keyword == "$schema" and not is_known_dialect(value):
            raise InputError(f"{place}: $schema {value!r} is not a known dialect of JSON Schema; remove it")
        if keyword in ("$id", "id") and place != "#" and not value.startswith("#"):
            raise InputError(f"{place}: {keyword} {value!r} makes a separate document of a part; remove it")
        if keyword in _ANCHORS and not _ANCHOR.fullmatch(value):
            raise InputError(f"{place}: {keyword} {value!r} is not a name of letters, digits and - . _; rename it")


def is_known_dialect(uri: str) -> bool:
    """Return whether `uri` names a version of JSON Schema that validators know without fetching it."""
    return _DIALECT.fullmatch(uri) is not None


def _keywords(node: Any, place: str, *, is_schema: bool) -> Iterator[tuple[str, str, str]]:
    """Yield the place, keyword and value of each keyword in a document that has a text as its value.

    `is_schema` is False for a node whose members are named by the user, such as properties and definitions. The value
    of an unknown keyword counts as a schema, because a validator may treat it as one.
    """
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _keywords(item, f"{place}/{index}", is_schema=is_schema)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            if not is_schema:
                yield from _keywords(value, f"{place}/{key}", is_schema=True)
            elif isinstance(value, str):
                yield place, key, value
            elif key not in _DATA_KEYWORDS:
                yield from _keywords(value, f"{place}/{key}", is_schema=key not in _NAMED_SCHEMAS)


def resolve(
    node: Mapping[str, Any], root: Mapping[str, Any], trail: tuple[str, ...]
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return the node with its `$ref` resolved, and the references followed so far.

    The keywords of the node override those of the target. InputError for a reference inside its own target, because a
    table column cannot have a recursive type.
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
            raise InputError(f"$ref {reference!r} points to nothing in the schema")
        target = target[key]
    return as_node(target)


def allow_null_for_optional(schema: Any) -> Any:
    """Return a schema in which every optional property also accepts null.

    Models often write null for an absent value, and the answers' columns do not distinguish the two.
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
