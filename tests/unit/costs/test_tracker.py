"""The cost tracker counts every paid token once and keeps the limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bedrock_batch.costs.prices import PriceBook
from bedrock_batch.costs.tracker import CostTracker
from bedrock_batch.records import Answer
from bedrock_batch.text import format_usd

BOOK = PriceBook({"a.model": {"input": 10.0, "output": 20.0}})
ANSWER = Answer({}, "success", True, model_id="a.model", input_tokens=1000, output_tokens=500, source="batch")


def spent(*outcomes: Answer, limit: float | None = None) -> CostTracker:
    spending = CostTracker(BOOK, limit)
    for outcome in outcomes:
        spending.add(outcome)
    return spending


def test_batch_and_real_time_are_told_apart() -> None:
    """A user could not see how much batch has saved."""
    cost = spent(ANSWER, replace(ANSWER, source="realtime")).as_dict()
    assert (cost["batch_usd"], cost["on_demand_usd"], cost["total_usd"]) == pytest.approx((0.01, 0.02, 0.03))
    assert (cost["all_on_demand_usd"], cost["saved_by_batch_usd"]) == pytest.approx((0.04, 0.01))
    assert [row["records"] for row in cost["usage"]] == [1, 1]


def test_a_model_without_a_price_is_named() -> None:
    """The cost would silently omit the tokens of the model."""
    cost = spent(replace(ANSWER, model_id="other.model")).as_dict()
    assert cost["unpriced_models"] == ["other.model"]
    assert cost["usage"][0]["usd"] is None
    assert cost["usage"][0]["input_tokens"] == 1000


def test_records_without_an_answer_cost_nothing() -> None:
    """The summary would show a cost for failed records."""
    failed = replace(ANSWER, answered=False, input_tokens=None, output_tokens=None)
    assert spent(failed).as_dict()["usage"] == []


def test_many_answers_cost_what_each_costs() -> None:
    """The cost of a run would depend on the order and grouping of its answers."""
    model = "anthropic.claude-sonnet-4-5-20250929-v1:0"
    price = PriceBook({}).find(model)
    assert price is not None
    assert price.long_above is not None
    read, written = [10, price.long_above, price.long_above + 1], [5, 6, 7]
    together, each = CostTracker(PriceBook({})), CostTracker(PriceBook({}))
    together.add_answers("batch", model, read, written)
    for tokens in zip(read, written, strict=True):
        each.add(replace(ANSWER, model_id=model, input_tokens=tokens[0], output_tokens=tokens[1]))
    assert together.as_dict() == each.as_dict()
    assert together.usd == pytest.approx(
        sum(price.cost("batch", *tokens, request=True) for tokens in zip(read, written, strict=True))
    )
    assert together.usd > 0


def test_the_limit_stops_once_it_is_reached() -> None:
    """A run would exceed its limit, or stop below it."""
    spending = spent(ANSWER, limit=0.02)
    assert spending.refusal() is None
    spending.add(ANSWER)
    assert spending.stopped is None
    assert spending.refusal() == spending.stopped == "the run has cost $0.02 of BEDROCK_MAX_COST_USD=0.02"


def test_a_job_is_reserved_by_what_records_cost_so_far() -> None:
    """The run would submit all jobs, far above the limit, before the first cost is known."""
    spending = spent(limit=1.0)
    spending.expect(100, {"batch": 0.5, "realtime": 1.0})
    assert spending.reserve(100)
    assert not spending.reserve(101)
    assert spending.stopped is not None


def test_what_was_reserved_is_given_back() -> None:
    """A run would count finished jobs twice and stop at half its limit."""
    spending = spent(limit=0.031)
    spending.expect(1, {"batch": 0.01})
    assert spending.reserve(2)
    spending.add(ANSWER, reserved=1)
    spending.release(1)
    spending.add(ANSWER)
    assert spending.reserve(1)
    assert not spending.reserve(1)


def test_a_job_that_exists_is_always_reserved() -> None:
    """The sum would omit a job that is already paid for."""
    assert spent(ANSWER, limit=0.001).reserve(10, force=True)


def test_a_run_without_a_limit_never_stops() -> None:
    """A long run without a limit would end early."""
    spending = spent(*[ANSWER] * 100)
    assert spending.reserve(10**9)
    assert spending.refusal() is None


@pytest.mark.parametrize(
    ("amount", "text"), [(0.0, "$0.00"), (0.004, "$0.004"), (0.0000123, "$0.000012"), (1234.5, "$1,234.50")]
)
def test_small_amounts_stay_visible(amount: float, text: str) -> None:
    """The cost of a small run would be shown as zero."""
    assert format_usd(amount) == text
