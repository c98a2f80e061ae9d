"""Reading Parquet files in record batches with the schema that they store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bedrock_batch.dataset.tables.byte_source import unpack
from bedrock_batch.dataset.tables.file_identity import UnchangedFile
from bedrock_batch.dataset.tables.formats import is_gzipped
from bedrock_batch.dataset.tables.table_file import DEFAULT_BATCH_ROWS, TableFile
from bedrock_batch.errors import InputError
from bedrock_batch.text import shorten

BUFFER_BYTES = 1 << 20
BATCH_BYTES = 32 << 20
MAX_BATCH_ROWS = 4096
"""A second limit beside `BATCH_BYTES`: a dictionary of long values makes the size of a row group misleading."""


class ParquetTable(TableFile):
    """A Parquet file. Types, nullability, nested columns and metadata are those of the file."""

    def __init__(self, path: Path) -> None:
        unchanged = UnchangedFile(path)
        with _explained(path):
            self._source = unpack(path) if is_gzipped(path) else str(path)
        schema = self._open(path).schema_arrow
        if not schema.names:
            raise InputError(f"{path}: has no columns")
        super().__init__(path, "parquet", schema, unchanged)

    def _batches(self, max_rows: int) -> Iterator[pa.RecordBatch]:
        with _explained(self.path):
            file = self._open(self.path)
            for group in range(file.num_row_groups):
                rows = _batch_rows(file.metadata.row_group(group), max_rows)
                for batch in file.iter_batches(batch_size=rows, row_groups=[group]):
                    if batch.num_rows:
                        yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)

    def _checked_batches(self) -> Iterator[pa.RecordBatch]:
        row = 0
        for batch in self._batches(DEFAULT_BATCH_ROWS):
            self._check_text(batch, row)
            row += batch.num_rows
            yield batch

    def _check_text(self, batch: pa.RecordBatch, row: int) -> None:
        """Raise InputError for text that is not UTF-8, which Arrow does not check when it reads Parquet."""
        for name, column in zip(self.columns, batch.columns, strict=True):
            flaw = _find_flaw(column)
            if flaw is not None:
                raise InputError(
                    f"{self.path}: column {name!r}, row {row + flaw + 1}: the value is not valid (text that is not "
                    "UTF-8, or damaged data); write the file again"
                )

    def _open(self, path: Path) -> pq.ParquetFile:
        with _explained(path):
            # Without a buffer, each column of a row group would be read whole.
            return pq.ParquetFile(self._source, buffer_size=BUFFER_BYTES, pre_buffer=False)


def _batch_rows(group: pq.RowGroupMetaData, max_rows: int) -> int:
    row_bytes = group.total_byte_size / max(1, group.num_rows)
    return max(1, min(max_rows, MAX_BATCH_ROWS, int(BATCH_BYTES / max(1.0, row_bytes))))


def _find_flaw(column: pa.Array) -> int | None:
    """Return the index of the first value that is invalid for its type, or None."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        halves = (column.slice(0, len(column) // 2), column.slice(len(column) // 2))
        first = _find_flaw(halves[0]) if len(column) > 1 else 0
        return first if first is not None else len(halves[0]) + (_find_flaw(halves[1]) or 0)
    return None


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raise errors of Arrow and of the file system as an InputError that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({_reason(error)})") from None


def _reason(error: BaseException) -> str:
    return shorten(" ".join(str(error).split()), 200)
