"""Forecasts how long batch jobs take, as an interval from the durations of past jobs. AWS promises no duration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bedrock_batch.aws.job_history import PastJob

COVERAGE = 0.8
# With fewer past jobs, no interval between two of them holds for 80 % of new ones.
LEAST_JOBS = 9
# How fast the interval follows when jobs become slower or faster, and the last jobs that count.
LEARNING_RATE = 0.1
WINDOW = 30


@dataclass(frozen=True, slots=True)
class Forecast:
    """The seconds that jobs take with a chance of 80 %, from `low` to `high`, and how many past jobs say so."""

    low: float
    likely: float
    high: float
    jobs: int


def forecast_jobs(history: Sequence[PastJob], records: int, at_once: int = 1) -> Forecast | None:
    """Return when the last of some jobs that begin `at_once` ends; None if there are too few past jobs, oldest first.

    Each job has so many records; jobs are taken to be independent of each other. The interval of one job holds for
    80 % of jobs in the long run, whatever the durations are like: each past job is forecast from those before it, and
    misses widen the interval (adaptive conformal inference, arXiv:2106.00170).
    """
    if len(history) < LEAST_JOBS:
        return None
    width = COVERAGE
    for index in range(LEAST_JOBS, len(history)):
        job = history[index]
        low, _, high = _interval(history[max(0, index - WINDOW) : index], job.records, width)
        missed = not low <= job.seconds <= high
        width = min(0.99, max(0.2, width + LEARNING_RATE * (missed - (1 - COVERAGE))))
    return Forecast(*_interval(history[-WINDOW:], records, width, at_once), jobs=len(history))


def _interval(
    history: Sequence[PastJob], records: int | None, width: float, at_once: int = 1
) -> tuple[float, float, float]:
    """Return the low, the likely and the high duration that the share `width` of these jobs would suggest."""
    fixed, each = _fit(history)
    scores = sorted(job.seconds / (fixed + each * (job.records or 0)) for job in history)
    scale = fixed + each * (records or 0)
    tail, count = (1 - width) / 2, len(scores)
    # The slowest of n jobs ends by a time with the chance of one job to the power of n.
    low, middle, high = ((count + 1) * chance ** (1 / at_once) for chance in (tail, 0.5, 1 - tail))
    low, high = math.floor(low), math.ceil(high)
    # Beyond the past jobs there is no rank: half and twice the extremes stand for it.
    least = scores[low - 1] if low >= 1 else scores[0] / 2
    greatest = scores[high - 1] if high <= count else scores[-1] * 2
    likely = median(scores) if at_once == 1 else scores[min(count, round(middle)) - 1]
    return scale * least, scale * likely, scale * greatest


def _fit(history: Sequence[PastJob]) -> tuple[float, float]:
    """Return the seconds of any job and the seconds for each record, by the median slope between pairs of jobs."""
    middle = median(job.seconds for job in history)
    sized = [(job.records, job.seconds) for job in history if job.records]
    if len(sized) < len(history):
        return middle, 0.0
    slopes = [
        (seconds - other_seconds) / (count - other_count)
        for index, (count, seconds) in enumerate(sized)
        for other_count, other_seconds in sized[:index]
        if count != other_count
    ]
    each = max(0.0, median(slopes)) if slopes else 0.0
    fixed = median(seconds - each * count for count, seconds in sized)
    return (fixed, each) if fixed > 0 else (0.0, middle / median(count for count, _ in sized))
