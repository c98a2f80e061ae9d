"""From model outputs to answers, and from answers to columns."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from bedrock_batch.answers.columns import AnswerColumns
from bedrock_batch.answers.parser import AnswerParser
from bedrock_batch.answers.schema.response_schema import ResponseSchema
from bedrock_batch.errors import ConfigurationError
from bedrock_batch.models.model_output import BROKEN_STOP_REASONS, COMPLETE_STOP_REASONS
from bedrock_batch.records import Answer, ModelOutput, RecordError

SCHEMA = ResponseSchema(
    {"properties": {"a": {"type": "string"}, "n": {"type": "number", "maximum": 1}}, "required": ["a"]}
)
OPTIONAL = ResponseSchema({"properties": {"a": {"type": "string"}}})


def answer(text: str, stop_reason: Any = "end_turn", **more: Any) -> ModelOutput:
    body = {
        "content": [{"type": "text", "text": text}],
        "stop_reason": stop_reason,
        "usage": {"input_tokens": 7, "output_tokens": 5},
    }
    return ModelOutput(0, body, "model", "batch", **more)


def parse(text: str, stop_reason: Any = "end_turn", schema: ResponseSchema | None = SCHEMA, **more: Any) -> Answer:
    return AnswerParser(schema).parse(answer(text, stop_reason, **more))


@pytest.mark.parametrize(
    ("text", "repair"),
    [
        pytest.param('{"a": "x"}', "none", id="bare"),
        pytest.param(' {"a": "x"}\n', "none", id="white-space"),
        pytest.param('Here: {"a": "x"} Bye', "extracted", id="prose"),
        pytest.param('```json\n{"a": "x"}\n```', "extracted", id="fence"),
        pytest.param('<think>{"a": "draft"}</think>{"a": "x"}', "extracted", id="draft-in-thinking"),
        pytest.param('the set {a, b} gives {"a": "x"}', "extracted", id="braces-in-prose"),
        pytest.param('{"a": "x"} or {"a": "y"}', "extracted", id="first-of-two"),
        pytest.param('[{"a": "x"}]', "extracted", id="in-a-list"),
        pytest.param('{"a": “x”}', "json_repair", id="typographic-delimiters"),
        pytest.param('{"a": "x",}', "json_repair", id="trailing-comma"),
        pytest.param("{'a': 'x'}", "json_repair", id="single-quotes"),
    ],
)
def test_the_object_is_found_and_the_step_that_found_it_recorded(text: str, repair: str) -> None:
    """Rows would fail, or a user could not tell repaired answers from others."""
    outcome = parse(text)
    assert (outcome.fields, outcome.parse_status, outcome.repair) == ({"a": "x", "n": None}, "success", repair)
    assert outcome.answered
    assert outcome.validation_passed
    assert (outcome.validation_error, outcome.raw_response, outcome.error, outcome.error_kind) == (None,) * 4
    assert (outcome.input_tokens, outcome.output_tokens, outcome.stop_reason, outcome.model_id) == (
        7,
        5,
        "end_turn",
        "model",
    )


@pytest.mark.parametrize("tail", ["", " That is all."])
def test_german_quotations_are_repaired_with_and_without_text_behind(tail: str) -> None:
    """Rows with these quotations, which cause all parse errors seen in production, would fail."""
    outcome = parse('{"a": "er sagte „hallo" dazu"}' + tail)
    assert (outcome.fields["a"], outcome.repair) == ('er sagte "hallo" dazu', "quotes")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param('"a": "x"}', "x", id="continued"),
        pytest.param('{"a": "x"}', "x", id="brace-repeated"),
        pytest.param('```json\n{"a": "x"}\n```', "x", id="fence-in-spite"),
        pytest.param('Sure: {"a": "x"}', "x", id="prose-in-spite"),
        pytest.param('"a": "er „x" y"}', 'er "x" y', id="quotes"),
        pytest.param('"a": "x",}', "x", id="salvaged"),
    ],
)
def test_a_prefilled_brace_is_put_back(text: str, value: str) -> None:
    """Every answer to a request with prefill would fail, because it begins after the brace."""
    assert parse(text, prefilled=True).fields["a"] == value


@pytest.mark.parametrize("stop_reason", sorted(BROKEN_STOP_REASONS | {"MAX_TOKENS"}))
def test_an_answer_cut_off_or_withheld_is_never_parsed(stop_reason: str) -> None:
    """Repair would turn a truncated answer into a plausible object that the model never gave."""
    outcome = parse('{"a": "x"}', stop_reason)
    assert (outcome.parse_status, outcome.fields) == ("json_failed", {"a": None, "n": None})
    assert stop_reason.casefold() in (outcome.validation_error or "")
    assert outcome.error_kind == stop_reason.casefold()
    assert outcome.raw_response == '{"a": "x"}'
    assert outcome.answered


@pytest.mark.parametrize("stop_reason", [*sorted(COMPLETE_STOP_REASONS), "FINISH", "unheard_of", None, 5])
def test_a_well_formed_answer_counts_whatever_its_stop_reason_is_called(stop_reason: Any) -> None:
    """A new, harmless stop reason would fail every row."""
    assert parse('{"a": "x"}', stop_reason).parse_status == "success"


@pytest.mark.parametrize("stop_reason", ["unheard_of", None])
def test_an_open_object_is_not_completed_when_the_end_is_in_doubt(stop_reason: Any) -> None:
    """Repair would complete an answer that an unknown stop reason has cut off."""
    assert parse('{"a": "x"', stop_reason).parse_status == "json_failed"
    assert parse('{"a": "„x" y"}', stop_reason).repair == "quotes"


@pytest.mark.parametrize(
    ("text", "status", "kind"),
    [
        pytest.param('{"a": 5}', "validation_failed", "validation_failed", id="type"),
        pytest.param('{"a": "x", "n": 2}', "validation_failed", "validation_failed", id="rule"),
        pytest.param("{}", "validation_failed", "validation_failed", id="empty-object"),
        pytest.param('["x"]', "json_failed", "json_failed", id="list"),
        pytest.param('{"a": "x", "n": NaN}', "validation_failed", "validation_failed", id="nan"),
        pytest.param("I cannot say.", "json_failed", "json_failed", id="prose"),
        pytest.param("use {name} instead", "json_failed", "json_failed", id="braces-in-prose"),
        pytest.param("", "json_failed", "no_text", id="empty"),
        pytest.param(" \n", "json_failed", "no_text", id="blank"),
        pytest.param('{"a":' * 10_000, "json_failed", "json_failed", id="deep"),
    ],
)
def test_what_cannot_be_used_says_why_and_keeps_the_text(text: str, status: str, kind: str) -> None:
    """A user could not count or inspect failed answers."""
    outcome = parse(text)
    assert (outcome.parse_status, outcome.error_kind, outcome.raw_response) == (status, kind, text)
    assert outcome.fields == {"a": None, "n": None}
    assert outcome.validation_error
    assert outcome.repair is None
    assert (outcome.status, outcome.error, outcome.validation_passed) == ("success", None, False)


def test_well_formed_json_that_does_not_validate_is_not_repaired() -> None:
    """Repair would change an answer that the model meant literally."""
    text = '{"a": 5, "n": 0.5, "t": "„x“"}'
    outcome = parse(text)
    assert (outcome.parse_status, outcome.repair, outcome.raw_response) == ("validation_failed", None, text)


def test_a_salvaged_object_must_say_something() -> None:
    """Prose would become a valid empty answer if all fields of the schema are optional."""
    for text in ("{name}", "{'other': 1}", "use {'x': 'y'}"):
        assert parse(text, schema=OPTIONAL).parse_status == "json_failed"
    assert parse("{'a': 'x'}", schema=OPTIONAL).repair == "json_repair"


def test_a_tools_input_is_the_answer() -> None:
    """Every answer by a forced tool would fail, because its text is empty or prose."""
    content = [{"type": "text", "text": "ok"}, {"type": "tool_use", "input": {"a": "x\ud800", "n": "0.5"}}]
    outcome = AnswerParser(SCHEMA).parse(
        ModelOutput(0, {"content": content, "stop_reason": "tool_use"}, "m", "realtime")
    )
    assert (outcome.fields, outcome.repair) == ({"a": "x\ufffd", "n": 0.5}, "none")
    body = {"content": [{"type": "tool_use", "input": {"a": float("nan")}}], "stop_reason": "tool_use"}
    assert AnswerParser(SCHEMA).parse(ModelOutput(0, body, "m", "realtime")).parse_status == "json_failed"


@pytest.mark.parametrize(
    ("text", "status", "response"),
    [
        (' {"a": 1.10}\n', "json_only", '{"a": 1.10}'),
        ('{"a": "\\ud800"}', "json_only", '{"a": "\\ud800"}'),
        ('{"a": "\ud800"}', "json_only", '{"a": "\\ud800"}'),
        ('x {"a": 1} y', "json_only", '{"a": 1}'),
        ("{'a': 1}", "json_only", '{"a": 1}'),
        ("{}", "json_only", "{}"),
        ("[1]", "json_failed", None),
        ("x", "json_failed", None),
    ],
)
def test_without_a_schema_any_object_will_do(text: str, status: str, response: str | None) -> None:
    """A run without a schema would lose answers, add wrong columns, or end at a text that no file can store."""
    outcome = parse(text, schema=None)
    assert (outcome.parse_status, outcome.fields, outcome.validation_passed) == (status, {"response": response}, False)
    row = AnswerColumns(None, "llm_").to_batch([outcome]).to_pylist()[0]
    assert row["llm_response"] == response


def test_a_record_error_becomes_an_error_outcome() -> None:
    """The table would not say why a row has no answer."""
    error = RecordError(3, "throttled", "Too many\ud800", "realtime", True, 4, "model", salvaged_from="missing")
    outcome = AnswerParser(SCHEMA).parse(error)
    assert outcome == Answer(
        fields={"a": None, "n": None},
        parse_status="error",
        answered=False,
        error="Too many\\ud800",
        error_kind="throttled",
        model_id="model",
        attempts=4,
        source="realtime",
        salvaged_from="missing",
    )
    assert outcome.status == "error"


def test_the_fields_of_failed_rows_are_not_shared() -> None:
    """A caller that sets the fields of one failed row would set those of all."""
    parser = AnswerParser(SCHEMA)
    parser.parse(answer("x")).fields["a"] = "changed"
    assert parser.parse(answer("x")).fields["a"] is None


def test_the_columns_of_the_contract_in_their_order() -> None:
    """Downstream steps would not find these columns by name or position."""
    columns = AnswerColumns(SCHEMA, "llm_")
    assert columns.names == (
        "llm_a",
        "llm_n",
        "llm_parse_status",
        "llm_validation_passed",
        "llm_status",
        "llm_error",
        "llm_validation_error",
        "llm_raw_response",
    )
    metadata = ("model_id", "input_tokens", "output_tokens", "stop_reason", "attempts", "source")
    metadata += ("repair", "json_error")
    assert columns.public_names(metadata=False) == columns.names
    assert columns.public_names(metadata=True) == (*columns.names, *("llm_" + name for name in metadata))


def test_outcomes_become_typed_columns() -> None:
    """Values would be in the wrong column or have the wrong type."""
    columns = AnswerColumns(SCHEMA, "p_")
    outcomes = [
        parse('{"a": "x", "n": 1}'),
        parse("no"),
        AnswerParser(SCHEMA).parse(RecordError(2, "missing", "gone", "batch")),
    ]
    batch = columns.to_batch(outcomes)
    batch.validate(full=True)
    assert batch.schema == columns.arrow_schema
    rows = batch.to_pylist()
    assert [row["p_n"] for row in rows] == [1.0, None, None]
    assert [row["p_parse_status"] for row in rows] == ["success", "json_failed", "error"]
    assert [row["p_validation_passed"] for row in rows] == [True, False, False]
    assert [row["p_status"] for row in rows] == ["success", "success", "error"]
    assert [row["p_error"] for row in rows] == [None, None, "gone"]
    assert [row["p_raw_response"] for row in rows] == [None, "no", None]
    assert [row["_error_kind"] for row in rows] == [None, "json_failed", "missing"]
    assert [row["_repair"] for row in rows] == ["none", None, None]
    assert [row["_json_error"] for row in rows] == [None, rows[1]["p_validation_error"], None]
    assert [row["_input_tokens"] for row in rows] == [7, 7, None]


def test_the_public_table_holds_what_was_asked_for() -> None:
    """Metadata columns would appear in every output, or in none."""
    columns = AnswerColumns(SCHEMA, "p_")
    table = pa.Table.from_batches([columns.to_batch([parse('{"a": "x"}')])])
    assert tuple(columns.public(table, metadata=False).column_names) == columns.names
    public = columns.public(table, metadata=True)
    assert public["p_stop_reason"].to_pylist() == ["end_turn"]
    assert public.schema.field("p_attempts").type == pa.int64()


def test_no_rows_and_no_schema_have_columns_too() -> None:
    """The output of an empty file would have other columns than the outputs beside it."""
    columns = AnswerColumns(None, "")
    assert columns.names[:2] == ("response", "parse_status")
    assert columns.to_batch([]).schema == columns.arrow_schema


@pytest.mark.parametrize(
    ("field", "prefix", "metadata"),
    [("status", "llm_", False), ("raw_response", "", False), ("source", "_", False), ("model_id", "llm_", True)],
)
def test_a_field_named_like_a_column_of_ours_is_refused(field: str, prefix: str, metadata: bool) -> None:
    """One of the two columns would overwrite the other."""
    schema = ResponseSchema({"properties": {field: {"type": "string"}}})
    with pytest.raises(ConfigurationError, match="would exist twice"):
        AnswerColumns(schema, prefix).public_names(metadata)


def test_a_field_named_like_hidden_metadata_is_fine() -> None:
    """A schema with ordinary field names such as `source` or `model_id` would be refused."""
    schema = ResponseSchema({"properties": {"source": {"type": "string"}}})
    columns = AnswerColumns(schema, "llm_")
    row = columns.to_batch([parse(json.dumps({"source": "mail"}), schema=schema)]).to_pylist()[0]
    assert (row["llm_source"], row["_source"]) == ("mail", "batch")
