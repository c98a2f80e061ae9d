"""Schemas as the service compiles them."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bedrock_batch.service_schema import NotExpressibleError, adapt_schema
from local_bedrock.output_schemas import refuse_output_schema

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
    """The first record of every run with a bounded number would be refused."""
    refuse_output_schema(adapt_schema(SCHEMA))


def test_rules_that_cannot_be_compiled_are_told_in_words() -> None:
    """The model would not know the bounds by which its answer is judged."""
    adapted = adapt_schema(SCHEMA)["properties"]
    assert adapted["score"] == {"type": "number", "description": "How sure. (minimum: 0; maximum: 1)"}
    assert adapted["count"] == {"type": "integer", "description": "(multipleOf: 5)"}
    assert adapted["code"]["description"] == '(maxLength: 5; pattern: "^[A-Z]+$")'
    assert adapted["tags"]["description"] == "(minItems: 2; maxItems: 3)"
    assert adapted["phone"] == {"type": "string", "description": '(format: "phone")'}


def test_rules_that_can_be_compiled_stay() -> None:
    """The service would be held to less than it can be."""
    adapted = adapt_schema(SCHEMA)
    assert adapted["required"] == ["category", "score"]
    assert adapted["properties"]["category"] == SCHEMA["properties"]["category"]
    assert adapted["properties"]["day"]["format"] == "date"
    assert adapted["properties"]["some"]["minItems"] == 1
    assert adapted["properties"]["code"]["type"] == ["string", "null"]


def test_the_schema_itself_is_not_changed() -> None:
    """The answer would be judged by the weaker schema."""
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
    """The service would forbid the very answers that the schema asks for."""
    assert Draft202012Validator(adapt_schema(SCHEMA)).is_valid(answer)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"type": "object"}, "any keys"),
        ({"type": "object", "properties": {}, "additionalProperties": {"type": "string"}}, "any keys"),
        ({"type": "object", "properties": {}, "patternProperties": {"^x": {}}}, "any keys"),
        ({}, "anything"),
        (True, "anything"),
        ({"description": "free"}, "anything"),
        ({"allOf": [{"type": "object", "properties": {}}]}, "allOf"),
    ],
    ids=["free object", "map", "pattern map", "empty", "true", "untyped", "allOf"],
)
def test_a_schema_that_closing_would_change_is_not_sent(part: Any, reason: str) -> None:
    """The service would answer with an empty object where any keys are asked for."""
    with pytest.raises(NotExpressibleError, match=reason):
        adapt_schema({"type": "object", "properties": {"f": part}})
