"""Loading a validation schema, and validating answers with it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from bedrock_batch.answers.schema.response_schema import (
    MalformedJson,
    ResponseSchema,
    SchemaMismatch,
    load_validation_schema,
)
from bedrock_batch.errors import InputError

VALID = {"properties": {"a": {"type": "string"}}, "required": ["a"]}


def of(**properties: Any) -> ResponseSchema:
    return ResponseSchema({"properties": properties})


def write(path: Path, content: Any = VALID, mtime: int | None = None) -> None:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    if mtime is not None:
        os.utime(path, (mtime, mtime))


def test_the_newest_timestamp_in_a_name_wins_over_the_age_of_a_file(tmp_path: Path) -> None:
    """Answers would be validated by an old schema, because downloads from S3 change the age of files."""
    write(tmp_path / "validation_schema_20240101_000000.json", VALID | {"title": "old"}, mtime=2_000)
    write(tmp_path / "validation_schema_20250101_000000.json", VALID | {"title": "new"}, mtime=1_000)
    write(tmp_path / "validation_schema.json", VALID | {"title": "plain"}, mtime=3_000)
    write(tmp_path / "other_schema_20300101.json", VALID | {"title": "other"})
    assert load_validation_schema(tmp_path)["title"] == "new"


def test_a_file_without_a_timestamp_will_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A schema file that a person has written and named without a timestamp would be ignored."""
    write(tmp_path / "validation_schema.json")
    with caplog.at_level(logging.INFO):
        assert load_validation_schema(tmp_path, logging.getLogger("test")) == VALID
    assert "1 fields" in caplog.text
    assert load_validation_schema(tmp_path / "validation_schema.json") == VALID


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("{", "not a JSON file", id="not-json"),
        pytest.param([], "expected a JSON object", id="list"),
        pytest.param({}, "properties is missing", id="no-properties"),
        pytest.param({"properties": {}}, "properties is missing or empty", id="empty-properties"),
        pytest.param({"properties": {"a": {}}, "required": "a"}, "required must be a list", id="required-text"),
        pytest.param({"properties": {"a": {}}, "required": ["b"]}, "required names 'b'", id="unknown-required"),
        pytest.param({"properties": {"a": {}}, "type": "array"}, "type is 'array'", id="no-object"),
        pytest.param({"properties": {"a": {"type": "text"}}}, "not a valid JSON schema", id="unknown-type"),
        pytest.param({"properties": {"a": {"pattern": "("}}}, "not a valid JSON schema", id="bad-pattern"),
        pytest.param({"properties": {"a": {"minimum": "1"}}}, "not a valid JSON schema", id="bad-minimum"),
        pytest.param({"properties": {"a": {"$ref": "#/$defs/x"}}}, "valid JSON schema|nowhere", id="dangling-ref"),
        pytest.param({"properties": {"a": {"$ref": "x.json"}}}, "refers out of the schema", id="file-ref"),
        pytest.param({"properties": {"a": {"$ref": "https://h.invalid/x"}}}, "refers out", id="web-ref"),
        pytest.param({"properties": {"a": {"$ref": "#"}}}, "recursive", id="recursion"),
        pytest.param({"properties": {"\ud800": {}}}, "surrogate", id="lone-surrogate"),
    ],
)
def test_a_wrong_schema_file_is_named_with_its_fault(tmp_path: Path, content: Any, message: str) -> None:
    """Every row would be invalid, after the run has paid for it."""
    write(tmp_path / "validation_schema_1.json", content)
    with pytest.raises(InputError, match=message) as caught:
        load_validation_schema(tmp_path)
    assert "validation_schema_1.json" in str(caught.value)


def test_a_missing_schema_names_the_folder_and_what_it_holds(tmp_path: Path) -> None:
    """A user could not see from the file names that the wrong channel is mounted."""
    write(tmp_path / "prompts.json")
    with pytest.raises(InputError, match=r"prompts\.json"):
        load_validation_schema(tmp_path)
    with pytest.raises(InputError, match="nothing"):
        load_validation_schema(tmp_path / "absent")


