"""When records are moved from jobs to real time, so that a run ends before its deadline. Decides; stops nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

# The time that the end of a run needs: read results, ask the last records, write the outputs.
CLOSING_SECONDS = 300.0
# A job is stuck if its count stands still for ten times as long as between two changes so far, within these bounds.
STUCK_FACTOR = 10.0
STUCK_SECONDS = (300.0, 1800.0)
# A job is left alone if at its pace it ends before this share of the time until the deadline.
IN_TIME_SHARE = 0.9
# How long stopping a job and reading its results takes; meanwhile real time gets other work.
STOPPING_SECONDS = 240.0
AHEAD_SECONDS = 600.0
# The measured rate of real time may fall: requests are given this much more time than they need at that rate.
RESERVE = 1.1


@dataclass(slots=True)
class JobPace:
    """How fast a job answers, by the counts of its polls; times are readings of the run's clock, in seconds.

    Only the service's counts show the pace. Without them (botocore before 1.42.81) the end of a job is unknown.
    """

    records: int
    first: tuple[float, int] | None = None
    last: tuple[float, int] | None = None
    changes: int = 0

    def note(self, now: float, processed: int | None) -> None:
        """Take over the count of a poll."""
        if not processed:
            return
        if self.first is None:
            self.first = self.last = (now, processed)
        elif self.last is not None and processed > self.last[1]:
            self.last = (now, processed)
            self.changes += 1

    @property
    def left(self) -> int:
        """The number of records that are not known to be answered."""
        return max(0, self.records - (self.last[1] if self.last else 0))

    def expected_end(self, now: float) -> float:
        """Return when the job ends at its pace so far: infinity if the pace is unknown or the job is stuck."""
        low, high = STUCK_SECONDS
        if self.first is None or self.last is None or now - self.last[0] > high:
            return math.inf
        if not self.left:  # it only has to write its results
            return now
        if not self.changes:
            return math.inf
        seconds, answered = self.last[0] - self.first[0], self.last[1] - self.first[1]
        if now - self.last[0] > min(high, max(low, STUCK_FACTOR * seconds / self.changes)):
            return math.inf
        return max(now, self.last[0] + self.left * seconds / answered)


class HasPace(Protocol):
    """A running job, as far as this decision knows it."""

    @property
    def pace(self) -> JobPace: ...


J = TypeVar("J", bound=HasPace)


@dataclass(slots=True)
class Cutover:
    """Decides at each poll which jobs are stopped for their records to be asked in real time.

    `deadline` is when the outputs must be complete, `begun` when the run began. `is_stated` says that the user has
    stated the deadline, and will pay for real time to have it kept; else it is the end of the container.
    """

    deadline: float
    begun: float
    is_stated: bool = True
    moved: int = 0
    moved_at: float = 0.0

    @property
    def end(self) -> float:
        """When the last answer must be there."""
        return self.deadline - CLOSING_SECONDS

    def choose(self, now: float, running: Iterable[J], waiting: int, per_second: float) -> list[J] | None:
        """Return the running jobs to stop if real time must have more to do now, else None.

        Real time asks at the rate `per_second`: first the `waiting` records, which are in no job yet, and those of jobs
        that were stopped before. No more jobs are stopped than keep it at work for a while, since the others go on
        answering. Jobs that end in time at their pace are left alone.
        """
        in_time = now + (self.end - now) * IN_TIME_SHARE
        late = [job for job in running if job.pace.expected_end(now) > in_time]
        backlog = waiting + max(0.0, self.moved - (now - self.moved_at) * per_second)
        records = backlog + sum(job.pace.left for job in late)
        end = self.end - STOPPING_SECONDS if late else self.end
        if not (late or waiting) or now < cutover_time(end, self.begun, records, per_second, is_stated=self.is_stated):
            return None
        room = AHEAD_SECONDS * per_second - backlog if now < self.end else math.inf
        if room <= 0 and not waiting:
            return None
        chosen = _latest(late, now, room)
        self.moved, self.moved_at = math.ceil(backlog + sum(job.pace.left for job in chosen)), now
        return chosen


def _latest(jobs: list[J], now: float, records: float) -> list[J]:
    """Return the jobs that end last, as many as hold so many records together."""
    chosen: list[J] = []
    for job in sorted(jobs, key=lambda job: (job.pace.expected_end(now), job.pace.left), reverse=True):
        if records <= 0:
            break
        chosen.append(job)
        records -= job.pace.left
    return chosen


def cutover_time(end: float, begun: float, records: float, per_second: float, *, is_stated: bool = True) -> float:
    """Return when real time must begin with `records` to be done by `end`, a reading of the clock as `begun` is.

    If the whole time is too short for that, real time gets half of it, and batch answers what it can beside it. Before
    the end of a container, real time gets at most half, and nothing if that is too short: batch has the better
    chance, and the next start goes on. Without real time (a rate of 0), batch has all the time.
    """
    if per_second <= 0:
        return end
    needed, whole = RESERVE * records / per_second, max(0.0, end - begun)
    if is_stated:
        return end - (needed if needed <= whole else whole / 2)
    return end - (needed if needed <= whole / 2 else 0.0)
