"""Forecasts of job durations from past jobs, on replayed traces."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from bedrock_batch.aws.job_history import PastJob
from bedrock_batch.batch.forecast import LEAST_JOBS, forecast_jobs

Trace = Callable[[random.Random, int], PastJob]


def steady(chance: random.Random, _: int) -> PastJob:
    records = chance.randint(100, 45_000)
    return PastJob(records, chance.lognormvariate(7.0, 0.6) + records / chance.uniform(8.0, 12.0))


def heavy_tailed(chance: random.Random, _: int) -> PastJob:
    records = chance.randint(100, 45_000)
    return PastJob(records, 600.0 * chance.paretovariate(1.2) + records / 20.0)


def drifting(chance: random.Random, number: int) -> PastJob:
    records = chance.randint(100, 45_000)
    busy = math.exp(math.sin(number / 25.0))
    return PastJob(records, busy * (chance.lognormvariate(7.0, 0.4) + records / 10.0))


def without_counts(chance: random.Random, _: int) -> PastJob:
    return PastJob(None, chance.lognormvariate(8.0, 0.8))


@pytest.mark.parametrize("draw", [steady, heavy_tailed, drifting, without_counts])
def test_eight_of_ten_jobs_take_as_long_as_their_interval_says(draw: Trace) -> None:
    """A user would plan a night by an interval that does not hold."""
    held = count = 0
    for seed in range(8):
        chance = random.Random(seed)
        jobs = [draw(chance, number) for number in range(90)]
        for index in range(30, 90, 3):
            forecast = forecast_jobs(jobs[:index], jobs[index].records or 0)
            assert forecast is not None
            held += forecast.low <= jobs[index].seconds <= forecast.high
            count += 1
    assert 0.72 <= held / count <= 0.88


def test_few_jobs_give_no_forecast() -> None:
    """Three lucky jobs would be taken for what AWS does every day."""
    jobs = [PastJob(1000, 600.0 + number) for number in range(LEAST_JOBS)]
    assert forecast_jobs(jobs[1:], 1000) is None
    forecast = forecast_jobs(jobs, 1000)
    assert forecast is not None
    assert 300.0 <= forecast.low <= forecast.likely <= forecast.high <= 1300.0


def test_larger_jobs_are_expected_to_take_longer() -> None:
    """A plan for 45,000 rows would show the duration of the small jobs before it."""
    jobs = [PastJob(count, 600.0 + count / 10.0) for count in range(1000, 13_000, 1000)]
    small, large = forecast_jobs(jobs, 1000), forecast_jobs(jobs, 45_000)
    assert small is not None
    assert large is not None
    assert small.likely == pytest.approx(700.0)
    assert large.likely == pytest.approx(5100.0)


def test_the_slowest_of_many_jobs_takes_longer_than_one() -> None:
    """A run of twenty jobs would be promised for the time that one of them takes."""
    chance = random.Random(1)
    jobs = [steady(chance, number) for number in range(60)]
    one, twenty = forecast_jobs(jobs, 1000), forecast_jobs(jobs, 1000, at_once=20)
    assert one is not None
    assert twenty is not None
    assert one.low < twenty.low
    assert one.likely < twenty.likely <= twenty.high
    assert one.high <= twenty.high


def test_jobs_of_one_size_and_duration_give_a_forecast() -> None:
    """A division by zero would take the plan away from users who always run the same."""
    assert forecast_jobs([PastJob(500, 900.0)] * 20, 500) is not None
    assert forecast_jobs([PastJob(500, 1e-9)] * 20, 10**9) is not None