def test_an_unknown_dialect_is_not_looked_up() -> None:
    """The validator would fetch the document of the dialect from the network."""
    schema = ResponseSchema(VALID | {"$schema": "https://dialect.invalid/schema", "$id": "https://id.invalid/"})
    assert schema.validate({"a": "x"}) == {"a": "x"}


@pytest.mark.parametrize(
    ("part", "text", "value"),
    [
        pytest.param({"type": "string"}, '"x"', "x", id="string"),
        pytest.param({"type": "number"}, '"0.9"', 0.9, id="number-in-quotes"),
        pytest.param({"type": "number"}, "1", 1.0, id="number-from-integer"),
        pytest.param({"type": "integer"}, '"3"', 3, id="integer-in-quotes"),
        pytest.param({"type": "integer"}, "3.0", 3, id="integer-as-float"),
        pytest.param({"type": "boolean"}, '"true"', True, id="boolean-in-quotes"),
        pytest.param({"type": ["string", "null"]}, "null", None, id="nullable"),
        pytest.param({"type": "string"}, "null", None, id="null-for-an-optional-field"),
        pytest.param({"type": "string", "enum": ["x"]}, "null", None, id="null-for-an-optional-enum"),
        pytest.param({"const": "x"}, "null", None, id="null-for-an-optional-const"),
        pytest.param({"enum": ["x", "y"]}, '"x"', "x", id="enum"),
        pytest.param({"enum": ["x", None]}, "null", None, id="enum-with-null"),
        pytest.param({"enum": [1, 2]}, '"2"', 2, id="enum-of-integers-in-quotes"),
        pytest.param({"enum": [1, 2]}, "2.0", 2, id="enum-of-integers-as-float"),
        pytest.param({"enum": [0.5, 1]}, "1", 1.0, id="enum-of-numbers"),
        pytest.param({"enum": [True]}, "true", True, id="enum-of-booleans"),
        pytest.param({"enum": [1, "a", True, None]}, '"a"', "a", id="mixed-enum"),
        pytest.param({"enum": [["x"], {"k": 1}]}, '{"k": 1}', {"k": 1}, id="enum-of-structures"),
        pytest.param({"const": "k"}, '"k"', "k", id="const"),
        pytest.param({"type": "array", "items": {"type": "number"}}, '["1", 2]', [1.0, 2.0], id="array"),
        pytest.param({"type": "array"}, '[1, "a", null]', [1, "a", None], id="free-array"),
        pytest.param({"type": "object"}, '{"k": [1]}', {"k": [1]}, id="free-object"),
        pytest.param({}, '{"k": 1}', {"k": 1}, id="anything"),
        pytest.param(True, "5", 5, id="boolean-schema"),
        pytest.param({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "5", 5, id="union"),
        pytest.param({"oneOf": [{"type": "string"}, {"type": "null"}]}, "null", None, id="one-of-null"),
        pytest.param({"type": ["integer", "number"]}, "1.5", 1.5, id="integer-or-number"),
        pytest.param({"type": "null"}, "null", None, id="null"),
        pytest.param({"$ref": "#/$defs/k"}, '{"x": "1"}', {"x": 1}, id="reference"),
        pytest.param({"allOf": [{"$ref": "#/$defs/k"}], "description": "d"}, '{"x": 1}', {"x": 1}, id="wrapped-ref"),
        pytest.param({"$ref": "#/$defs/k"}, '{"x": 1, "more": 2}', {"x": 1}, id="undeclared-property"),
        pytest.param({"$ref": "#/$defs/k"}, '{"x": 1, "y": null}', {"x": 1, "y": None}, id="null-in-nested-optional"),
        pytest.param(
            {"type": "object", "properties": {"x": {"type": "integer"}}, "additionalProperties": {"type": "string"}},
            '{"x": 1, "z": "s"}',
            {"x": 1, "z": "s"},
            id="map-with-typed-values",
        ),
        pytest.param(
            {
                "oneOf": [
                    {"type": "object", "properties": {"p": {"type": "string"}}, "required": ["p"]},
                    {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
                    {"type": "null"},
                ]
            },
            '{"q": "s"}',
            {"q": "s"},
            id="union-of-objects",
        ),
    ],
)
def test_a_good_answer_is_read(part: Any, text: str, value: Any) -> None:
    """A valid answer would be lost, or the column would hold another value."""
    defs = {"k": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "string"}}}}
    schema = ResponseSchema({"properties": {"f": part}, "$defs": defs})
    assert schema.validate_text('{"f": ' + text + "}") == {"f": value}
    assert type(schema.validate_text('{"f": ' + text + "}")["f"]) is type(value)
    (column,) = schema.to_arrays([{"f": value}, {}])
    assert column.type == schema.arrow_types["f"]
    assert column.validate(full=True) is None


