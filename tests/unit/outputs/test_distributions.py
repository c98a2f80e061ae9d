"""Distributions of answers do not depend on the batches, and drift between splits is marked."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.histogram import Histogram
from bedrock_batch.outputs.countable_fields import field_specs
from bedrock_batch.outputs.distributions import Distributions, FieldFigures, describe_fields, describe_numbers

SCHEMA: dict[str, Any] = {
    "properties": {
        "label": {"type": "string", "enum": ["a", "b"]},
        "sure": {"type": ["boolean", "null"]},
        "score": {"type": "number"},
        "text": {"type": "string"},
        "tags": {"type": "array", "items": {"enum": ["x", "y"]}},
        "parts": {"type": "array", "items": {"type": "string"}},
        "inner": {"type": "object", "properties": {"grade": {"type": "integer"}}},
        "any": {"anyOf": [{"type": "string"}, {"type": "number"}]},
    }
}


def answers(rows: list[dict[str, Any]]) -> pa.Table:
    """Return the output columns of rows whose answers are all valid."""
    columns = {f"llm_{name}": [row.get(name) for row in rows] for name in SCHEMA["properties"] if name != "any"}
    types = {
        "llm_label": pa.string(),
        "llm_sure": pa.bool_(),
        "llm_score": pa.float64(),
        "llm_text": pa.string(),
        "llm_tags": pa.list_(pa.string()),
        "llm_parts": pa.list_(pa.string()),
        "llm_inner": pa.struct([("grade", pa.int64())]),
    }
    table = {name: pa.array(values, types[name]) for name, values in columns.items()}
    table["llm_validation_passed"] = pa.array([True] * len(rows))
    table["_input_tokens"] = pa.array([10] * len(rows), pa.int64())
    table["_output_tokens"] = pa.array([None] * len(rows), pa.int64())
    return pa.table(table)


def described(**splits: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    counted = {}
    for name, rows in splits.items():
        counted[name] = Distributions(field_specs(SCHEMA))
        for start in range(0, len(rows), 7):
            counted[name].add(answers(rows[start : start + 7]), "llm_")
    return {each["field"]: each for each in describe_fields(counted)}


ROW = {
    "label": "a",
    "sure": True,
    "score": 0.5,
    "text": "four",
    "tags": ["x", "y"],
    "parts": ["one"],
    "inner": {"grade": 3},
}


def test_every_kind_of_field_is_counted() -> None:
    """A field of the schema would be missing from the report."""
    fields = described(train=[ROW] * 10)
    assert fields["label"]["splits"]["train"]["counts"] == [10, 0]
    assert fields["sure"]["splits"]["train"]["counts"] == [10, 0]
    assert fields["tags"]["splits"]["train"]["counts"] == [10, 10]
    assert fields["score"]["splits"]["train"]["mean"] == 0.5
    assert fields["text"]["splits"]["train"]["median"] == 4
    assert fields["parts"]["splits"]["train"]["median"] == 1
    assert fields["inner.grade"]["splits"]["train"]["median"] == 3
    assert "any" not in fields


def test_a_renamed_column_is_counted_under_its_name() -> None:
    """The report would leave out a renamed field, or call it otherwise than the output file does."""
    renamed = {"label": "kind", "inner": "details"}
    table = answers([ROW, ROW]).rename_columns(
        [renamed.get(name.removeprefix("llm_"), name) for name in answers([]).column_names]
    )
    counted = Distributions(field_specs(SCHEMA, renamed))
    counted.add(table, "llm_")
    fields = {each["field"]: each["splits"]["train"] for each in describe_fields({"train": counted})}
    assert fields["kind"]["counts"] == [2, 0]
    assert fields["details.grade"]["median"] == 3
    assert fields["score"]["count"] == 2
    assert not {"label", "inner.grade"} & fields.keys()


def test_free_text_is_never_kept() -> None:
    """The summary would contain what a model wrote about a row."""
    assert "four" not in str(described(train=[ROW] * 10))


def test_rows_without_a_valid_answer_are_left_out() -> None:
    """A failed row would count as a null of its field."""
    table = answers([ROW, ROW])
    table = table.set_column(
        table.column_names.index("llm_validation_passed"), "llm_validation_passed", pa.array([True, False])
    )
    counted = Distributions(field_specs(SCHEMA))
    counted.add(table, "llm_")
    assert {each.count for each in counted.fields.values()} == {1}
    assert counted.input_tokens.count == 2


@pytest.mark.parametrize(
    ("other", "drift"),
    [({"label": "b"}, {"label"}), ({"score": 0.9}, {"score"}), ({"text": "longer text"}, {"text"}), ({}, set())],
    ids=["labels", "numbers", "lengths", "same"],
)
def test_a_split_that_differs_is_marked(other: dict[str, Any], drift: set[str]) -> None:
    """A user would train on labels that the test split lacks, or chase differences that are due to chance."""
    fields = described(train=[ROW] * 200, test=[{**ROW, **other}] * 200)
    assert {name for name, each in fields.items() if each["drift"]["test"]["drift"]} == drift


@given(st.integers(0, 10_000))
def test_two_samples_of_one_population_are_rarely_marked(seed: int) -> None:
    """Every report would mark drift between splits that do not differ."""
    random = np.random.default_rng(seed)
    splits = {
        name: [{**ROW, "label": str(random.choice(["a", "b"])), "score": float(random.random())} for _ in range(40)]
        for name in ("train", "test")
    }
    found = described(**splits)
    marks = [found[name]["drift"]["test"] for name in ("label", "score")]
    # One mark in a hundred is expected by chance, but none for a small distance.
    assert all(mark["distance"] > 0.3 for mark in marks if mark["drift"])


@given(st.lists(st.floats(0, 1e6), max_size=50), st.integers(0, 50))
def test_a_histogram_counts_every_value_once(values: list[float], cut: int) -> None:
    """A chart would miss a record or count it twice, depending on the batches."""
    one, two = Histogram(), Histogram()
    one.add_all(np.asarray(values))
    other = Histogram()
    two.add_all(np.asarray(values[:cut]))
    other.add_all(np.asarray(values[cut:]))
    two.merge(other)
    assert one.as_dict()["count"] == sum(bucket["count"] for bucket in one.as_dict()["buckets"]) == len(values)
    assert one.as_dict()["buckets"] == two.as_dict()["buckets"]


def test_a_long_column_is_sampled_evenly() -> None:
    """The median of a long run would be the median of its first rows."""
    rows = [{**ROW, "score": float(number)} for number in range(20_000)]
    counted = Distributions(field_specs({"properties": {"score": {"type": "number"}}}))
    for start in range(0, len(rows), 8192):
        counted.add(answers(rows[start : start + 8192]), "llm_")
    (field,) = describe_fields({"train": counted})
    figures = field["splits"]["train"]
    assert figures["mean"] == 9999.5
    assert figures["median"] == pytest.approx(10_000, rel=0.1)


@pytest.mark.parametrize(
    "values",
    [
        [0.3, 0.30000000000000004],
        [1e16, 1e16 + 2],
        [1_700_000_000_000_000.125, 1_700_000_000_000_000.25],
        [-1.7e308, 1.7e308],
        [1.7e308, 1.7e308],
        [5e-324, 0.0],
        [0.0],
    ],
    ids=str,
)
def test_numbers_that_lie_close_or_far_apart_have_bins(values: list[float]) -> None:
    """A column of ids with 16 digits would leave a run without its summary and report."""
    figures = FieldFigures()
    figures.add_numbers(pa.chunked_array([pa.array(values, pa.float64())]), np.random.default_rng(1))
    figures.count = len(values)
    described = describe_numbers({"train": figures})
    assert sum(described["splits"]["train"]["counts"]) == len(values)
    assert described["edges"] == sorted(described["edges"])
    json.dumps(described, allow_nan=False)
