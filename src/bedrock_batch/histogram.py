"""Counts of values in buckets with fixed edges, as for tokens and latencies."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_EDGES = tuple(step * 10.0**power for power in range(-3, 7) for step in (1, 2, 5))


@dataclass(slots=True)
class Histogram:
    """Counts of values between the edges 0.001, 0.002, 0.005, 0.01, ..., 5e6, with their sum, minimum and maximum."""

    count: int = 0
    total: float = 0.0
    least: float = math.inf
    greatest: float = -math.inf
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, value: float) -> None:
        """Count one finite value."""
        self.add_all(np.asarray([value], dtype=float))

    def add_all(self, values: np.ndarray[Any, Any]) -> None:
        """Count values; all must be finite."""
        if not len(values):
            return
        self.count += len(values)
        self.total += float(values.sum())
        self.least = min(self.least, float(values.min()))
        self.greatest = max(self.greatest, float(values.max()))
        places, counts = np.unique(np.searchsorted(_EDGES, values, side="right"), return_counts=True)
        self.buckets.update(dict(zip(places.tolist(), counts.tolist(), strict=True)))

    def merge(self, other: Histogram) -> None:
        """Add the counts of another histogram."""
        self.count += other.count
        self.total += other.total
        self.least, self.greatest = min(self.least, other.least), max(self.greatest, other.greatest)
        self.buckets.update(other.buckets)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON values, with every bucket from the first to the last that holds a value."""
        if not self.count:
            return {"count": 0, "buckets": []}
        edges = (0.0, *_EDGES, math.inf)
        span = range(min(self.buckets), max(self.buckets) + 1)
        return {
            "count": self.count,
            "mean": round(self.total / self.count, 4),
            "least": self.least,
            "greatest": self.greatest,
            "buckets": [{"from": edges[place], "count": self.buckets.get(place, 0)} for place in span],
        }