@pytest.mark.parametrize(
    ("part", "text", "reason"),
    [
        pytest.param({"type": "string"}, "5", "f: Input should be a valid string", id="type"),
        pytest.param({"type": "string", "minLength": 2}, '"x"', "f: minLength 2 is not met", id="min-length"),
        pytest.param({"type": "string", "pattern": "^x$"}, '"y"', 'f: pattern "^x$" is not met', id="pattern"),
        pytest.param({"type": "number", "maximum": 1}, "1.5", "f: maximum 1 is not met", id="maximum"),
        pytest.param({"type": "number", "minimum": 0}, '"-1"', "f: minimum 0 is not met", id="minimum-after-coercion"),
        pytest.param({"type": "string", "enum": ["x", "y"]}, '"z"', "f: Input should be 'x' or 'y'", id="enum"),
        pytest.param({"enum": [1, 2]}, "3", "must be one of 1, 2", id="enum-of-integers"),
        pytest.param({"enum": [1, "a"]}, "true", "must be one of 1, 'a'", id="true-is-not-one"),
        pytest.param({"enum": [1, "a"]}, "[1]", "must be one of", id="list-for-an-enum"),
        pytest.param({"enum": [["x"]]}, '["y"]', "enum", id="enum-of-structures"),
        pytest.param({"const": "k"}, '"l"', "f: Input should be 'k'", id="const"),
        pytest.param(
            {"type": "array", "items": {"type": "string", "maxLength": 1}}, '["a", "bb"]', "f.1: maxLength", id="items"
        ),
        pytest.param(
            {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
            '["a", "a"]',
            "uniqueItems",
            id="unique",
        ),
        pytest.param(
            {"type": "object", "properties": {"x": {}}, "additionalProperties": False}, '{"y": 1}', "f.y", id="extra"
        ),
        pytest.param(
            {"type": "object", "properties": {"x": {}}, "required": ["x"]}, "{}", "f.x: Field required", id="required"
        ),
        pytest.param(
            {"type": "object", "properties": {"x": {}}, "maxProperties": 1},
            '{"x": 1, "y": 2}',
            "maxProperties",
            id="max-properties",
        ),
        pytest.param(
            {"type": "object", "properties": {"x": {}}, "additionalProperties": {"type": "string"}},
            '{"y": 2}',
            "f.y: type",
            id="typed-extra",
        ),
        pytest.param({"not": {"type": "string"}}, '"x"', "f: not", id="not"),
        pytest.param({"type": "integer"}, "9223372036854775808", "f: Input should be less than", id="int64"),
        pytest.param({"type": "integer"}, "1" + "0" * 400, "f: ", id="huge-integer"),
        pytest.param({"type": "number"}, "1e999", "f: Input should be a finite number", id="infinite"),
        pytest.param({"type": "number"}, "NaN", "f: Input should be a finite number", id="nan"),
        pytest.param({}, "NaN", "f: not a finite number", id="free-nan"),
        pytest.param({}, '{"k": [1e999]}', "f: not a finite number", id="free-infinite"),
        pytest.param({}, "9223372036854775808", "f: ", id="free-int64"),
        pytest.param(False, "1", "f: ", id="false-schema"),
    ],
)
def test_a_wrong_answer_is_refused_with_field_and_rule(part: Any, text: str, reason: str) -> None:
    """An invalid value would reach the table, or a user could not see what is wrong with it."""
    with pytest.raises(SchemaMismatch) as caught:
        of(f=part).validate_text('{"f": ' + text + "}")
    assert reason in str(caught.value)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    "text",
    ["", "x", '{"a": 1', '{"a": "\\ud800"}', '{"a": "\ud800"}', "[" * 10_000, "[1]", "1", "null", '"x"', '[{"a": 1}]'],
)
def test_what_is_no_json_object_is_told_apart_from_a_mismatch(text: str) -> None:
    """The step would repair well-formed JSON, or not repair broken JSON."""
    with pytest.raises(MalformedJson):
        of(a={}).validate_text(text)


