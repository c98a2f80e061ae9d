"""How far a run is: lines for a log, bars for a terminal, and metrics for CloudWatch.

In a container every redraw would be a line of its own, so that only a plain line per interval and one per change of a
job's status are written there. Nothing here knows rows, prompts or answers.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

INTERVAL_SECONDS = 30.0
# The rate is that of the last minutes: answers that an earlier start had kept come at once and say nothing.
RATE_WINDOW_SECONDS = 300.0
Part = tuple[str, int]


@dataclass(frozen=True, slots=True)
class JobFigures:
    """A job as it was last seen: its status, its records, and how many of them the service says are processed."""

    name: str
    status: str
    records: int
    processed: int = 0
    terminal: bool = False


@dataclass(slots=True)
class Tally:
    """What is known of a run's progress."""

    parts: tuple[Part, ...] = ()
    total: int = 0
    answered: int = 0
    failed: int = 0
    done_by_part: list[int] = field(default_factory=list)
    jobs: dict[str, JobFigures] = field(default_factory=dict)
    began: float = 0.0
    seen: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def running(self) -> list[JobFigures]:
        return [job for job in self.jobs.values() if not job.terminal]

    @property
    def reached(self) -> int:
        """Records that have an outcome, and those that running jobs have processed."""
        return min(self.total, self.answered + sum(job.processed for job in self.running))

    def rate(self, now: float) -> float:
        """Return records per second over the last minutes, 0 while nothing can be said."""
        self.seen.append((now, self.reached))
        while len(self.seen) > 2 and self.seen[0][0] < now - RATE_WINDOW_SECONDS:
            self.seen.popleft()
        (begin, before), (end, after) = self.seen[0], self.seen[-1]
        return (after - before) / (end - begin) if end > begin and after > before else 0.0

    def take(self, start: int, count: int) -> None:
        """Count the rows from `start` on to the parts that they belong to."""
        first, stop = 0, start + count
        for index, (_, size) in enumerate(self.parts):
            self.done_by_part[index] += max(0, min(stop, first + size) - max(start, first))
            first += size


class Progress:
    """Takes note of what a run does and shows nothing; what shows it overrides `show`. Safe to use from many threads.

    `clock` is the run's own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._cost: Callable[[], float] = lambda: 0.0
        self.tally = Tally()

    def begin(self, parts: Sequence[Part], cost: Callable[[], float]) -> None:
        """Begin a run over named parts of some rows each, in order; `cost` gives what it has cost, in USD."""
        now = self._clock()
        with self._lock:
            self._cost = cost
            self.tally = Tally(tuple(parts), sum(count for _, count in parts), began=now)
            self.tally.done_by_part = [0] * len(self.tally.parts)
            self.tally.seen.append((now, 0))
            self.show("begin")

    def answered(self, start: int, count: int, failed: int) -> None:
        """Count rows that have their outcome now, `failed` of them without an answer."""
        with self._lock:
            self.tally.answered += count
            self.tally.failed += failed
            self.tally.take(start, count)
            self.show("answered")

    def job(self, job: JobFigures) -> None:
        """Take note of what a job's status is."""
        with self._lock:
            self.tally.jobs[job.name] = job
            self.show("job")

    def end(self) -> None:
        """End the run, however it ended."""
        with self._lock:
            self.show("end")

    def show(self, event: str) -> None:
        """Show the tally after an event: `begin`, `answered`, `job` or `end`."""


class LineProgress(Progress):
    """Writes a line of `key=value` words to the log, at most every 30 s, and at the end; metrics too where asked for.

    `metrics` is the namespace of CloudWatch metrics in the embedded metric format
    (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html),
    one JSON line each on `out`; CloudWatch Logs makes metrics of them without an agent.
    """

    def __init__(
        self,
        log: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
        *,
        metrics: str = "",
        job_type: str = "",
        out: TextIO | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock)
        self._log = log
        self._metrics = metrics
        self._job_type = job_type
        self._out = out
        self._now = now
        self._next = 0.0

    def show(self, event: str) -> None:
        now = self._clock()
        if event == "begin":
            self._next = now + INTERVAL_SECONDS
            return
        if event != "end" and now < self._next:
            return
        self._next = now + INTERVAL_SECONDS
        figures = figures_of(self.tally, now, self._cost())
        self._log.info("progress %s", " ".join(f"{name}={value}" for name, value in figures.items()))
        if self._metrics:
            print(self._metric_line(figures), file=self._out or sys.stdout, flush=True)

    def _metric_line(self, figures: dict[str, Any]) -> str:
        values = {
            "RecordsAnswered": figures["records"],
            "RecordsFailed": figures["failed"],
            "RecordsPerSecond": figures["rate_per_second"],
            "CostUSD": figures["cost_usd"],
            "JobsRunning": figures["jobs_running"],
        }
        units = {"RecordsPerSecond": "Count/Second", "CostUSD": "None"}
        described = [{"Name": name, "Unit": units.get(name, "Count")} for name in values]
        directive = {"Namespace": self._metrics, "Dimensions": [["JobType"]], "Metrics": described}
        head = {"Timestamp": round(self._now() * 1000), "CloudWatchMetrics": [directive]}
        return json.dumps({"_aws": head, "JobType": self._job_type or "none", **values})


def figures_of(tally: Tally, now: float, cost: float) -> dict[str, Any]:
    """Return the words of a progress line."""
    rate = tally.rate(now)
    rest = tally.total - tally.reached
    return {
        "records": tally.answered,
        "of": tally.total,
        "processed_in_jobs": tally.reached - tally.answered,
        "failed": tally.failed,
        "rate_per_second": round(rate, 2),
        "eta_seconds": round(rest / rate) if rate else "unknown",
        "cost_usd": round(cost, 4),
        "jobs_running": len(tally.running),
        "jobs_ended": len(tally.jobs) - len(tally.running),
        "elapsed_seconds": round(now - tally.began),
    }
