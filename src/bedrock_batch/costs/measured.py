"""Estimates the tokens of a run from the answers to some of its records.

The records are drawn at random, one from each of as many equal parts of the run. The interval of a total is its likely
value plus and minus Student's t (95 %) times its standard error, with the correction for a finite population. Input
tokens are scaled by the length of the prompts, so that the error is only that of the tokens per character; output
tokens by the number of records. See Cochran, Sampling Techniques, chapters 2 and 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bedrock_batch.costs.estimate import Estimate, Interval

# The 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom; beyond, 1.96 + 2.4 / df is right to 0.01.
_STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
# An interval is never narrower than this share, since records that happen to be alike say little about the others.
LEAST_ERROR = 0.02


@dataclass(frozen=True, slots=True)
class MeasuredRecord:
    """The tokens of one answered record, and the estimate of its input tokens by the length of its prompt."""

    estimated_input: float
    input_tokens: int
    output_tokens: int


def estimate_from(measured: Sequence[MeasuredRecord], count: int, estimated_input: float) -> Estimate | None:
    """Return the estimate for `count` records, whose prompts' lengths let expect so many input tokens together.

    None for fewer than two measured records, which show no spread.
    """
    if len(measured) < 2:
        return None
    guesses = [each.estimated_input for each in measured]
    inputs = [float(each.input_tokens) for each in measured]
    outputs = [float(each.output_tokens) for each in measured]
    ratio = sum(inputs) / max(sum(guesses), 1e-9)
    residuals = [actual - ratio * guess for actual, guess in zip(inputs, guesses, strict=True)]
    mean = sum(outputs) / len(outputs)
    deviations = [each - mean for each in outputs]
    return Estimate(
        count,
        _interval(ratio * estimated_input, residuals, count, sum(inputs)),
        _interval(mean * count, deviations, count, sum(outputs)),
        f"measured on {len(measured)} records of this run: 95 % intervals by Student's t",
    )


def _interval(likely: float, deviations: Sequence[float], count: int, least: float) -> Interval:
    """Return the interval around a total; it is never below what the measured records alone have used."""
    size = len(deviations)
    variance = sum(each * each for each in deviations) / (size - 1)
    standard_error = count * math.sqrt(variance / size * max(0.0, 1 - size / count))
    error = max(student(size - 1) * standard_error, LEAST_ERROR * likely)
    likely = max(likely, least)
    return Interval(max(likely - error, least), likely, likely + error)


def student(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t."""
    return _STUDENT[freedom - 1] if freedom <= len(_STUDENT) else 1.96 + 2.4 / freedom
