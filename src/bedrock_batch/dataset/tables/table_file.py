"""The interface of a data file, independent of its format."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bedrock_batch.dataset.tables.file_identity import UnchangedFile
from bedrock_batch.dataset.tables.formats import FileFormat
from bedrock_batch.errors import InputError

DEFAULT_BATCH_ROWS = 8192


class TableFile(ABC):
    """One data file: its columns, the number of its rows, and the rows in batches.

    `unchanged` detects changes of the file; it must be made before the first byte is read.
    """

    def __init__(self, path: Path, file_format: FileFormat, schema: pa.Schema, unchanged: UnchangedFile) -> None:
        self.path = path
        self.unchanged = unchanged
        self.format = file_format
        self.schema = schema
        self._count: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns in order; a name may repeat."""
        return tuple(self.schema.names)

    @property
    def selection(self) -> tuple[int | str, ...]:
        """What tells these rows of the file from others; empty for all rows."""
        return ()

    def row_numbers(self, start: int, stop: int) -> Sequence[int]:
        """Return the numbers in the file, from 1, of the rows from `start` to `stop`."""
        return range(start + 1, stop + 1)

    def count_rows(self) -> int:
        """Return the number of rows; the first call reads and checks all of them.

        The check finds a damaged row before anything is paid for, and takes about 0.3 s of CPU time for 100 MB of CSV.
        A count that does not convert the cells would save only a fifth of it. Raise InputError that names the file and,
        if it is known, the row.
        """
        if self._count is None:
            self._count = sum(batch.num_rows for batch in self._held(self._checked_batches()))
        return self._count

    def batches(self, max_rows: int = DEFAULT_BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, in batches of 1 to `max_rows` rows with the schema of the file.

        Raise InputChangedError if the file has changed since it was opened, before any changed rows are yielded.
        """
        return self._held(self._batches(max_rows))

    def _held(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield batches as long as the file stays the same; if it changed, report that instead of damage."""
        self.unchanged.check()
        try:
            for batch in batches:
                self.unchanged.check()
                yield batch
        except InputError:
            self.unchanged.check_content()
            raise
        self.unchanged.check()

    @abstractmethod
    def _batches(self, max_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, in batches of 1 to `max_rows` rows with the schema of the file."""

    @abstractmethod
    def _checked_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, with every check that the format needs."""


class TablePart(TableFile):
    """Consecutive rows of a data file, all of which was counted and therefore checked."""

    def __init__(self, whole: TableFile, start: int, stop: int) -> None:
        super().__init__(whole.path, whole.format, whole.schema, whole.unchanged)
        self._start, self._stop = start, stop
        self._whole = whole
        self._count = stop - start

    @property
    def selection(self) -> tuple[int | str, ...]:
        return (*self._whole.selection, self._start, self._stop)

    def row_numbers(self, start: int, stop: int) -> Sequence[int]:
        return self._whole.row_numbers(self._start + start, self._start + stop)

    def _batches(self, max_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the part, without reading the file further than needed."""
        start, stop = self._start, self._stop
        position = 0
        for batch in self._whole.batches(max_rows) if start < stop else ():
            low, high = max(start - position, 0), min(stop - position, batch.num_rows)
            if low < high:
                yield batch.slice(low, high - low)
            position += batch.num_rows
            if position >= stop:
                return

    def _checked_batches(self) -> Iterator[pa.RecordBatch]:
        return self._batches(DEFAULT_BATCH_ROWS)


class TablePick(TableFile):
    """Some rows of a data file, all of which was counted and therefore checked.

    `rows` are their positions among the rows of `whole`, from 0, in ascending order.
    """

    def __init__(self, whole: TableFile, rows: npt.NDArray[np.int64]) -> None:
        super().__init__(whole.path, whole.format, whole.schema, whole.unchanged)
        self._whole = whole
        self._rows = rows
        self._count = len(rows)

    @property
    def selection(self) -> tuple[int | str, ...]:
        picked = hashlib.sha256(self._rows.astype("<i8").tobytes()).hexdigest()[:32]
        return (*self._whole.selection, picked)

    def row_numbers(self, start: int, stop: int) -> Sequence[int]:
        return [self._whole.row_numbers(row, row + 1)[0] for row in self._rows[start:stop].tolist()]

    def _batches(self, max_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the picked rows, without reading the file further than needed; other rows are never kept."""
        position = taken = 0
        for batch in self._whole.batches(max_rows) if len(self._rows) else ():
            end = taken + int(np.searchsorted(self._rows[taken:], position + batch.num_rows))
            if taken < end:
                yield _pick(batch, (self._rows[taken:end] - position).tolist())
            position, taken = position + batch.num_rows, end
            if taken == len(self._rows):
                return

    def _checked_batches(self) -> Iterator[pa.RecordBatch]:
        return self._batches(DEFAULT_BATCH_ROWS)


def _pick(batch: pa.RecordBatch, rows: Sequence[int]) -> pa.RecordBatch:
    """Return some rows of a batch as a batch of their own, of any type of column."""
    table = pa.Table.from_batches([batch.slice(row, 1) for row in rows], batch.schema).combine_chunks()
    columns = [column.chunk(0) for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
