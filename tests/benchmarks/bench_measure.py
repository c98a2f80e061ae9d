"""Measurement of alternatives in turn in one process, so that their ratios hold on a noisy machine."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """Rows per second of wall time and of CPU time, as medians of the rounds."""

    wall: float
    cpu: float


# As the entry point sets them.
GC_THRESHOLDS = (200_000, 20, 100)


def measure(ways: Mapping[str, Callable[[], int]], rounds: int) -> dict[str, Rate]:
    """Run every function once per round, and return the rate of each. A function returns its number of rows."""
    gc.set_threshold(*GC_THRESHOLDS)
    walls: dict[str, list[float]] = {name: [] for name in ways}
    cpus: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            rows = way()
            walls[name].append(rows / (time.perf_counter() - wall))
            cpus[name].append(rows / (time.process_time() - cpu))
    return {name: Rate(statistics.median(walls[name]), statistics.median(cpus[name])) for name in ways}
