"""Laws of the answer parser: whatever a model writes, a row gets a value that is correct and can be stored."""

from __future__ import annotations

import io
import json
from typing import Any

import jsonschema
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bedrock_batch.answers.columns import AnswerColumns
from bedrock_batch.answers.parser import AnswerParser
from bedrock_batch.answers.schema.document import allow_null_for_optional
from bedrock_batch.answers.schema.response_schema import ResponseSchema, SchemaMismatch
from bedrock_batch.models.model_output import BROKEN_STOP_REASONS
from bedrock_batch.records import ModelOutput, RecordError

TEXTS = st.text(max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
INTEGERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)


@st.composite
def parts(draw: st.DrawFn, depth: int = 2) -> tuple[dict[str, Any], st.SearchStrategy[Any]]:
    """Return a subschema and a strategy for values that it accepts."""
    scalars = ["string", "number", "integer", "boolean", "enum", "mixed", "const", "nullable", "union", "free"]
    match draw(st.sampled_from(scalars + (["array", "object"] * 2 if depth else []))):
        case "string":
            return {"type": "string", "maxLength": 8}, TEXTS
        case "number":
            return {"type": "number", "minimum": 0}, NUMBERS.map(abs)
        case "integer":
            return {"type": "integer"}, INTEGERS
        case "boolean":
            return {"type": "boolean"}, st.booleans()
        case "enum":
            values = draw(st.lists(TEXTS, min_size=1, max_size=3, unique=True))
            return {"enum": values}, st.sampled_from(values)
        case "mixed":
            values = draw(st.lists(TEXTS | INTEGERS | st.none(), min_size=1, max_size=3))
            return {"enum": values}, st.sampled_from(values)
        case "const":
            value = draw(TEXTS | INTEGERS)
            return {"const": value}, st.just(value)
        case "nullable":
            return {"type": ["integer", "null"]}, st.none() | INTEGERS
        case "union":
            return {"anyOf": [{"type": "string"}, {"type": "boolean"}]}, TEXTS | st.booleans()
        case "free":
            return {}, st.none() | TEXTS | st.lists(INTEGERS | TEXTS, max_size=2)
        case "array":
            items, values = draw(parts(depth - 1))
            return {"type": "array", "items": items, "maxItems": 3}, st.lists(values, max_size=3)
        case _:
            return draw(objects(depth - 1))


@st.composite
def objects(draw: st.DrawFn, depth: int) -> tuple[dict[str, Any], st.SearchStrategy[Any]]:
    properties = draw(st.dictionaries(st.text(min_size=1, max_size=4), parts(depth), min_size=1, max_size=3))
    required = draw(st.sets(st.sampled_from(sorted(properties))))
    schema: dict[str, Any] = {"type": "object", "properties": {name: part for name, (part, _) in properties.items()}}
    schema["required"] = sorted(required)
    if draw(st.booleans()):
        schema["additionalProperties"] = False
    values = {name: strategy for name, (_, strategy) in properties.items()}
    return schema, st.fixed_dictionaries(
        {name: values[name] for name in required},
        optional={name: values[name] for name in values if name not in required},
    )


@st.composite
def schemas_with_answers(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    schema, values = draw(objects(depth=2))
    return schema, draw(values)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)
HOSTILE_TEXTS = st.one_of(
    st.text(alphabet='{}[]"\\:,ab1e9-.NaN „“‘`\n\ud800\x00', max_size=60),
    JUNK.map(json.dumps),
    st.sampled_from(["{", "[", '{"a":', '{"a":[']).flatmap(lambda unit: st.sampled_from([unit * 300, unit * 20_000])),
    st.sampled_from(['{"a": ' + "9" * 5000 + "}", '{"a": 1e999}', '{"a": -Infinity}', '{"a": 1, "a": "\\ud800"}']),
    st.sampled_from(['{"a": {"b": [9223372036854775808]}}', '{"a": "\\u0000"}', '{"\\ud800": 1}', "\ud800"]),
)
FIXED = ResponseSchema(
    {
        "properties": {
            "a": {},
            "b": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "integer"}}}},
            "c": {"type": "number"},
            "d": {"anyOf": [{"type": "string"}, {"type": "number"}]},
            "e": {
                "type": "object",
                "properties": {"x": {"type": "string"}},
                "additionalProperties": {"type": "number"},
            },
        }
    }
)


