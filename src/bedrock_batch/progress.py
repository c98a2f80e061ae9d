"""Shows the progress of a run, as log lines and CloudWatch metrics (`progress_bars` shows it on a terminal).

In a container every redraw would be a new log line, so that one line is written per interval. This module knows
nothing of rows, prompts or answers.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TextIO

INTERVAL_SECONDS = 30.0
# The rate is computed over the last minutes, because it changes as jobs end.
RATE_WINDOW_SECONDS = 300.0
Part = tuple[str, int]


@dataclass(frozen=True, slots=True)
class JobFigures:
    """A job as last seen: its status, its records, and how many of them the service reports as processed."""

    name: str
    status: str
    records: int
    processed: int = 0
    terminal: bool = False


@dataclass(slots=True)
class Tally:
    """The counts of a run's progress.

    `earlier` counts records that an earlier start had answered, `begun_with` what each job had processed when it was
    first seen. `unread` counts what ended jobs have processed and no result has told yet. `began` and `seen` are
    readings of the clock, `seen` with the records reached by then.
    """

    parts: tuple[Part, ...] = ()
    total: int = 0
    answered: int = 0
    failed: int = 0
    done_by_part: list[int] = field(default_factory=list)
    jobs: dict[str, JobFigures] = field(default_factory=dict)
    earlier: int = 0
    begun_with: dict[str, int] = field(default_factory=dict)
    unread: int = 0
    began: float = 0.0
    seen: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def running(self) -> list[JobFigures]:
        """The jobs that have not ended."""
        return [job for job in self.jobs.values() if not job.terminal]

    @property
    def reached(self) -> int:
        """The records that have an answer or an error, and those that jobs have processed."""
        return min(self.total, self.answered + self.unread + sum(job.processed for job in self.running))

    @property
    def reached_now(self) -> int:
        """The records in `reached` that were answered since this process began."""
        return max(0, self.reached - self.earlier - sum(self.begun_with.get(job.name, 0) for job in self.running))

    def count(self, start: int, count: int, failed: int, earlier: int) -> None:
        """Count rows that now have an answer or an error."""
        self.answered += count
        self.failed += failed
        self.earlier += earlier
        self.unread = max(0, self.unread - count)
        self._count_parts(start, count)

    def note(self, job: JobFigures) -> None:
        """Remember a job as last seen. What it had processed when it was first seen belongs to an earlier start."""
        self.begun_with.setdefault(job.name, job.processed)
        before = self.jobs.get(job.name)
        if job.terminal and not (before and before.terminal):
            self.unread += job.processed
        self.jobs[job.name] = job

    def rate(self, now: float) -> float:
        """Return the records per second over the last minutes, or 0 while it is unknown.

        Only records that were answered since this process began count: those of an earlier start come at once.
        """
        self.seen.append((now, self.reached_now))
        while len(self.seen) > 2 and self.seen[0][0] < now - RATE_WINDOW_SECONDS:
            self.seen.popleft()
        (begin, before), (end, after) = self.seen[0], self.seen[-1]
        return (after - before) / (end - begin) if end > begin and after > before else 0.0

    def _count_parts(self, start: int, count: int) -> None:
        """Count the rows from `start` on for the parts that they belong to."""
        first, stop = 0, start + count
        for index, (_, size) in enumerate(self.parts):
            self.done_by_part[index] += max(0, min(stop, first + size) - max(start, first))
            first += size


class Timer:
    """Calls a function every `interval` seconds in its own thread until it is stopped; without an interval, never.

    If the thread cannot be started, the run continues without it.
    """

    def __init__(self, interval: float | None = None) -> None:
        self._interval = interval
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, tick: Callable[[], None]) -> None:
        """Start to call `tick`, after stopping an earlier start."""
        self.stop()
        if self._interval is None:
            return
        self._stopped = threading.Event()
        thread = threading.Thread(target=self._run, args=(tick, self._stopped), name="progress", daemon=True)
        with suppress(RuntimeError):
            thread.start()
            self._thread = thread

    def stop(self) -> None:
        """Stop calling, and return after a call in progress has ended."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, tick: Callable[[], None], stopped: threading.Event) -> None:
        while not stopped.wait(self._interval):
            tick()


class Progress:
    """Counts the progress of a run and shows nothing; a subclass overrides `show`. Thread-safe.

    `clock` is the clock of the run. An error in here never fails the run.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        log: logging.Logger | None = None,
        timer: Timer | None = None,
    ) -> None:
        self._clock = clock
        self._log = log or logging.getLogger(__name__)
        self._timer = timer or Timer()
        self._defect: str | None = None
        self._lock = threading.RLock()
        self._cost: Callable[[], float] = lambda: 0.0
        self.tally = Tally()

    def begin(self, parts: Sequence[Part], cost: Callable[[], float]) -> None:
        """Begin a run over parts, each a name and a number of rows, in order; `cost` returns the cost so far in USD."""
        with self._lock:
            self._cost = cost
            self._defect = None
            self._observe(lambda: self._begin(parts), "begin")
        self._timer.start(partial(self._observe, lambda: None, "tick"))

    def answered(self, start: int, count: int, failed: int, earlier: int = 0) -> None:
        """Count rows that now have an answer or an error.

        `failed` of them have an error; `earlier` of them were answered by an earlier start of the run.
        """
        self._observe(lambda: self.tally.count(start, count, failed, earlier), "answered")

    def job(self, job: JobFigures) -> None:
        """Remember the status of a job."""
        self._observe(lambda: self.tally.note(job), "job")

    def end(self) -> None:
        """End the run, whether it succeeded or not."""
        self._timer.stop()
        self._observe(lambda: None, "end")

    def show(self, event: str) -> None:
        """Show the tally after an event: `begin`, `answered`, `job`, `end`, or `tick` after an interval."""

    def _begin(self, parts: Sequence[Part]) -> None:
        now = self._clock()
        self.tally = Tally(tuple(parts), sum(count for _, count in parts), began=now)
        self.tally.done_by_part = [0] * len(self.tally.parts)
        self.tally.seen.append((now, 0))

    def _observe(self, change: Callable[[], None], event: str) -> None:
        """Change the tally and show it. An exception is logged as one warning and ends the display, not the run."""
        with self._lock:
            if self._defect is not None:
                return
            try:
                change()
                self.show(event)
            except Exception as error:
                self._defect = f"{type(error).__name__}: {error}"
                self._log.warning(
                    "progress is not shown any more (%s); the run continues. Please report this defect", self._defect
                )


class LineProgress(Progress):
    """Logs a line of `key=value` pairs at most every 30 s and at the end, and writes metrics if configured.

    `metrics` is the namespace of CloudWatch metrics in the embedded metric format
    (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html),
    written to `out` as JSON lines. CloudWatch Logs turns them into metrics without an agent.
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
        timer: Timer | None = None,
    ) -> None:
        super().__init__(clock, log, timer or Timer(INTERVAL_SECONDS))
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
    """Return the figures of a progress line by name; `cost` is in USD."""
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
