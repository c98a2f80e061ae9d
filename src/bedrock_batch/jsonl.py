"""Batch files: which records share a job, and the lines that jobs read and write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic_core import from_json

from bedrock_batch.records import record_number


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What one model invocation job may hold: records at least and at most, and bytes of its input file."""

    min_records: int
    max_records: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class JobPlan:
    """Which records (their positions in the list of sizes) share a job, and which can be in none.

    `unbatchable` are records larger than a job's file, and a rest for which no job of the minimum size exists.
    """

    jobs: tuple[tuple[int, ...], ...]
    unbatchable: tuple[int, ...]


def plan_jobs(sizes: Sequence[int], limits: JobLimits) -> JobPlan:
    """Return jobs over records of the given sizes (bytes of their lines) that keep every limit exactly.

    Jobs are filled in order; a tail below the minimum is balanced with the job before it.
    """
    fitting = [position for position, size in enumerate(sizes) if size <= limits.max_bytes]
    unbatchable = [position for position, size in enumerate(sizes) if size > limits.max_bytes]
    window = [sizes[position] for position in fitting]
    jobs: list[tuple[int, ...]] = []
    start = 0
    while start < len(window):
        count = next_job(window, limits, final=True, start=start)
        positions = tuple(fitting[start : start + count])
        if count >= limits.min_records:
            jobs.append(positions)
        else:
            unbatchable.extend(positions)
        start += count
    return JobPlan(tuple(jobs), tuple(sorted(unbatchable)))


def next_job(sizes: Sequence[int], limits: JobLimits, *, final: bool, start: int = 0) -> int:
    """Return how many records from `start` on make the next job, or 0 while that depends on records still to come.

    `final` says that no more will come. Every size is at most `limits.max_bytes`. A count below the minimum means
    that these records can be in no job.
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
    """Return where to cut a rest that two jobs can hold so that neither is below the minimum, near the middle.

    Where no such cut exists (records so large that two jobs of the minimum size do not fit), the first job is filled.
    """
    count = len(sizes) - start
    last = _longest_prefix(sizes[: start - 1 : -1] if start else sizes[::-1], limits, 0)
    lowest = max(limits.min_records, count - last)
    highest = min(full, count - limits.min_records)
    return max(lowest, min(highest, (count + 1) // 2)) if lowest <= highest else full


@dataclass(slots=True)  # not frozen for speed: see `records`
class OutputLine:
    """One line of a result file: the answer, or the error in its place; `number` is None for an id not of ours."""

    number: int | None
    model_output: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    model_input: dict[str, Any] | None = None


def parse_output_line(line: bytes) -> OutputLine | None:
    """Return what a line of a result file says, or None when it is not a JSON object with a record id."""
    try:
        value = _load(line)
        number = record_number(value["recordId"])
        get = value.get
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    output, error, echo = get("modelOutput"), get("error"), get("modelInput")
    return OutputLine(
        number,
        output if output.__class__ is dict else None,
        error if error.__class__ is dict else None,
        echo if echo.__class__ is dict else None,
    )


def _load(line: bytes) -> Any:
    try:
        return from_json(line)
    except ValueError:
        # The strict parser refuses lone surrogates, which models do write; the standard library takes them.
        return json.loads(line)
