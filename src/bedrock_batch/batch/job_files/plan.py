"""The plan of jobs: which records share a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil

from bedrock_batch.environment.settings import Settings


@dataclass(frozen=True, slots=True)
class EvenSpread:
    """The records of a whole run, at most, and the jobs that may run at a time, over which they are spread."""

    records: int
    slots: int


@dataclass(frozen=True, slots=True)
class JobLimits:
    """The limits of one job: the least and the most records, and the bytes of its job file.

    With `spread`, jobs are equal as far as bytes allow; without, each is filled.
    """

    min_records: int
    max_records: int
    max_bytes: int
    spread: EvenSpread | None = None


@dataclass(frozen=True, slots=True)
class JobPlan:
    """The positions of the records in each job, and of the records set aside, which no job can hold.

    A record is set aside if its line is longer than a job file may be, or if too few records are left for a job.
    """

    jobs: tuple[tuple[int, ...], ...]
    set_aside: tuple[int, ...]


def job_limits(settings: Settings, records: int | None) -> JobLimits:
    """Return the limits of jobs that the settings ask for; only a run of a known number of `records` is spread."""
    least, most, size = settings.min_records_per_job, settings.max_records_per_job, settings.max_job_file_bytes
    if settings.batch_spread == "full" or records is None:
        return JobLimits(least, most, size)
    return JobLimits(least, most, size, EvenSpread(records, settings.max_concurrent_batch_jobs))


def expected_jobs(records: int, line_bytes: int, limits: JobLimits) -> int:
    """Return how many jobs records of one size need whose lines have `line_bytes` together."""
    least = max(ceil(records / limits.max_records), ceil(line_bytes / limits.max_bytes))
    spread = limits.spread
    return max(least, _even_jobs(records, limits, spread.slots, spread.slots)) if spread and records else least


def share_of(limits: JobLimits, index: int, begun: int) -> int:
    """Return the most records of job `index`, if the jobs before it take the first `begun` records of the run.

    An even share depends on nothing else, so a start that continues a run makes the jobs that the first would have
    made.
    """
    spread = limits.spread
    left = spread.records - begun if spread else 0
    if spread is None or left <= 0:
        return limits.max_records
    jobs = _even_jobs(left, limits, spread.slots, spread.slots - index % spread.slots)
    return max(limits.min_records, min(limits.max_records, ceil(left / jobs)))


def _even_jobs(left: int, limits: JobLimits, slots: int, free: int) -> int:
    """Return how many jobs share the records that are left: those that fill the `free` slots.

    If these are too few, all slots are filled once more, as often as it takes. No job falls below the minimum.
    """
    rounds = ceil(max(0, left - free * limits.max_records) / (slots * limits.max_records))
    return max(1, min(free + rounds * slots, left // limits.min_records))


def plan_jobs(sizes: Sequence[int], limits: JobLimits) -> JobPlan:
    """Return jobs that keep every limit, for records of the given sizes in bytes of their lines.

    Jobs are filled in order, each up to its share. A rest below the minimum is balanced with the job before it.
    """
    fitting = [position for position, size in enumerate(sizes) if size <= limits.max_bytes]
    set_aside = [position for position, size in enumerate(sizes) if size > limits.max_bytes]
    window = [sizes[position] for position in fitting]
    jobs: list[tuple[int, ...]] = []
    start = index = 0
    while start < len(window):
        share = share_of(limits, index, fitting[start] if start else 0)
        count = next_job(window, limits, final=True, start=start, share=share)
        positions = tuple(fitting[start : start + count])
        if count >= limits.min_records:
            jobs.append(positions)
        else:
            set_aside.extend(positions)
        start += count
        index += 1  # records that are set aside together have a number among the jobs, too
    return JobPlan(tuple(jobs), tuple(sorted(set_aside)))


def next_job(sizes: Sequence[int], limits: JobLimits, *, final: bool, start: int = 0, share: int | None = None) -> int:
    """Return how many records from `start` on make the next job, or 0 if that depends on records still to come.

    `final` says that no more records will come. Every size is at most `limits.max_bytes`. The job has at most `share`
    records, unless the rest after it would be below the minimum. A count below the minimum means that no job can hold
    these records.
    """
    count = len(sizes) - start
    most = limits.max_records if share is None else share
    full = _longest_prefix(sizes, limits, start, most)
    if full == count:
        return count if final else 0
    rest = count - full
    if rest >= limits.min_records:
        return full
    if not final:
        return 0
    if most < limits.max_records:
        return next_job(sizes, limits, final=True, start=start)
    return _balanced_cut(sizes, limits, start, full)


def _longest_prefix(sizes: Sequence[int], limits: JobLimits, start: int, most: int) -> int:
    total = count = 0
    for size in islice(sizes, start, start + most):
        total += size
        if total > limits.max_bytes:
            break
        count += 1
    return count


def _balanced_cut(sizes: Sequence[int], limits: JobLimits, start: int, full: int) -> int:
    """Return where to split a rest for two jobs, near the middle, so that neither is below the minimum.

    If records are too large for such a split, the first job is filled.
    """
    count = len(sizes) - start
    last = _longest_prefix(sizes[: start - 1 : -1] if start else sizes[::-1], limits, 0, limits.max_records)
    lowest = max(limits.min_records, count - last)
    highest = min(full, count - limits.min_records)
    return max(lowest, min(highest, (count + 1) // 2)) if lowest <= highest else full