@st.composite
def schemas_with_texts(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """Return a schema and an answer with some values that are invalid, almost valid or repeated."""
    schema, answer = draw(schemas_with_answers())
    near = st.sampled_from(["1", "1.0", 1.0, 1, True, "true", "yes", None, {}, [], [None], {"x": 1}])
    names = st.sampled_from([*schema["properties"], "more"])
    wrong = draw(st.dictionaries(names, near | JUNK, max_size=2))
    text = json.dumps({**answer, **wrong})
    again = json.dumps(draw(st.dictionaries(names, near, max_size=1)))
    return schema, f"{text[:-1]}, {again[1:]}" if len(text) > 2 and len(again) > 2 and draw(st.booleans()) else text


STOP_REASONS = st.sampled_from(["end_turn", "stop", "tool_use", None, "other"])


def parse(
    schema: ResponseSchema | None, text: str, stop_reason: str | None = "end_turn", prefilled: bool = False
) -> Any:
    body = {"content": [{"type": "text", "text": text}], "stop_reason": stop_reason}
    return AnswerParser(schema).parse(ModelOutput(0, body, "m", "batch", prefilled=prefilled))


def stored(schema: ResponseSchema | None, outcomes: list[Any]) -> list[dict[str, Any]]:
    """Write answers to an Arrow file and read them back."""
    columns = AnswerColumns(schema, "p_")
    batch = columns.to_batch(outcomes)
    batch.validate(full=True)
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    rows: list[dict[str, Any]] = pa.ipc.open_file(pa.BufferReader(sink.getvalue())).read_all().to_pylist()
    return rows


def without_nulls(value: Any) -> Any:
    """Return the value without nulls, which a struct column cannot distinguish from missing values."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@given(schemas_with_answers())
def test_an_answer_that_the_schema_accepts_is_taken_unchanged(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """A valid answer would be refused, or changed on its way to the table."""
    schema, value = case
    assume(jsonschema.Draft202012Validator(schema).is_valid(value))
    judge = ResponseSchema(schema)
    outcome = parse(judge, json.dumps(value))
    assert (outcome.parse_status, outcome.repair) == ("success", "none")
    assert outcome.fields == {name: value.get(name) for name in schema["properties"]}
    assert judge.validate(value) == outcome.fields


@given(schemas_with_answers())
def test_what_is_stored_is_what_was_answered(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """The output file would hold other values than the answer."""
    schema, value = case
    judge = ResponseSchema(schema)
    outcome = parse(judge, json.dumps(value))
    (row,) = stored(judge, [outcome])
    for name, field in outcome.fields.items():
        text = pa.types.is_string(judge.arrow_types[name]) and not isinstance(field, str)
        found = row[f"p_{name}"]
        if found is not None and (text or found != field) and isinstance(found, str):
            found = json.loads(found)
        assert without_nulls(found) == without_nulls(field)


@given(schemas_with_answers(), JUNK)
def test_an_accepted_answer_satisfies_the_schema(case: tuple[dict[str, Any], dict[str, Any]], junk: Any) -> None:
    """A value that violates the schema would reach the table as a success."""
    schema, value = case
    name = sorted(schema["properties"])[0]
    judge = ResponseSchema(schema)
    try:
        fields = judge.validate_text(json.dumps({**value, name: junk}))
    except SchemaMismatch:
        return
    given_names = value.keys() | {name}
    accepted = {key: item for key, item in fields.items() if key in given_names}
    assert jsonschema.Draft202012Validator(allow_null_for_optional(schema)).is_valid(accepted)


@given(HOSTILE_TEXTS, STOP_REASONS, st.booleans(), st.sampled_from([FIXED, None]))
def test_no_answer_raises_and_every_outcome_can_be_stored(
    text: str, stop_reason: str | None, prefilled: bool, schema: ResponseSchema | None
) -> None:
    """One hostile answer would end a run that has already paid for all rows."""
    outcome = parse(schema, text, stop_reason, prefilled)
    (row,) = stored(schema, [outcome])
    assert row["p_status"] == "success"
    assert row["p_validation_passed"] == (outcome.parse_status == "success")
    assert (row["p_raw_response"] is None) == (outcome.parse_status in ("success", "json_only"))


@given(st.dictionaries(st.text(max_size=8), JUNK, max_size=4) | st.fixed_dictionaries({"content": st.lists(JUNK)}))
def test_no_body_raises(body: dict[str, Any]) -> None:
    """A response body of an unexpected form would end the run."""
    stored(FIXED, [AnswerParser(FIXED).parse(ModelOutput(0, body, "m", "batch"))])


@given(schemas_with_answers(), st.sampled_from(sorted(BROKEN_STOP_REASONS)), st.booleans())
def test_an_answer_cut_off_or_withheld_has_no_fields(
    case: tuple[dict[str, Any], dict[str, Any]], stop_reason: str, prefilled: bool
) -> None:
    """A truncated answer would be in the table as if the model had finished it."""
    schema, value = case
    outcome = parse(ResponseSchema(schema), json.dumps(value), stop_reason, prefilled)
    assert outcome.parse_status == "json_failed"
    assert set(outcome.fields.values()) == {None}


@given(schemas_with_answers(), st.data())
def test_a_piece_of_an_object_is_not_completed_when_the_end_is_in_doubt(
    case: tuple[dict[str, Any], dict[str, Any]], data: st.DataObject
) -> None:
    """Repair would complete an answer that may have been cut off."""
    schema, value = case
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(min_value=1, max_value=len(text) - 1))]
    assert parse(ResponseSchema(schema), cut, None).parse_status != "success" or cut.count("{") > 1


@given(JUNK.map(lambda junk: {"a": junk}), st.booleans())
def test_well_formed_json_is_never_repaired(value: dict[str, Any], prefilled: bool) -> None:
    """Repair would change what the model meant."""
    text = json.dumps(value)
    outcome = parse(FIXED, text, "end_turn", prefilled)
    try:
        strict = FIXED.validate_text(text)
    except SchemaMismatch as error:
        assume("JSON" not in str(error) and "unicode" not in str(error))
        assert (outcome.parse_status, outcome.repair) == ("validation_failed", None)
    else:
        assert (outcome.fields, outcome.repair) == (strict, "none")


@given(st.text(max_size=20), st.text(max_size=20), st.integers(min_value=1, max_value=9))
def test_an_error_is_stored_with_its_kind(message: str, kind: str, attempts: int) -> None:
    """The reason for a failed row would be lost, or end the run."""
    outcome = AnswerParser(FIXED).parse(RecordError(0, kind, message + "\ud800", "batch", attempts=attempts))
    (row,) = stored(FIXED, [outcome])
    assert (row["p_error"], row["_error_kind"], row["_attempts"]) == (message + "\\ud800", kind, attempts)
    assert row["p_parse_status"] == "error"


def dumped_by_model(schema: ResponseSchema, text: str) -> dict[str, Any] | None:
    try:
        return schema.model_class.model_validate_json(text).model_dump(by_alias=True, exclude_unset=True)
    except (ValueError, RecursionError):
        return None


@given(schemas_with_texts())
def test_an_answer_is_accepted_as_its_model_reads_it(case: tuple[dict[str, Any], str]) -> None:
    """The fast path to the fields would accept an answer that the model class refuses, or change a value."""
    schema, text = ResponseSchema(case[0]), case[1]
    (accepted,) = schema.accept_texts([text])
    if accepted is None:
        with pytest.raises(SchemaMismatch):
            schema.validate_text(text)
    else:
        assert repr(accepted) == repr(dumped_by_model(schema, text))
        assert schema.validate_text(text) == {name: accepted.get(name) for name in schema.fields}
