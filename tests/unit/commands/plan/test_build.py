"""The plan: its conditions of batch, its problems, and its text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.batch.mode import decide_mode
from bedrock_batch.commands.plan.build import describe_conditions
from bedrock_batch.commands.plan.lint import _schema_problems
from bedrock_batch.commands.plan.text import render_plan
from bedrock_batch.environment.settings import settings_from_mapping

MODEL = {"primary_model_id": "a.model"}
BATCH = {
    "batch_role_arn": "arn:aws:iam::123456789012:role/r",
    "batch_input_s3_path": "s3://bucket/in",
    "batch_output_s3_path": "s3://bucket/out",
}


@given(
    mode=st.sampled_from(["auto", "batch", "realtime"]),
    given_settings=st.sets(st.sampled_from(sorted(BATCH))),
    count=st.integers(0, 3000),
    threshold=st.integers(1, 3000),
)
def test_the_conditions_are_those_of_the_decision(
    mode: str, given_settings: set[str], count: int, threshold: int
) -> None:
    """The plan would say batch and the run would ask in real time, at twice the cost."""
    settings = settings_from_mapping(
        {**MODEL, "batch_mode": mode, "batch_threshold": threshold, **{name: BATCH[name] for name in given_settings}}
    )
    conditions = describe_conditions(settings, count)
    assert all(each["met"] for each in conditions) == decide_mode(settings, count).use_batch
    assert all(each["met"] or each["to_meet_it"] for each in conditions)


def test_a_condition_that_is_not_met_names_what_to_set() -> None:
    """A user would know that the run is in real time, but not how to change that."""
    conditions = describe_conditions(settings_from_mapping({**MODEL, **BATCH}), 200)
    assert [each["to_meet_it"] for each in conditions if not each["met"]] == [
        "BEDROCK_BATCH_THRESHOLD=200 or less, or BEDROCK_BATCH_MODE=batch"
    ]


DESCRIBED = {"type": "string", "description": "what it is"}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        pytest.param({"type": "string"}, "schema field 'a' has no description", id="no-description"),
        pytest.param({**DESCRIBED, "enum": ["New York", "new-york"]}, "which a model will confuse", id="near-twins"),
        pytest.param({**DESCRIBED, "enum": [str(n) for n in range(60)]}, "60 enum values", id="wide-enum"),
        pytest.param({**DESCRIBED, "enum": ["only"]}, "a single enum value", id="single-value"),
        pytest.param(
            {"type": "object", "description": "d", "properties": {"b": {"type": "string"}}}, "'a.b' has no", id="nested"
        ),
        pytest.param(
            {"type": "array", "description": "d", "items": {"properties": {"b": {}}}}, "'a[].b' has no", id="in-array"
        ),
    ],
)
def test_a_doubtful_field_is_named(part: dict[str, Any], expected: str) -> None:
    """A user would notice a vague schema only in the answers, after paying for them."""
    (problem,) = _schema_problems({"properties": {"a": part}})
    assert expected in problem


def test_a_good_schema_is_left_alone() -> None:
    """A user would stop reading warnings because most mean nothing."""
    assert list(_schema_problems({"properties": {"a": {**DESCRIBED, "enum": ["yes", "no"]}, "b": DESCRIBED}})) == []


PLAN: dict[str, Any] = {
    "job_type": "training",
    "model": {
        "model_id": "a.model",
        "region": "us-east-1",
        "api": "converse",
        "structured_output": "prompt",
        "max_tokens": 512,
    },
    "rows": 5,
    "splits": [{"split": "train", "rows": 5, "files": [{"file": "a.csv", "rows": 5, "bytes": 100}]}],
    "mode": {"mode": "realtime", "conditions": [{"met": False, "condition": "5 reach 100", "to_meet_it": "more rows"}]},
    "jobs": [],
    "prompts": [
        {
            "why": "first",
            "split": "train",
            "file": "a.csv",
            "row": 1,
            "characters": 12,
            "missing_fields": ["text"],
            "truncated_fields": [],
        }
    ],
    "estimate": {
        "input_tokens": {"low": 1, "likely": 2, "high": 3},
        "output_tokens": {"low": 4, "likely": 5, "high": 6},
        "method": "a guess",
    },
    "cost": {"price": None, "batch_usd": None, "realtime_usd": None},
    "deadline": None,
    "prompt_caching": {"saved_usd": None},
    "time": {"realtime_seconds": {"low": 1, "likely": 600, "high": 9000}, "batch_seconds": None, "note": "no promise"},
    "problems": ["look at this"],
}


def test_the_text_shows_every_finding() -> None:
    """A person would see less of the plan than a program."""
    text = render_plan(PLAN)
    for part in ("5 rows", "Set: more rows", "missing or empty: text", "10 min", "2.5 h", "look at this", "a guess"):
        assert part in text
    assert "$" not in text


def test_the_text_has_no_row_unless_asked() -> None:
    """The text of rows would end up in the history of a terminal or in a log."""
    assert "--show-rows prints them" in render_plan(PLAN)
    shown = {**PLAN, "prompts": [{**PLAN["prompts"][0], "prompt": "the text\nof a row"}]}
    assert "    | the text\n    | of a row" in render_plan(shown)
