"""Job files on disk: records become JSONL lines, and jobs are cut from them as they come."""

from __future__ import annotations

import hashlib
import json
import zlib
from array import array
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from bedrock_batch.jsonl import JobLimits, next_job
from bedrock_batch.model_input import ModelInput, prompt_of
from bedrock_batch.records import RECORD_ID_WIDTH, ModelInvocationRecord, record_number
from bedrock_batch.text import digest


@dataclass(slots=True)
class StagedJob:
    """The input file of one job, on disk.

    `start` and `stop` bound the rows that the job answers for; `numbers` are the rows in its file and `left_out` the
    rows between that no job can hold. `checks[i]` is the CRC-32 of the prompt of `numbers[i]`, to compare the echo
    with. A job without `numbers` is not sent at all. `aside` are files with the lines of records that are left out.
    A record whose line is longer than `max_bytes` is one of those left out.
    `content_digest` stands for the file's content: its rows, their prompts by their checks, and the body around them.
    """

    index: int
    start: int
    stop: int
    path: Path
    numbers: array[int]
    checks: array[int]
    left_out: array[int] = field(default_factory=lambda: array("q"))
    size: int = 0
    max_bytes: int = 0
    content_digest: str = ""
    aside: list[Path] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EarlierCut:
    """Where an earlier start ended a job, and under which limit of bytes; None where that was not kept."""

    stop: int
    max_bytes: int | None


_ID_START = len('{"recordId":"')
_ID_STOP = _ID_START + RECORD_ID_WIDTH + 1


def prompt_check(prompt: str) -> int:
    """Return the CRC-32 of a prompt: enough to notice an answer that stands under another record's id."""
    return zlib.crc32(prompt.encode("utf-8", "surrogatepass"))


def stage_jobs(
    records: Iterable[ModelInvocationRecord],
    model_input: ModelInput,
    limits: JobLimits,
    folder: Path,
    earlier_cuts: Sequence[EarlierCut] = (),
) -> Iterator[StagedJob]:
    """Yield the jobs of a run in row order, each as soon as its file on disk is complete.

    Only the file being written is open, and its lines are held in memory nowhere else. The jobs together cover every
    row exactly once. `earlier_cuts` are those of the first jobs as an earlier start made them: they are made again,
    whatever the limits are now.
    """
    spool = _Spool(folder, limits, digest(f"{model_input.head}\n{model_input.tail}", 64))
    write_line = model_input.line_writer()
    cuts = deque(earlier_cuts)
    spool.limit_bytes(cuts)
    try:
        for record in records:
            if cuts and record.number == cuts[0].stop:
                cuts.popleft()
                yield spool.cut_all()
                spool.limit_bytes(cuts)
            line = write_line(record.record_id, record.prompt)
            spool.append(record.number, line, prompt_check(record.prompt))
            while not cuts and spool.may_be_full and (job := spool.cut(final=False)):
                yield job
        if cuts and not spool.empty:
            yield spool.cut_all()
        while not spool.empty and (job := spool.cut(final=True)):
            yield job
    finally:
        spool.close()


def read_records(job: StagedJob, numbers: Collection[int]) -> Iterator[ModelInvocationRecord]:
    """Yield the records of some rows of a job, read back from its files."""
    wanted = set(numbers)
    own = wanted.intersection(job.left_out)
    for path in job.aside if own else ():
        yield from _records_in(path, own)
    yield from _records_in(job.path, wanted)


def _records_in(path: Path, wanted: set[int]) -> Iterator[ModelInvocationRecord]:
    with path.open("rb") as file:
        for line in file:
            # Our own lines begin with the record id at a fixed place, so that the others need not be parsed.
            number = record_number(line[_ID_START:_ID_STOP].decode("ascii", "replace"))
            if number in wanted and (prompt := prompt_of(json.loads(line)["modelInput"])) is not None:
                yield ModelInvocationRecord(number, prompt)


