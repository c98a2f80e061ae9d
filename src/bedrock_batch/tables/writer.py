"""Writing tables: streamed, and under their final name only when they are complete."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from bedrock_batch.tables.cells import render_lines
from bedrock_batch.tables.formats import DELIMITERS, FileFormat

RENDER_BYTES = 16 << 20
ROW_GROUP_BYTES = 64 << 20
ROW_GROUP_ROWS = 1 << 17


class TableWriter:
    """Writes batches of one schema to a file that appears, complete, when the `with` block ends without an error.

    Until then the rows are in a hidden file of the same folder, which an error removes.
    """

    def __init__(self, path: str | Path, file_format: FileFormat, schema: pa.Schema) -> None:
        self.path = Path(path)
        self.schema = schema
        self.rows = 0
        self._format = file_format
        self._part = self.path.with_name(f".{self.path.name}.part")

    def __enter__(self) -> TableWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("wb")
        try:
            self._sink = _open_sink(self._file, self._format, self.schema)
        except BaseException:
            self._remove_part()
            raise
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Append the rows of a batch; raises TypeError unless its columns have the types of the schema, by position."""
        if batch.schema.types != self.schema.types:
            raise TypeError(f"{self.path}: the batch has the types {batch.schema.types}, not {self.schema.types}")
        if batch.num_rows:
            self._sink.write(pa.RecordBatch.from_arrays(batch.columns, schema=self.schema))
            self.rows += batch.num_rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._sink.close()
            if kind is None:
                self._publish()
        finally:
            self._remove_part()

    def _publish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        os.replace(self._part, self.path)

    def _remove_part(self) -> None:
        try:
            self._file.close()  # on a full disk it fails again
        finally:
            self._part.unlink(missing_ok=True)


class _Sink(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


def _open_sink(file: BinaryIO, file_format: FileFormat, schema: pa.Schema) -> _Sink:
    if file_format == "parquet":
        return _ParquetSink(file, schema)
    return _DelimitedSink(file, schema, DELIMITERS[file_format])


class _DelimitedSink:
    def __init__(self, file: BinaryIO, schema: pa.Schema, delimiter: str) -> None:
        self._file = file
        self._delimiter = delimiter
        file.write(render_header(schema.names, delimiter))

    def write(self, batch: pa.RecordBatch) -> None:
        rows = max(1, batch.num_rows * RENDER_BYTES // max(batch.nbytes, RENDER_BYTES))
        for start in range(0, batch.num_rows, rows):
            self._file.write(text_bytes(render_lines(batch.slice(start, rows).columns, self._delimiter)))

    def close(self) -> None:
        """Nothing is held back."""


class _ParquetSink:
    """Gathers batches into row groups of a useful size."""

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._schema = schema
        # Snappy is what every reader of Parquet knows, and the default of pandas and of Spark.
        self._writer = pq.ParquetWriter(file, schema, compression="snappy")
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._bytes += batch.nbytes
        self._rows += batch.num_rows
        if self._bytes >= ROW_GROUP_BYTES or self._rows >= ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._batches, schema=self._schema)
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._batches, self._bytes, self._rows = [], 0, 0

    def close(self) -> None:
        if self._batches:
            self._flush()
        self._writer.close()


def render_header(names: list[str], delimiter: str) -> bytes:
    """Return the first line. A name that begins with U+FEFF is quoted, or it would be read as a byte order mark."""
    if names == [""]:
        return b'""\n'
    special = {'"', delimiter, "\r", "\n"}
    cells = [
        '"' + name.replace('"', '""') + '"' if special & set(name) or name[:1] == "\ufeff" else name for name in names
    ]
    return (delimiter.join(cells) + "\n").encode()


def text_bytes(lines: pa.Array) -> memoryview:
    """Return the text of an array without nulls, end to end, without copying it."""
    offsets = memoryview(lines.buffers()[1]).cast("q")
    start, stop = offsets[lines.offset], offsets[lines.offset + len(lines)]
    data = lines.buffers()[2]
    return memoryview(data)[start:stop] if data is not None else memoryview(b"")
