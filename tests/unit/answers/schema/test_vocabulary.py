"""Which keys of a schema file belong to the schema: the keywords of JSON Schema, and what they refer to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bedrock_batch.answers.schema.response_schema import ResponseSchema
from bedrock_batch.answers.schema.vocabulary import schema_identity, schema_of_file

SCHEMA: dict[str, Any] = {"properties": {"a": {"type": "string"}}, "required": ["a"]}
AROUND = {
    "template_metadata": {"generated_at": "2026-11-24T12:00:00", "$ref": "https://metadata.invalid/x"},
    "processing_config": {"response_model_name": "Answer"},
    "version": "1",
    "metadata": {},
    "generated_at": "2026-11-24",
    "x-generated-by": "a template step",
    "$generated": True,
}


@pytest.mark.parametrize("key", AROUND)
def test_a_key_of_the_template_step_is_not_part_of_the_schema(key: str) -> None:
    """The key would reach the model, and a changed timestamp would begin a new run."""
    content = {key: AROUND[key], **SCHEMA}
    assert schema_of_file(content) == SCHEMA
    assert ResponseSchema(content).wire_schema() == {"type": "object", **SCHEMA}
    assert schema_identity(json.dumps(content)) == json.dumps(SCHEMA)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"$defs": {"k": {"type": "string"}}}, id="definitions"),
        pytest.param({"definitions": {"k": {"type": "string"}}}, id="older-definitions"),
        pytest.param({"title": "t", "description": "d", "examples": [], "$comment": "c"}, id="annotations"),
        pytest.param({"additionalProperties": False, "minProperties": 1, "if": {}, "then": {}}, id="rules"),
        pytest.param({"$schema": "http://json-schema.org/draft-07/schema#", "$id": "urn:a"}, id="where-it-is-from"),
    ],
)
def test_keywords_of_json_schema_belong_to_the_schema(more: dict[str, Any]) -> None:
    """A rule would not be enforced, or a new version would begin a new run instead of continuing."""
    content = SCHEMA | more
    assert schema_of_file(content) == content
    text = json.dumps(content, indent=1)
    assert schema_identity(text) == text
    assert ResponseSchema(content).wire_schema() == {"type": "object"} | {
        k: v for k, v in content.items() if k != "$id"
    }


def test_a_key_that_a_reference_leads_into_belongs_to_the_schema() -> None:
    """A schema that keeps its definitions under another key would be refused."""
    content = {
        "properties": {"a": {"$ref": "#/my~1parts%20x/a"}},
        "my/parts x": {"a": {"type": "array", "items": {"$ref": "#/more/b"}}},
        "more": {"b": {"type": "integer"}},
        "unused": {"c": {"type": "integer"}},
    }
    assert schema_of_file(content).keys() == {"properties", "my/parts x", "more"}
    simple = {"properties": {"a": {"$ref": "#/shared/a"}}, "shared": {"a": {"type": "integer"}}, "noise": 1}
    assert ResponseSchema(simple).validate({"a": "3"}) == {"a": 3}


def test_no_schema_has_the_identity_of_an_empty_text() -> None:
    """A run without a schema would fail to begin."""
    assert schema_identity("") == ""
