"""The plan of jobs: which records share a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice


@dataclass(frozen=True, slots=True)
class JobLimits:
    """The limits of one job: the least and the most records, and the bytes of its job file."""

    min_records: int
    max_records: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class JobPlan:
    """The positions of the records in each job, and of the records set aside, which no job can hold.

    A record is set aside if its line is longer than a job file may be, or if too few records are left for a job.
    """

    jobs: tuple[tuple[int, ...], ...]
    set_aside: tuple[int, ...]


def plan_jobs(sizes: Sequence[int], limits: JobLimits) -> JobPlan:
    """Return jobs that keep every limit, for records of the given sizes in bytes of their lines.

    Jobs are filled in order. A rest below the minimum is balanced with the job before it.
    """
    fitting = [position for position, size in enumerate(sizes) if size <= limits.max_bytes]
    set_aside = [position for position, size in enumerate(sizes) if size > limits.max_bytes]
    window = [sizes[position] for position in fitting]
    jobs: list[tuple[int, ...]] = []
    start = 0
    while start < len(window):
        count = next_job(window, limits, final=True, start=start)
        positions = tuple(fitting[start : start + count])
        if count >= limits.min_records:
            jobs.append(positions)
        else:
            set_aside.extend(positions)
        start += count
    return JobPlan(tuple(jobs), tuple(sorted(set_aside)))


def next_job(sizes: Sequence[int], limits: JobLimits, *, final: bool, start: int = 0) -> int:
    """Return how many records from `start` on make the next job, or 0 if that depends on records still to come.

    `final` says that no more records will come. Every size is at most `limits.max_bytes`. A count below the minimum
    means that no job can hold these records.
    """
    count = len(sizes) - start
    full = _longest_prefix(sizes, limits, start)
    if full == count:
        return count if final else 0
    rest = count - full
    if rest >= limits.min_records:
        return full
    return _balanced_cut(sizes, limits, start, full) if final else 0


def _longest_prefix(sizes: Sequence[int], limits: JobLimits, start: int) -> int:
    total = count = 0
    for size in islice(sizes, start, start + limits.max_records):
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
    last = _longest_prefix(sizes[: start - 1 : -1] if start else sizes[::-1], limits, 0)
    lowest = max(limits.min_records, count - last)
    highest = min(full, count - limits.min_records)
    return max(lowest, min(highest, (count + 1) // 2)) if lowest <= highest else full
