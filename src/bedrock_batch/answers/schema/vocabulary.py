"""Separates the keys of a schema file that belong to the schema from those that a template step adds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from bedrock_batch.environment.references import load_json_text

# https://json-schema.org/draft/2020-12/meta and the metaschemas of drafts 4, 6, 7 and 2019-09.
_CORE = frozenset(
    {"$schema", "$id", "id", "$ref", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"}
    | {"$vocabulary", "$comment", "$defs", "definitions"}
)
_APPLICATORS = frozenset(
    {"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"}
    | {"prefixItems", "items", "additionalItems", "contains", "unevaluatedItems"}
    | {"properties", "patternProperties", "additionalProperties", "propertyNames", "unevaluatedProperties"}
)
_VALIDATION = frozenset(
    {"type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"}
    | {"maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "maxContains", "minContains"}
    | {"maxProperties", "minProperties", "required", "dependentRequired"}
)
_ANNOTATIONS = frozenset(
    {"title", "description", "default", "deprecated", "readOnly", "writeOnly", "examples"}
    | {"format", "contentEncoding", "contentMediaType", "contentSchema"}
)
KEYWORDS = _CORE | _APPLICATORS | _VALIDATION | _ANNOTATIONS
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def schema_of_file(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a schema file that belong to the schema, in their order.

    These are the keywords of JSON Schema, and keys that a reference of the schema points into, such as `#/shared/name`.
    """
    kept: set[str] = set()
    reached: set[str] = {*KEYWORDS} & content.keys()
    while reached:
        kept |= reached
        reached = _referenced_keys([content[key] for key in reached]) & content.keys() - kept
    return {key: value for key, value in content.items() if key in kept}


def _referenced_keys(nodes: list[Any]) -> set[str]:
    """Return the top-level keys that the references in `nodes` point into."""
    keys: set[str] = set()
    nodes = list(nodes)
    while nodes:
        node = nodes.pop()
        if isinstance(node, Mapping):
            keys |= {_first_key(value) for value in map(node.get, _REFERENCES) if isinstance(value, str)}
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    return keys


def _first_key(reference: str) -> str:
    """Return the first key of a reference such as `#/shared/name`, decoded as a JSON pointer."""
    return unquote(reference.removeprefix("#/").partition("/")[0]).replace("~1", "/").replace("~0", "~")


def schema_identity(text: str) -> str:
    """Return the text of a schema for the identity of a run, without the keys that do not belong to the schema.

    `text` is a JSON object, or empty. It is returned unchanged if all its keys belong to the schema.
    """
    content = load_json_text(text, "BEDROCK_VALIDATION_SCHEMA") if text.strip() else {}
    kept = schema_of_file(content)
    return text if len(kept) == len(content) else json.dumps(kept)
