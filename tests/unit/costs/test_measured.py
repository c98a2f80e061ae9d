"""The estimate from answers of some records: its interval holds, and is never below what is known."""

from __future__ import annotations

import random

import pytest

from bedrock_batch.costs.measured import MeasuredRecord, estimate_from, student


def test_the_interval_holds_for_most_samples_of_a_run() -> None:
    """A user would trust a range that the cost leaves more often than one time in ten."""
    draw = random.Random(5)
    guesses = [draw.uniform(50, 500) for _ in range(2000)]
    run = [MeasuredRecord(each, round(each * draw.uniform(0.9, 1.4)), round(draw.gauss(80, 25))) for each in guesses]
    held = 0
    for _ in range(400):
        part = [draw.choice(run[start : start + 100]) for start in range(0, 2000, 100)]
        estimate = estimate_from(part, len(run), sum(guesses))
        assert estimate is not None
        totals = (sum(each.input_tokens for each in run), sum(each.output_tokens for each in run))
        intervals = (estimate.input_tokens, estimate.output_tokens)
        held += all(each.low <= total <= each.high for each, total in zip(intervals, totals, strict=True))
    assert held >= 360


def test_a_run_costs_at_least_what_its_canary_has_used() -> None:
    """The range of a small run would begin below what is spent already."""
    part = [MeasuredRecord(10, 10, 1), MeasuredRecord(10, 10, 500)]
    estimate = estimate_from(part, 3, 30)
    assert estimate is not None
    assert estimate.output_tokens.low == 501
    assert estimate.input_tokens.low >= 20


@pytest.mark.parametrize("part", [[], [MeasuredRecord(1, 1, 1)]])
def test_one_record_shows_no_spread(part: list[MeasuredRecord]) -> None:
    """A user would see a range of nothing, as if one answer told about all."""
    assert estimate_from(part, 100, 100) is None


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.706), (19, 2.093), (30, 2.042), (40, 2.021), (120, 1.980)])
def test_the_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    """The intervals would be too narrow or too wide."""
    assert student(freedom) == pytest.approx(quantile, abs=0.002)
