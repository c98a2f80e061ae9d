"""The names of the answers' columns under BEDROCK_OUTPUT_COLUMN_MAP."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from bedrock_batch.answers.columns import AcceptedAnswers, AnswerColumns
from bedrock_batch.answers.parser import AnswerParser
from bedrock_batch.answers.schema.response_schema import ResponseSchema
from bedrock_batch.environment.references import column_map_of
from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.errors import ConfigurationError, InputError
from bedrock_batch.records import ModelOutput

FIELDS = ("a", "b", "inner")
SCHEMA = ResponseSchema(
    {
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "number"},
            "inner": {"type": "object", "properties": {"c": {"type": "integer"}}},
        }
    }
)
ANSWER = {"a": "x", "b": 0.5, "inner": {"c": 3}}


def row_of(columns: AnswerColumns) -> dict[str, Any]:
    body = {"content": [{"type": "text", "text": json.dumps(ANSWER)}], "stop_reason": "end_turn"}
    outcome = AnswerParser(SCHEMA).parse(ModelOutput(0, body, "a.b", "realtime"))
    return columns.to_batch([outcome]).to_pylist()[0]


def test_renamed_columns_keep_their_place_and_type() -> None:
    """A step that reads columns by position would read another one."""
    plain, renamed = AnswerColumns(SCHEMA, "llm_"), AnswerColumns(SCHEMA, "llm_", {"b": "score", "inner": "Détails"})
    assert renamed.names[:3] == ("llm_a", "score", "Détails")
    assert renamed.names[3:] == plain.names[3:]
    assert renamed.arrow_schema.types == plain.arrow_schema.types
    row = row_of(renamed)
    assert (row["llm_a"], row["score"], row["Détails"]) == ("x", 0.5, {"c": 3})


def test_both_ways_to_make_columns_rename_them() -> None:
    """Rows that batch answered would stand under other names than rows that were asked in real time."""
    columns = AnswerColumns(SCHEMA, "llm_", {"a": "label"})
    accepted = AcceptedAnswers("a.b")
    accepted.extend([(0, json.dumps(ANSWER), "end_turn", 1, 2, Raw(b"{}"))], [ANSWER])
    assert columns.accepted_batch(accepted).to_pylist()[0]["label"] == "x"
    public = columns.public(pa.Table.from_batches([columns.accepted_batch(accepted)]), metadata=True)
    assert public.column_names[:4] == ["label", "llm_b", "llm_inner", "llm_parse_status"]


@pytest.mark.parametrize("column_map", [{"A": "x"}, {"llm_a": "x"}, {"inner.c": "x"}, {"status": "x"}, {"\ud83d": "x"}])
def test_a_field_that_does_not_exist_is_refused_with_those_that_do(column_map: dict[str, str]) -> None:
    """A misspelt field would keep its old name, and the next step would miss the column."""
    with pytest.raises(ConfigurationError, match="which the answers do not have: use a, b, inner") as caught:
        AnswerColumns(SCHEMA, "llm_", column_map)
    str(caught.value).encode("utf-8")


def test_without_a_schema_only_the_response_has_a_name() -> None:
    """A map for a run with a schema would be ignored without one."""
    assert AnswerColumns(None, "llm_", {"response": "answer"}).names[:2] == ("answer", "llm_parse_status")
    with pytest.raises(ConfigurationError, match="names 'a', which the answers do not have: use response"):
        AnswerColumns(None, "llm_", {"a": "x"})


@pytest.mark.parametrize("name", ["llm_b", "llm_status", "llm_raw_response", "_model_id"])
def test_a_name_that_another_column_has_is_refused(name: str) -> None:
    """One of the two columns would overwrite the other."""
    with pytest.raises(ConfigurationError, match=rf"output column {name} would exist twice.*BEDROCK_OUTPUT_COLUMN_MAP"):
        AnswerColumns(SCHEMA, "llm_", {"a": name})


def test_a_name_of_the_metadata_is_free_until_they_are_shown() -> None:
    """A run would fail for a column that it does not write, or write two columns of one name."""
    columns = AnswerColumns(SCHEMA, "llm_", {"a": "llm_source"})
    assert "llm_source" in columns.public_names(metadata=False)
    with pytest.raises(ConfigurationError, match="output column llm_source would exist twice"):
        columns.public_names(metadata=True)


def test_a_name_of_the_input_is_refused() -> None:
    """A column of the user would be overwritten."""
    columns = AnswerColumns(SCHEMA, "llm_", {"a": "text"})
    with pytest.raises(InputError, match=r"a\.csv: column text is also the name of an output column"):
        columns.check_names(["id", "text"], "a.csv", metadata=False)
    columns.check_names(["id", "llm_a"], "a.csv", metadata=False)


def test_a_field_with_the_name_of_a_column_of_ours_can_be_renamed() -> None:
    """A user whose schema has a field `status` could not use it without changing the prompt."""
    schema = ResponseSchema({"properties": {"status": {"type": "string"}}})
    assert AnswerColumns(schema, "llm_", {"status": "case_status"}).names[0] == "case_status"


@given(
    st.dictionaries(
        st.sampled_from(FIELDS),
        st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8),
        max_size=3,
    )
)
def test_every_value_stays_under_the_name_of_its_field(column_map: dict[str, str]) -> None:
    """A value would stand under the name of another field."""
    try:
        settings = settings_from_mapping({"primary_model_id": "a.b", "output_column_map": column_map})
        columns = AnswerColumns(SCHEMA, "llm_", column_map_of(settings))
    except ConfigurationError:
        names = [column_map.get(field, f"llm_{field}") for field in FIELDS]
        assert len(set(names)) < 3 or set(names) & set(AnswerColumns(SCHEMA, "llm_").arrow_schema.names[3:])
        return
    row = row_of(columns)
    assert {field: row[column_map.get(field, f"llm_{field}")] for field in FIELDS} == ANSWER
