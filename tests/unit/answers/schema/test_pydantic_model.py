"""From a schema to a Pydantic class and column types."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from bedrock_batch.answers.schema.pydantic_model import build_response_model, check_storable
from bedrock_batch.errors import InputError

PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": ["integer", "null"]}}}
PERSON_TYPE = pa.struct([("name", pa.string()), ("age", pa.int64())])


def build(part: Any, **more: Any) -> Any:
    return build_response_model({"properties": {"f": part}, **more}, "Answer")


@pytest.mark.parametrize(
    ("part", "arrow"),
    [
        pytest.param({"type": "string"}, pa.string(), id="string"),
        pytest.param({"type": "number"}, pa.float64(), id="number"),
        pytest.param({"type": "integer"}, pa.int64(), id="integer"),
        pytest.param({"type": "boolean"}, pa.bool_(), id="boolean"),
        pytest.param({"type": ["null", "number"]}, pa.float64(), id="nullable"),
        pytest.param({"type": ["integer", "number"]}, pa.float64(), id="integer-or-number"),
        pytest.param({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, pa.bool_(), id="any-of-null"),
        pytest.param({"anyOf": [PERSON, {"type": "null"}]}, PERSON_TYPE, id="nullable-object"),
        pytest.param({"oneOf": [{"const": "a"}, {"const": "b"}]}, pa.string(), id="one-of-constants"),
        pytest.param({"enum": ["a", "b", None]}, pa.string(), id="enum-of-strings"),
        pytest.param({"enum": [True, False]}, pa.bool_(), id="enum-of-booleans"),
        pytest.param({"enum": [1, 2]}, pa.int64(), id="enum-of-integers"),
        pytest.param({"enum": [1, 2.5]}, pa.float64(), id="enum-of-numbers"),
        pytest.param({"const": 7}, pa.int64(), id="const"),
        pytest.param(PERSON, PERSON_TYPE, id="object"),
        pytest.param({"properties": {"x": {"type": "string"}}}, pa.struct([("x", pa.string())]), id="untyped-object"),
        pytest.param({"type": "array", "items": PERSON}, pa.list_(PERSON_TYPE), id="array-of-objects"),
        pytest.param(
            {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
            pa.list_(pa.list_(pa.int64())),
            id="array-of-arrays",
        ),
        pytest.param({"$ref": "#/$defs/person"}, PERSON_TYPE, id="reference"),
    ],
)
def test_types_come_from_the_schema(part: Any, arrow: pa.DataType) -> None:
    """The type of a column would depend on the answers of the first rows."""
    assert build(part, **{"$defs": {"person": PERSON}}).shapes["f"].arrow == arrow


@pytest.mark.parametrize(
    "part",
    [
        {},
        True,
        {"type": "object"},
        {"type": "array"},
        {"type": "array", "items": {}},
        {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "string"}},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": ["string", "integer"]},
        {"enum": [1, "a"]},
        {"enum": [True, 1]},
        {"const": None},
        {"type": "null"},
        {"anyOf": [PERSON, {"type": "object", "properties": {"x": {"type": "string"}}}]},
        {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "array", "items": {"type": "string"}}]},
        {**PERSON, "additionalProperties": {"type": "string"}},
        {**PERSON, "minProperties": 1},
        {"type": "object", "properties": {"x": {}}},
        {"allOf": [PERSON, PERSON]},
    ],
    ids=str,
)
def test_what_fits_no_arrow_type_is_json_text(part: Any) -> None:
    """A column of mixed types could not be written, or would lose undeclared properties that a rule needs."""
    assert build(part).shapes["f"].arrow is None


@pytest.mark.parametrize(
    "name", ["a-b", "class", "_id", "model_config", "json", "copy", "größe", "", "1st", "a.b", "model_x", "\x00"]
)
def test_any_field_name_works(name: str) -> None:
    """A schema would be refused for a name that Python or Pydantic reserves."""
    model = build_response_model({"properties": {name: {"type": "integer"}, "field_0": {}}, "required": [name]}, "M")
    assert build_response_model({"properties": {name: PERSON}}, "M").shapes[name].arrow == PERSON_TYPE
    answer = model.model_class.model_validate({name: "3", "field_0": "x"})
    assert answer.model_dump(by_alias=True) == {name: 3, "field_0": "x"}


def test_required_optional_and_nullable_are_told_apart() -> None:
    """A missing required field would count as null, or a null as an error."""
    properties = {"r": {"type": "string"}, "n": {"type": ["string", "null"]}, "o": {"type": "string"}}
    model = build_response_model({"properties": properties, "required": ["r", "n"]}, "M").model_class
    assert model.model_validate({"r": "x", "n": None}).model_dump() == {"r": "x", "n": None, "o": None}
    for wrong in ({"n": None}, {"r": "x"}, {"r": None, "n": None}):
        with pytest.raises(ValidationError):
            model.model_validate(wrong)


def test_descriptions_reach_the_model() -> None:
    """Code that reads the response model would lose the descriptions of the schema."""
    model = build({"type": "string", "description": "what it is"}).model_class
    assert model.model_fields["f"].description == "what it is"
    assert build({"description": 5}).model_class.model_fields["f"].description is None


@pytest.mark.parametrize(
    ("more", "extra"),
    [
        ({}, "ignore"),
        ({"additionalProperties": True}, "ignore"),
        ({"additionalProperties": False}, "forbid"),
        ({"additionalProperties": False, "patternProperties": {"^x": {}}}, "allow"),
        ({"additionalProperties": {"type": "string"}}, "allow"),
        ({"propertyNames": {"maxLength": 3}}, "allow"),
        ({"allOf": [{"required": ["x"]}]}, "allow"),
    ],
    ids=str,
)
def test_undeclared_properties_are_kept_only_where_a_rule_may_look_at_them(more: dict[str, Any], extra: str) -> None:
    """The validator would check another object than the one that the model gave."""
    assert build({}, **more).model_class.model_config["extra"] == extra


def test_rules_of_an_outer_object_keep_the_inner_undeclared_properties() -> None:
    """An answer would fail if a top-level `allOf` requires a property that only it names."""
    outer = build(PERSON, allOf=[{"properties": {"f": {"required": ["x"]}}}])
    assert outer.shapes["f"].annotation.model_config["extra"] == "allow"


def test_a_recursive_type_is_an_input_error() -> None:
    """The run would end with a RecursionError."""
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    with pytest.raises(InputError, match="recursive"):
        build({"$ref": "#/$defs/tree"}, **{"$defs": {"tree": tree}})


def test_one_definition_may_be_used_twice() -> None:
    """A schema whose fields share a definition would be refused as recursive."""
    address = {"type": "object", "properties": {"street": {"type": "string"}}}
    properties = {"a": {"$ref": "#/$defs/address"}, "b": {"type": "array", "items": {"$ref": "#/$defs/address"}}}
    model = build_response_model({"properties": properties, "$defs": {"address": address}}, "M")
    assert pa.types.is_struct(model.shapes["a"].arrow)
    assert pa.types.is_list(model.shapes["b"].arrow)


@pytest.mark.parametrize("value", [None, True, 1, -(2**63), 2**63 - 1, 0.5, "ä", ["x", {"k": None}]], ids=str)
def test_storable_values_pass(value: Any) -> None:
    """Valid answers would be refused."""
    check_storable(value, "f")


@pytest.mark.parametrize(
    "value", [2**63, -(2**63) - 1, float("nan"), float("-inf"), "\udfff", ["\ud800"], {"k": [2**64]}, {"\ud800": 1}]
)
def test_values_that_no_column_can_hold_are_refused(value: Any) -> None:
    """The output file could not be written."""
    with pytest.raises(ValueError, match="f: "):
        check_storable(value, "f")
