"""Which jobs are stopped before a deadline, and when; the second half simulates whole runs on a virtual clock."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import pytest

from bedrock_batch.batch.jobs.cutover import (
    CLOSING_SECONDS,
    RESERVE,
    STOPPING_SECONDS,
    STUCK_SECONDS,
    Cutover,
    JobPace,
    cutover_time,
)

HOUR = 3600.0


@dataclass
class Running:
    pace: JobPace


def running(records: int, *polls: tuple[float, int | None]) -> Running:
    job = Running(JobPace(records))
    for now, processed in polls:
        job.pace.note(now, processed)
    return job


@pytest.mark.parametrize(
    ("end", "records", "per_second", "expected"),
    [
        (10_000.0, 0, 10.0, 10_000.0),
        (10_000.0, 10_000, 10.0, 10_000.0 - RESERVE * 1_000.0),
        (10_000.0, 80_000, 10.0, 10_000.0 - RESERVE * 8_000.0),
        (10_000.0, 10**9, 10.0, 5_000.0),
        (10_000.0, 5, 0.0, 10_000.0),
        (-200.0, 10, 10.0, -200.0),
    ],
    ids=["nothing left", "time to ask", "most of the time", "never possible", "no rate", "too late from the start"],
)
def test_real_time_begins_while_it_can_still_ask_everything(
    end: float, records: int, per_second: float, expected: float
) -> None:
    """The outputs would be late, or batch be given up for no reason."""
    assert cutover_time(end, 0.0, records, per_second) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("records", "expected"),
    [(10_000, 10_000.0 - RESERVE * 1_000.0), (80_000, 10_000.0), (10**9, 10_000.0)],
    ids=["time to ask", "more than half of the time", "never possible"],
)
def test_the_end_of_a_container_does_not_move_a_run_to_real_time(records: int, expected: float) -> None:
    """A user of slow real time would pay twice the price after a few hours, although the container waits for a day."""
    assert cutover_time(10_000.0, 0.0, records, 10.0, is_stated=False) == pytest.approx(expected)


def test_a_job_that_ends_in_time_is_left_alone() -> None:
    """A user would pay the double price for rows that a job was about to answer."""
    cutover = Cutover(2 * HOUR, 0.0)
    fast = running(10_000, (3000.0, 4000), (3600.0, 6000))  # ends 1,200 s later
    slow = running(10_000, (3000.0, 100), (3600.0, 200))
    assert cutover.choose(3601.0, [fast, slow], 0, 3.0) == [slow]


def test_a_job_whose_count_stands_still_is_stuck() -> None:
    """A run would wait beyond its deadline for a job that has stopped answering."""
    job = running(10_000, (0.0, 100), (600.0, 9_000), (1200.0, 9_000))
    assert job.pace.expected_end(1200.0) == 1200.0
    assert job.pace.expected_end(601.0 + max(STUCK_SECONDS)) == math.inf
    assert job.pace.left == 1000


def test_a_job_that_has_answered_everything_is_not_stopped() -> None:
    """A job would be stopped while it writes its results."""
    job = running(10, (60.0, 10))
    assert job.pace.expected_end(90.0) == 90.0
    assert job.pace.expected_end(61.0 + max(STUCK_SECONDS)) == math.inf


def test_a_job_without_counts_is_taken_to_end_late() -> None:
    """With an SDK that gives no counts, a run would trust a job of which it knows nothing."""
    assert running(10, (0.0, None), (60.0, None)).pace.expected_end(60.0) == math.inf


def test_no_more_jobs_are_stopped_than_real_time_can_take() -> None:
    """All jobs would be stopped at once, although most of them answer more while real time is busy with one."""
    jobs = [running(10_000) for _ in range(4)]
    cutover = Cutover(5 * HOUR, 0.0)
    end = cutover.end - STOPPING_SECONDS
    now = end - RESERVE * 40_000 / 4.0 + 1.0
    first = cutover.choose(now, jobs, 0, 4.0)
    assert first == [jobs[0]]
    assert cutover.choose(now + 60.0, jobs[1:], 0, 4.0) is None
    again = end - RESERVE * 30_000 / 4.0
    assert cutover.choose(again + 1.0, jobs[1:], 0, 4.0) == [jobs[1]]
    assert cutover.choose(cutover.end, jobs[2:], 0, 4.0) == jobs[2:], "at the end, all"


@dataclass
class SimulatedJob:
    """A job of the simulation: it begins after a queue, answers at a rate, and may stop answering."""

    records: int
    queue: float
    rate: float
    stuck_at: float
    pace: JobPace = field(init=False)
    created: float = math.inf
    stopped: float = math.inf

    def __post_init__(self) -> None:
        self.pace = JobPace(self.records)

    def answered(self, now: float) -> int:
        seconds = min(now, self.stopped) - self.created - self.queue
        return min(self.records, int(self.records * self.stuck_at), int(max(0.0, seconds) * self.rate))

    @property
    def duration(self) -> float:
        return math.inf if self.stuck_at < 1 else self.queue + self.records / self.rate


@dataclass
class Workload:
    """A run before a deadline: its jobs, the slots for them, and the rate of real time."""

    jobs: list[SimulatedJob]
    slots: int
    per_second: float
    deadline: float
    has_counts: bool

    @property
    def records(self) -> int:
        return sum(job.records for job in self.jobs)


def draw_workload(chance: random.Random) -> Workload:
    deadline = chance.uniform(1.0, 24.0) * HOUR
    pace = math.exp(chance.gauss(0.0, 0.8))
    jobs = [
        SimulatedJob(
            chance.randint(1000, 45_000),
            queue=chance.expovariate(4.0 / deadline),
            rate=pace * math.exp(chance.gauss(1.0, 0.4)),
            stuck_at=chance.random() if chance.random() < 0.05 else 1.0,
        )
        for _ in range(chance.randint(1, 8))
    ]
    records = sum(job.records for job in jobs)
    alone = math.exp(chance.uniform(math.log(0.01), math.log(0.8)))  # share of the time that real time alone needs
    return Workload(jobs, chance.choice([2, 20]), records / (alone * deadline), deadline, chance.random() < 0.8)


def ends_in_batch_alone(load: Workload) -> list[float]:
    """Return when each job would end if none were stopped."""
    free = [0.0] * load.slots
    ends = []
    for job in load.jobs:
        start = min(free)
        free[free.index(start)] = start + job.duration
        ends.append(start + job.duration)
    return ends


def simulate(load: Workload, chance: random.Random, poll: float = 60.0) -> tuple[float, dict[int, int]]:
    """Run a workload; return when the last record is answered, and by job how many records were moved to real time."""
    cutover = Cutover(load.deadline, 0.0)
    active: list[int] = []
    left = list(range(len(load.jobs)))
    queue: list[tuple[float, int]] = []  # when real time gets records, and how many
    moved: dict[int, int] = {}
    now, busy_until, closed = 0.0, 0.0, False
    while active or left or queue:
        while left and not closed and len(active) < load.slots:
            job = load.jobs[left[0]]
            job.created = now
            active.append(left.pop(0))
        for index in list(active):
            job = load.jobs[index]
            job.pace.note(now, job.answered(now) if load.has_counts else None)
            if job.answered(now) == job.records:
                active.remove(index)
        waiting = 0 if closed else sum(load.jobs[index].records for index in left)
        chosen = cutover.choose(now, [load.jobs[index] for index in active], waiting, load.per_second)
        if chosen is not None:
            closed = True
            for index in left:
                moved[index] = load.jobs[index].records
                queue.append((now, moved[index]))
            left = []
            for index in [index for index in active if any(load.jobs[index] is job for job in chosen)]:
                job = load.jobs[index]
                job.stopped = now
                moved[index] = job.records - job.answered(now)
                queue.append((now + chance.uniform(20.0, 240.0), moved[index]))
                active.remove(index)
        while queue and queue[0][0] <= now:
            begins, records = queue.pop(0)
            true_rate = load.per_second * chance.uniform(0.93, 1.05)
            busy_until = max(busy_until, begins) + records / true_rate
        queue.sort()
        now += poll
    return max(now, busy_until), moved


def test_no_run_is_late_that_real_time_alone_could_have_made_and_few_rows_are_moved_in_vain() -> None:
    """A user with a deadline would miss it, or pay the double price for rows that batch would have answered in time."""
    chance = random.Random(20261127)
    rows = in_vain = moved_rows = 0
    for number in range(300):
        load = draw_workload(chance)
        ends = ends_in_batch_alone(load)
        done, moved = simulate(load, chance)
        end = load.deadline - CLOSING_SECONDS
        if RESERVE * load.records / load.per_second + STOPPING_SECONDS <= end:
            assert done <= load.deadline, f"workload {number} is {done - load.deadline:.0f} s late"
        rows += load.records
        moved_rows += sum(moved.values())
        in_vain += sum(count for index, count in moved.items() if ends[index] <= end)
    assert moved_rows > rows / 50, "the rule was never needed"
    assert in_vain <= rows / 10, (
        f"{in_vain / rows:.1%} of the rows were moved in vain, of {moved_rows / rows:.1%} moved"
    )
