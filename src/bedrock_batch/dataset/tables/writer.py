"""Writing tables batch by batch; the file gets its final name only when it is complete."""

from __future__ import annotations

import gzip
import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from bedrock_batch.atomic_write import atomic_write
from bedrock_batch.dataset.tables.cells import render_lines
from bedrock_batch.dataset.tables.formats import DELIMITERS, FileFormat, is_gzipped

RENDER_BYTES = 16 << 20
ROW_GROUP_BYTES = 64 << 20
ROW_GROUP_ROWS = 1 << 17
GZIP_LEVEL = 6


class TableWriter:
    """Writes batches of one schema to a file that appears, complete, when the `with` block ends without an error.

    A path that ends in `.gz` is compressed with gzip.
    """

    def __init__(self, path: str | Path, file_format: FileFormat, schema: pa.Schema) -> None:
        self.path = Path(path)
        self.schema = schema
        self.rows = 0
        self._format = file_format
        self._stack = ExitStack()
        self._content = ExitStack()

    def __enter__(self) -> TableWriter:
        with ExitStack() as stack:
            self._file = stack.enter_context(atomic_write(self.path))
            self._content = stack.enter_context(ExitStack())
            file: BinaryIO | gzip.GzipFile = self._file
            if is_gzipped(self.path):  # without a name and a time: the same rows give the same bytes
                file = self._content.enter_context(gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0))
            self._sink = _open_sink(file, self._format, self.schema)
            self._content.callback(self._sink.close)
            self._stack = stack.pop_all()
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Append the rows of a batch; raise TypeError unless its columns have the types of the schema, by position."""
        if batch.schema.types != self.schema.types:
            raise TypeError(f"{self.path}: the batch has the types {batch.schema.types}, not {self.schema.types}")
        if batch.num_rows:
            self._sink.write(pa.RecordBatch.from_arrays(batch.columns, schema=self.schema))
            self.rows += batch.num_rows

    def finish(self) -> None:
        """Write everything to disk, so that the end of the `with` block only gives the file its name."""
        self._content.close()
        self._file.flush()
        os.fsync(self._file.fileno())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


class _Sink(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


def _open_sink(file: BinaryIO | gzip.GzipFile, file_format: FileFormat, schema: pa.Schema) -> _Sink:
    if file_format == "parquet":
        return _ParquetSink(file, schema)
    return _DelimitedSink(file, schema, DELIMITERS[file_format])


class _DelimitedSink:
    def __init__(self, file: BinaryIO | gzip.GzipFile, schema: pa.Schema, delimiter: str) -> None:
        self._file = file
        self._delimiter = delimiter
        file.write(render_header(schema.names, delimiter))

    def write(self, batch: pa.RecordBatch) -> None:
        rows = max(1, batch.num_rows * RENDER_BYTES // max(batch.nbytes, RENDER_BYTES))
        for start in range(0, batch.num_rows, rows):
            self._file.write(text_bytes(render_lines(batch.slice(start, rows).columns, self._delimiter)))

    def close(self) -> None:
        """Do nothing: every batch has been written."""


class _ParquetSink:
    """Collects batches into row groups of a useful size."""

    def __init__(self, file: BinaryIO | gzip.GzipFile, schema: pa.Schema) -> None:
        self._schema = schema
        # Every reader of Parquet supports Snappy, the default of pandas and Spark.
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
    """Return the header line; quote a name that begins with U+FEFF, which readers would take for a byte order mark."""
    if names == [""]:
        return b'""\n'
    special = {'"', delimiter, "\r", "\n"}
    cells = [
        '"' + name.replace('"', '""') + '"' if special & set(name) or name[:1] == "\ufeff" else name for name in names
    ]
    return (delimiter.join(cells) + "\n").encode()


def text_bytes(lines: pa.Array) -> memoryview:
    """Return the concatenated text of an array without nulls, without a copy."""
    offsets = memoryview(lines.buffers()[1]).cast("q")
    start, stop = offsets[lines.offset], offsets[lines.offset + len(lines)]
    data = lines.buffers()[2]
    return memoryview(data)[start:stop] if data is not None else memoryview(b"")