class _Spool:
    """The job file being written and what is known of its lines.

    The file holds the lines of the next job and those looked ahead to, which move to the following file at a cut.
    """

    def __init__(self, folder: Path, limits: JobLimits, body_digest: str) -> None:
        self._body_digest = body_digest
        self._folder = folder
        self._limits = limits
        self._max_bytes = limits.max_bytes
        self._index = 0
        self._start = 0
        self._next_number = 0
        self._numbers = array("q")
        self._checks = array("I")
        self._sizes = array("q")
        self._total = 0
        self._left_out = array("q")
        self._open(0)

    @property
    def empty(self) -> bool:
        return self._start == self._next_number

    @property
    def may_be_full(self) -> bool:
        limits = self._limits
        return len(self._sizes) >= limits.max_records + limits.min_records or self._total > limits.max_bytes

    def close(self) -> None:
        """Remove the file that was opened for a next job which never came."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def limit_bytes(self, cuts: Sequence[EarlierCut]) -> None:
        """Leave the next records out by the limit under which their job was cut before, else by the present one."""
        self._max_bytes = (cuts[0].max_bytes if cuts else None) or self._limits.max_bytes

    def append(self, number: int, line: bytes, check: int) -> None:
        self._next_number = number + 1
        if len(line) > self._max_bytes:
            self._left_out.append(number)
            self._write_aside(number, line)
            return
        self._file.write(line)
        self._numbers.append(number)
        self._checks.append(check)
        self._sizes.append(len(line))
        self._total += len(line)

    def _write_aside(self, number: int, line: bytes) -> None:
        """Keep the line of a record that is too large for any job: it is asked in real time."""
        (self._folder / f"record-{number:010d}.jsonl").write_bytes(line)

    def cut(self, *, final: bool) -> StagedJob | None:
        """Return the next job, its lines taken out of the spool, or None while that depends on records to come."""
        count = next_job(self._sizes, self._limits, final=final)
        if count == 0 and not final:
            return None
        job = self._cut_after(count)
        return job if count >= self._limits.min_records else leave_all_out(job)

    def cut_all(self) -> StagedJob:
        """Return everything in the spool as one job."""
        return self._cut_after(len(self._numbers))

    def _cut_after(self, count: int) -> StagedJob:
        size = sum(self._sizes[:count])
        stop = int(self._numbers[count]) if count < len(self._numbers) else self._next_number
        path = self._split_file(size)
        left_out = array("q", (number for number in self._left_out if number < stop))
        job = StagedJob(self._index, self._start, stop, path, self._numbers[:count], self._checks[:count])
        job.left_out, job.size, job.max_bytes = left_out, size, self._max_bytes
        job.content_digest = self._digest_of(job)
        job.aside = [self._folder / f"record-{number:010d}.jsonl" for number in left_out]
        self._forget(count, size, stop)
        self._index += 1
        return job

    def _digest_of(self, job: StagedJob) -> str:
        whole = hashlib.sha256(self._body_digest.encode("ascii"))
        for values in (job.numbers, job.checks):
            whole.update(values.tobytes())
        return whole.hexdigest()

    def _forget(self, count: int, size: int, stop: int) -> None:
        del self._numbers[:count], self._checks[:count], self._sizes[:count]
        self._left_out = array("q", (number for number in self._left_out if number >= stop))
        self._total -= size
        self._start = stop

    def _open(self, index: int, beginning: bytes = b"") -> None:
        self._path = self._folder / f"job-{index:05d}.jsonl"
        self._file: BinaryIO = self._path.open("w+b", buffering=1 << 20)
        self._file.write(beginning)

    def _split_file(self, size: int) -> Path:
        """Cut the open file after `size` bytes, open the next with the rest, and return the first."""
        path, file = self._path, self._file
        file.flush()
        file.seek(size)
        rest = file.read()
        file.truncate(size)
        file.close()
        self._open(self._index + 1, rest)
        return path


def leave_all_out(job: StagedJob) -> StagedJob:
    """Return the job with all of its records left out: they are fewer than the minimum that AWS accepts."""
    job.left_out = array("q", sorted([*job.numbers, *job.left_out]))
    job.numbers, job.checks, job.size = array("q"), array("I"), 0
    return job