@pytest.mark.parametrize("value", [5, [1], None, "x"])
def test_a_parsed_value_that_is_no_object_is_refused(value: object) -> None:
    """A tool input of another type would end the run with a traceback."""
    with pytest.raises(MalformedJson):
        of(a={}).validate(value)


@pytest.mark.parametrize("value", [{"a": "\ud800"}, {"a": {"\ud800": 1}}, {"a": 2**70}, {"a": [float("inf")]}])
def test_parsed_values_that_no_column_can_hold_are_refused(value: Any) -> None:
    """The output file could not be written."""
    with pytest.raises(SchemaMismatch):
        of(a={}).validate(value)


def test_deep_values_are_refused_and_not_raised() -> None:
    """A deeply nested answer would end the run with a RecursionError."""
    deep: Any = 1
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(SchemaMismatch):
        of(a={}).validate(deep)
    while isinstance(deep, Mapping):  # dismantled in a loop, because the interpreter would free it recursively
        deep = deep["a"]


def test_a_long_value_of_the_schema_is_shortened_in_the_reason() -> None:
    """One cell would contain a whole enumeration."""
    with pytest.raises(SchemaMismatch) as caught:
        of(a={"type": "string", "pattern": "^" + "x" * 500 + "$"}).validate({"a": "y"})
    assert len(str(caught.value)) < 130


def test_fields_come_in_schema_order_with_none_for_the_absent() -> None:
    """The order of columns would change from file to file."""
    schema = of(b={"type": "string"}, a={"type": "integer"}, c={})
    assert list(schema.validate_text('{"a": 1, "x": 2, "b": "s"}').items()) == [("b", "s"), ("a", 1), ("c", None)]
    assert schema.fields == ("b", "a", "c")


def test_free_values_are_stored_as_json_text() -> None:
    """A column of mixed types would have the type of its first value, and the next file would fail."""
    schema = of(a={}, b={"type": "array", "items": {"type": "object", "properties": {"x": {"type": "integer"}}}})
    answers = [{"a": {"ä": 1}, "b": [{"x": 1, "more": 2}, {}]}, {"b": None}, {"a": "s", "b": []}, {"a": 2}]
    first, second = schema.to_arrays(answers)
    assert first.to_pylist() == ['{"ä": 1}', None, '"s"', "2"]
    assert second.to_pylist() == [[{"x": 1}, {"x": None}], None, [], None]
    assert schema.arrow_types["b"] == pa.list_(pa.struct([("x", pa.int64())]))


def test_the_wire_schema_is_an_object_schema_without_what_surrounds_it() -> None:
    """The service would refuse the request for keywords that it does not know."""
    schema = ResponseSchema(VALID | {"processing_config": {"response_model_name": "Answer"}, "title": "t"})
    assert schema.wire_schema() == {"type": "object", "title": "t"} | VALID
    assert schema.model_class.__name__ == "Answer"
    assert ResponseSchema(VALID).model_class.__name__ == "BedrockResponse"


def test_draft_7_definitions_work() -> None:
    """Schemas of older template steps, which use `definitions`, would be refused."""
    schema = ResponseSchema(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"k": {"type": "string", "maxLength": 1}},
            "properties": {"a": {"$ref": "#/definitions/k"}},
        }
    )
    with pytest.raises(SchemaMismatch, match="maxLength"):
        schema.validate({"a": "xx"})
