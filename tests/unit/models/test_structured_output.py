"""Adapting schemas to what the service compiles."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bedrock_batch.models.structured_output import NotExpressibleError, adapt_schema
from local_bedrock.models.output_schemas import refuse_output_schema

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "category": {"type": "string", "enum": ["a", "b"], "description": "One of two."},
        "score": {"type": "number", "minimum": 0, "maximum": 1, "description": "How sure."},
        "count": {"type": "integer", "multipleOf": 5},
        "code": {"type": ["string", "null"], "pattern": "^[A-Z]+$", "maxLength": 5},
        "day": {"type": "string", "format": "date"},
        "phone": {"type": "string", "format": "phone"},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 2, "maxItems": 3},
        "some": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "nested": {"type": "object", "properties": {"x": {"$ref": "#/$defs/x"}}, "required": ["x"]},
        "either": {"oneOf": [{"type": "string"}, {"type": "object", "properties": {"y": {"type": "boolean"}}}]},
    },
    "required": ["category", "score"],
    "additionalProperties": True,
    "if": {"required": ["code"]},
    "then": {"required": ["day"]},
    "$defs": {"x": {"type": "object", "properties": {"z": {"type": "integer", "minimum": 1}}}},
}


def test_the_service_accepts_what_is_adapted() -> None:
    """Every run with a bounded number in its schema would fail."""
    refuse_output_schema(adapt_schema(SCHEMA))


def test_rules_that_cannot_be_compiled_are_told_in_words() -> None:
    """The model would not know the bounds that its answer must meet."""
    adapted = adapt_schema(SCHEMA)["properties"]
    assert adapted["score"] == {"type": "number", "description": "How sure. (minimum: 0; maximum: 1)"}
    assert adapted["count"] == {"type": "integer", "description": "(multipleOf: 5)"}
    assert adapted["code"]["description"] == '(maxLength: 5; pattern: "^[A-Z]+$")'
    assert adapted["tags"]["description"] == "(minItems: 2; maxItems: 3)"
    assert adapted["phone"] == {"type": "string", "description": '(format: "phone")'}


def test_rules_that_can_be_compiled_stay() -> None:
    """The service would enforce less of the schema than it can."""
    adapted = adapt_schema(SCHEMA)
    assert adapted["required"] == ["category", "score"]
    assert adapted["properties"]["category"] == SCHEMA["properties"]["category"]
    assert adapted["properties"]["day"]["format"] == "date"
    assert adapted["properties"]["some"]["minItems"] == 1
    assert adapted["properties"]["code"]["type"] == ["string", "null"]


def test_the_schema_itself_is_not_changed() -> None:
    """The step would validate answers by the weaker schema."""
    before = repr(SCHEMA)
    adapt_schema(SCHEMA)
    assert repr(SCHEMA) == before


@pytest.mark.parametrize(
    "answer",
    [
        {"category": "a", "score": 0.5},
        {"category": "b", "score": 1, "count": 5, "code": None, "tags": ["x", "y"], "nested": {"x": {"z": 1}}},
        {"category": "a", "score": 0, "either": {"y": True}, "day": "2026-11-24"},
    ],
    ids=range(3),
)
def test_a_valid_answer_stays_valid(answer: dict[str, Any]) -> None:
    """The service would forbid answers that the schema allows."""
    assert Draft202012Validator(adapt_schema(SCHEMA)).is_valid(answer)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"type": "object"}, "arbitrary keys"),
        ({"type": "object", "properties": {}, "additionalProperties": {"type": "string"}}, "arbitrary keys"),
        ({"type": "object", "properties": {}, "patternProperties": {"^x": {}}}, "arbitrary keys"),
        ({}, "anything"),
        (True, "anything"),
        ({"description": "free"}, "anything"),
        ({"allOf": [{"type": "object", "properties": {}}]}, "allOf"),
    ],
    ids=["free object", "map", "pattern map", "empty", "true", "untyped", "allOf"],
)
def test_a_schema_that_closing_would_change_is_not_sent(part: Any, reason: str) -> None:
    """The service would return an empty object for an object with arbitrary keys."""
    with pytest.raises(NotExpressibleError, match=reason):
        adapt_schema({"type": "object", "properties": {"f": part}})
