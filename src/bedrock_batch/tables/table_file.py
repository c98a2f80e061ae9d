"""What a data file is, whatever its format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from bedrock_batch.tables.formats import FileFormat

DEFAULT_BATCH_ROWS = 8192


class TableFile(ABC):
    """One data file: its columns, the number of its rows, and the rows in batches.

    `part` says which rows of the file these are, the first included and the last not; None means all of it.
    """

    def __init__(self, path: Path, file_format: FileFormat, schema: pa.Schema) -> None:
        self.path = path
        self.format = file_format
        self.schema = schema
        self.part: tuple[int, int] | None = None
        self._count: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns by position; a name may occur more than once."""
        return tuple(self.schema.names)

    def count_rows(self) -> int:
        """Return the number of rows, having read and checked every one of them the first time.

        Raises InputError that names the file and, where it is known, the row.
        """
        if self._count is None:
            self._count = sum(batch.num_rows for batch in self._checked_batches())
        return self._count

    @abstractmethod
    def batches(self, max_rows: int = DEFAULT_BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, in batches of 1 to `max_rows` rows that have the schema of the file."""

    @abstractmethod
    def _checked_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows as `batches` does, checked as thoroughly as the format needs."""


class TablePart(TableFile):
    """Consecutive rows of a data file that was counted, and so checked, as a whole."""

    def __init__(self, whole: TableFile, start: int, stop: int) -> None:
        super().__init__(whole.path, whole.format, whole.schema)
        self.part = (start, stop)
        self._whole = whole
        self._count = stop - start

    def batches(self, max_rows: int = DEFAULT_BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the part; the file is read no further than they reach."""
        start, stop = self.part or (0, 0)
        position = 0
        for batch in self._whole.batches(max_rows) if start < stop else ():
            low, high = max(start - position, 0), min(stop - position, batch.num_rows)
            if low < high:
                yield batch.slice(low, high - low)
            position += batch.num_rows
            if position >= stop:
                return

    def _checked_batches(self) -> Iterator[pa.RecordBatch]:
        return self.batches()
