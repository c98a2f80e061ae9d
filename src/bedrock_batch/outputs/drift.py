"""How far the answers of one split are from those of another, and when the difference is more than chance."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

LEAST_DISTANCE = 0.1
"""A smaller distance is never reported as drift, however many rows there are."""


def is_drift(distance: float, one: int, two: int, kinds: int) -> bool:
    """Return whether two samples of these sizes over `kinds` labels differ by more than chance explains."""
    return distance > max(LEAST_DISTANCE, chance_distance(one, two, kinds))


def chance_distance(one: int, two: int, kinds: int) -> float:
    """Return the distance that two samples of one population exceed in about one case in a hundred.

    This is the critical value of the two-sample Kolmogorov-Smirnov test at 1 %. With many labels it is larger, because
    the chance differences of many small shares add up.
    """
    return 1.63 * math.sqrt((one + two) / (one * two)) * math.sqrt(max(1.0, (kinds - 1) / 2))


def label_distance(one: Counter[str], two: Counter[str]) -> float:
    """Return the total variation distance between two label counts: 0 for equal shares, 1 for no common label."""
    all_one, all_two = sum(one.values()) or 1, sum(two.values()) or 1
    return sum(abs(one[name] / all_one - two[name] / all_two) for name in one.keys() | two.keys()) / 2


def ks_distance(one: np.ndarray[Any, Any], two: np.ndarray[Any, Any]) -> float:
    """Return the two-sample Kolmogorov-Smirnov statistic: the greatest gap between the two distribution functions."""
    if not len(one) or not len(two):
        return 0.0
    one, two = np.sort(one), np.sort(two)
    points = np.concatenate([one, two])
    shares = (np.searchsorted(each, points, side="right") / len(each) for each in (one, two))
    return float(np.abs(np.subtract(*shares)).max())
