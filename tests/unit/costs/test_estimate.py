"""The estimate of a run from its prompts and schema."""

from __future__ import annotations

from typing import Any

import pytest

from bedrock_batch.costs.estimate import Interval, PromptSize, answer_tokens, estimate_run
from bedrock_batch.costs.prices import PriceBook
from bedrock_batch.models.model_input import ModelInput

INPUT = ModelInput("a.model", "invoke_model", "prompt", "{" + "h" * 119, "t" * 40, (), 512)


def measured(*prompts: str) -> PromptSize:
    meter = PromptSize()
    for prompt in prompts:
        meter.add(prompt)
    return meter


def test_tokens_follow_the_length_of_the_prompts() -> None:
    """The estimate would not depend on the prompts."""
    assert measured("x" * 400).tokens(INPUT) == pytest.approx(100 + 8 + 10)


def test_other_scripts_take_more_tokens() -> None:
    """The estimate of a run over Chinese or Hindi text would be a third of its cost."""
    assert measured("漢" * 100).tokens(INPUT) == pytest.approx(25 + 100 + 18)


@pytest.mark.parametrize(
    ("schema", "low", "high"),
    [
        pytest.param({"type": "boolean"}, 1, 1, id="boolean"),
        pytest.param({"enum": ["yes", "no"]}, 0.5, 2, id="enum"),
        pytest.param({"type": "string", "maxLength": 40}, 2, 10, id="limited-text"),
        pytest.param({"type": "array", "items": {"type": "boolean"}, "minItems": 5, "maxItems": 5}, 12, 12, id="array"),
        pytest.param({"type": ["string", "null"]}, 1, 150, id="nullable"),
        pytest.param({"type": "object", "properties": {"a": {"type": "boolean"}}}, 1, 12, id="optional-field"),
        pytest.param(None, 20, 1000, id="no-schema"),
        pytest.param({"type": "object", "properties": {"a": {"$ref": "#"}}}, 1, 200, id="reference"),
    ],
)
def test_the_schema_bounds_the_answer(schema: dict[str, Any] | None, low: float, high: float) -> None:
    """The estimate of two short fields would be that of an essay."""
    tokens = answer_tokens(schema, 10_000)
    assert low <= tokens.low <= tokens.likely <= tokens.high <= high


def test_an_answer_is_never_longer_than_max_tokens() -> None:
    """The estimate would be higher than the maximum."""
    assert answer_tokens(None, 100) == Interval(20, 100, 100)


def test_a_deep_schema_ends() -> None:
    """A recursive schema would make the plan hang."""
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    schema["properties"]["child"] = schema
    assert answer_tokens(schema, 10**9).high < 10**6


def test_the_cost_is_an_interval() -> None:
    """A user would take an estimate for an exact price."""
    estimate = estimate_run(measured("x" * 4000), INPUT, {"type": "boolean"}, 512)
    price = PriceBook({"a.model": {"input": 1000, "output": 1000}}).find("a.model")
    assert price is not None
    cost = estimate.cost(price, "realtime")
    assert cost.low < cost.likely < cost.high
    assert estimate.cost(price, "batch").likely == pytest.approx(cost.likely / 2)
