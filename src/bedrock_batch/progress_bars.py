"""Progress bars on a terminal: one for each split and job, with rate, time left and cost. Needs rich."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from bedrock_batch.progress import Progress, Timer, figures_of
from bedrock_batch.text import format_duration, format_usd

# The bar of a finished job is removed, so that those of running jobs stay on the screen.
MOST_JOBS = 12
# All columns together fit a terminal of 80 characters.
BAR_WIDTH = 16
# The interval in which rate and time left are redrawn while nothing else happens.
REDRAW_SECONDS = 5.0


class BarProgress(Progress):
    """Draws bars on a console, by default the standard error; log lines scroll above them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, console: Console | None = None) -> None:
        super().__init__(clock, timer=Timer(REDRAW_SECONDS))
        self._console = console or Console(stderr=True)
        self._bars: Bars | None = None
        self._whole = TaskID(0)
        self._parts: list[TaskID] = []
        self._jobs: dict[str, TaskID] = {}
        self._moved: list[logging.StreamHandler[Any]] = []

    def show(self, event: str) -> None:
        if event == "begin":
            self._start()
        bars = self._bars
        if bars is None:
            return
        tally = self.tally
        figures = figures_of(tally, self._clock(), self._cost())
        left = figures["eta_seconds"]
        note = f"{figures['rate_per_second']:.4g}/s, {'?' if left == 'unknown' else format_duration(left)} left, "
        note += format_usd(figures["cost_usd"])
        bars.update(self._whole, completed=tally.reached, note=note)
        for task, done in zip(self._parts, tally.done_by_part, strict=True):
            bars.update(task, completed=done)
        self._draw_jobs(bars)
        if event == "end":
            self._stop()

    def _draw_jobs(self, bars: Bars) -> None:
        for job in self.tally.jobs.values():
            task = self._jobs.get(job.name)
            if job.terminal:
                if task is not None:
                    bars.remove_task(self._jobs.pop(job.name))
            elif task is not None:
                bars.update(task, completed=job.processed, note=job.status)
            elif len(self._jobs) < MOST_JOBS:
                self._jobs[job.name] = bars.add_task(
                    f"  job {job.name[-4:]}", total=job.records, completed=job.processed, note=job.status
                )

    def _start(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=BAR_WIDTH),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bars = Bars(*columns, console=self._console, redirect_stdout=False)
        tally = self.tally
        self._whole = self._bars.add_task("all records", total=tally.total, note="")
        self._parts = [self._bars.add_task(f"  {name}", total=count, note="") for name, count in tally.parts]
        self._jobs = {}
        before = sys.stderr
        self._bars.start()
        # rich has replaced the standard error: log handlers must write to the new one, or their lines break the bars.
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is before and before is not sys.stderr:
                handler.setStream(sys.stderr)
                self._moved.append(handler)

    def _stop(self) -> None:
        if self._bars is None:
            return
        self._bars.stop()
        self._bars = None
        for handler in self._moved:
            handler.setStream(sys.stderr)
        self._moved = []
