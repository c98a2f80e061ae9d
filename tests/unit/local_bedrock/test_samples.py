"""Samples of a JSON schema: valid, and the same for the same seed."""

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_bedrock.answers.samples import SchemaCompiler
from local_bedrock.draws import Draw

SCHEMAS = {
    "enum": {"enum": ["a", 1, None]},
    "const": {"const": {"a": 1}},
    "integer": {"type": "integer", "minimum": -3, "maximum": 4},
    "integer exclusive": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 2},
    "integer multiple": {"type": "integer", "minimum": 1, "maximum": 40, "multipleOf": 7},
    "number": {"type": "number", "minimum": 0, "maximum": 1},
    "number exclusive": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "number above": {"type": "number", "minimum": 250},
    "number below": {"type": "number", "maximum": -250},
    "lengths": {"type": "string", "minLength": 20, "maxLength": 22},
    "short": {"type": "string", "maxLength": 2},
    "long": {"type": "string", "minLength": 500},
    "pattern": {"type": "string", "pattern": r"^[A-Z]{2}-\d{3,5}(?:\.[a-f]+)?$"},
    "pattern within": {"type": "string", "pattern": r"(?:yes|no)\s?[^x]+", "minLength": 12},
    "date": {"type": "string", "format": "date"},
    "nullable": {"type": ["string", "null"]},
    "array": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 4},
    "unique": {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
    "tuple": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
    "any of": {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"x": {"type": "null"}}}]},
    "one of": {"oneOf": [{"type": "integer", "minimum": 5}, {"type": "boolean"}]},
    "all of": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"b": {"type": "string"}}, "required": ["b"]},
        ]
    },
    "nested": {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 1},
            "maybe": {"type": "boolean"},
        },
        "required": ["items", "not described"],
        "$defs": {
            "item": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "size": {"type": "number", "minimum": 0}},
                "required": ["name", "size"],
                "additionalProperties": False,
            }
        },
    },
    "least properties": {"type": "object", "properties": {"a": {}, "b": {}}, "minProperties": 2},
    "recursive": {
        "type": "object",
        "properties": {"value": {"type": "string"}, "next": {"$ref": "#"}},
        "required": ["value"],
    },
    "tree": {
        "type": "object",
        "properties": {
            "children": {"type": "array", "items": {"$ref": "#"}, "description": "below"},
            "parent": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        },
        "required": ["children", "parent"],
    },
    "no type": {"properties": {"a": {"minimum": 3}}},
    "anything": {},
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_samples_are_valid(schema):
    """A client would fail on answers that its schema forbids."""
    sampler = SchemaCompiler(schema).compile()
    validator = jsonschema.Draft202012Validator(schema)
    for seed in range(200):
        validator.validate(sampler(Draw(seed)))


def test_optional_fields_are_sometimes_absent():
    """A client that relies on optional fields would pass its tests."""
    sampler = SchemaCompiler({"type": "object", "properties": {"a": {}}}, omit_share=0.25).compile()
    present = sum("a" in sampler(Draw(seed)) for seed in range(400))
    assert 250 < present < 350


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_same_seed_gives_the_same_sample(seed):
    """Real time and batch would give different answers to one prompt."""
    sampler = SchemaCompiler(SCHEMAS["nested"]).compile()
    assert sampler(Draw(seed)) == sampler(Draw(seed))
