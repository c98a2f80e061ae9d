"""Job files on disk: records become JSONL lines, which are split into files as they come."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from bedrock_batch.batch.job_files.plan import JobLimits, next_job, share_of
from bedrock_batch.environment.private_files import private_opener
from bedrock_batch.models.model_input import ModelInput, prompt_of
from bedrock_batch.records import RECORD_ID_WIDTH, Record, prompt_check, record_number
from bedrock_batch.text import digest


@dataclass(slots=True)
class JobFile:
    """The input file of one job, on disk.

    The job covers the rows from `start` to `stop`. `numbers` are the rows in its file; `set_aside` are the rows between
    them that no job can hold, for example because their line is longer than `max_bytes`, and `set_aside_paths` the
    files with their lines. `checks[i]` is the CRC-32 of the prompt of `numbers[i]`, to compare with the echo in the
    result. `content_digest` is a digest of the rows, the checks of their prompts, and the body around them. A job
    without `numbers` is not sent.
    """

    index: int
    start: int
    stop: int
    path: Path
    numbers: array[int]
    checks: array[int]
    set_aside: array[int] = field(default_factory=lambda: array("q"))
    size: int = 0
    max_bytes: int = 0
    content_digest: str = ""
    set_aside_paths: list[Path] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EarlierSplit:
    """Where an earlier start ended a job, and its limit of bytes, None if the ledger does not hold it."""

    stop: int
    max_bytes: int | None


_ID_START = len('{"recordId":"')
_ID_STOP = _ID_START + RECORD_ID_WIDTH + 1


def write_job_files(
    records: Iterable[Record],
    model_input: ModelInput,
    limits: JobLimits,
    folder: Path,
    earlier_splits: Sequence[EarlierSplit] = (),
) -> Generator[JobFile, None, None]:
    """Yield the job files of a run in row order, each as soon as it is complete.

    Together they cover every row exactly once. Memory holds one line at a time. The first files are split where an
    earlier start split them (`earlier_splits`), whatever the limits are now.
    """
    writer = _JobFileWriter(folder, limits, digest(f"{model_input.head}\n{model_input.tail}", 64))
    write_line = model_input.line_writer()
    splits = deque(earlier_splits)
    writer.limit_bytes(splits)
    try:
        for record in records:
            if splits and record.number >= splits[0].stop:
                splits.popleft()
                yield writer.split_all()
                writer.limit_bytes(splits)
            line = write_line(record.record_id, record.prompt)
            writer.append(record.number, line, prompt_check(record.prompt))
            while not splits and writer.may_be_full and (job := writer.split(final=False)):
                yield job
        if splits and not writer.empty:
            yield writer.split_all()
        while not writer.empty and (job := writer.split(final=True)):
            yield job
    finally:
        writer.close()


def read_records(job: JobFile, numbers: Collection[int]) -> Iterator[Record]:
    """Yield the records of some rows of a job, read from its files."""
    wanted = set(numbers)
    own = wanted.intersection(job.set_aside)
    for path in job.set_aside_paths if own else ():
        yield from _records_in(path, own)
    yield from _records_in(job.path, wanted)


def _records_in(path: Path, wanted: set[int]) -> Iterator[Record]:
    with path.open("rb") as file:
        for line in file:
            # The record id is at a fixed place in our lines, so only wanted lines are parsed.
            number = record_number(line[_ID_START:_ID_STOP].decode("ascii", "replace"))
            if number in wanted and (prompt := prompt_of(json.loads(line)["modelInput"])) is not None:
                yield Record(number, prompt)


class _JobFileWriter:
    """Writes the current job file and splits it when a job is full.

    The file also holds lines that may belong to the following job; a split moves them to the next file.
    """

    def __init__(self, folder: Path, limits: JobLimits, body_digest: str) -> None:
        self._body_digest = body_digest
        self._folder = folder
        self._limits = limits
        self._max_bytes = limits.max_bytes
        self._index = 0
        self._start = 0
        self._share = share_of(limits, 0, 0)
        self._next_number = 0
        self._numbers = array("q")
        self._checks = array("I")
        self._sizes = array("q")
        self._total = 0
        self._set_aside = array("q")
        self._open(0)

    @property
    def empty(self) -> bool:
        return self._start == self._next_number

    @property
    def may_be_full(self) -> bool:
        limits = self._limits
        return len(self._sizes) >= self._share + limits.min_records or self._total > limits.max_bytes

    def close(self) -> None:
        """Remove the file that was opened for a further job, which did not come."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def limit_bytes(self, splits: Sequence[EarlierSplit]) -> None:
        """Set the limit of bytes for the next records: that of an earlier start, or else the present one."""
        self._max_bytes = (splits[0].max_bytes if splits else None) or self._limits.max_bytes

    def append(self, number: int, line: bytes, check: int) -> None:
        self._next_number = number + 1
        if len(line) > self._max_bytes:
            self._set_aside.append(number)
            self._write_aside(number, line)
            return
        self._file.write(line)
        self._numbers.append(number)
        self._checks.append(check)
        self._sizes.append(len(line))
        self._total += len(line)

    def _write_aside(self, number: int, line: bytes) -> None:
        """Write the line of a record that is too large for any job; it will be asked in real time."""
        with open(self._folder / f"record-{number:010d}.jsonl", "wb", opener=private_opener) as file:
            file.write(line)

    def split(self, *, final: bool) -> JobFile | None:
        """Return the next job file, or None if its end depends on records still to come."""
        count = next_job(self._sizes, self._limits, final=final, share=self._share)
        if count == 0 and not final:
            return None
        job = self._split_after(count)
        return job if count >= self._limits.min_records else set_all_aside(job)

    def split_all(self) -> JobFile:
        """Return all waiting lines as one job file."""
        return self._split_after(len(self._numbers))

    def _split_after(self, count: int) -> JobFile:
        size = sum(self._sizes[:count])
        stop = int(self._numbers[count]) if count < len(self._numbers) else self._next_number
        path = self._split_file(size)
        set_aside = array("q", (number for number in self._set_aside if number < stop))
        job = JobFile(self._index, self._start, stop, path, self._numbers[:count], self._checks[:count])
        job.set_aside, job.size, job.max_bytes = set_aside, size, self._max_bytes
        job.content_digest = self._digest_of(job)
        job.set_aside_paths = [self._folder / f"record-{number:010d}.jsonl" for number in set_aside]
        self._forget(count, size, stop)
        self._index += 1
        self._share = share_of(self._limits, self._index, stop)
        return job

    def _digest_of(self, job: JobFile) -> str:
        whole = hashlib.sha256(self._body_digest.encode("ascii"))
        for values in (job.numbers, job.checks):
            whole.update(values.tobytes())
        return whole.hexdigest()

    def _forget(self, count: int, size: int, stop: int) -> None:
        del self._numbers[:count], self._checks[:count], self._sizes[:count]
        self._set_aside = array("q", (number for number in self._set_aside if number >= stop))
        self._total -= size
        self._start = stop

    def _open(self, index: int, beginning: bytes = b"") -> None:
        self._path = self._folder / f"job-{index:05d}.jsonl"
        self._file: BinaryIO = open(self._path, "w+b", buffering=1 << 20, opener=private_opener)  # noqa: SIM115 - closed by `close` or a split
        self._file.write(beginning)

    def _split_file(self, size: int) -> Path:
        """Split the open file after `size` bytes, open the next file with the rest, and return the first."""
        path, file = self._path, self._file
        file.flush()
        file.seek(size)
        rest = file.read()
        file.truncate(size)
        file.close()
        self._open(self._index + 1, rest)
        return path


def set_all_aside(job: JobFile) -> JobFile:
    """Return the job file with all records set aside, since they are fewer than the minimum that AWS accepts."""
    job.set_aside = array("q", sorted([*job.numbers, *job.set_aside]))
    job.numbers, job.checks, job.size = array("q"), array("I"), 0
    return job
