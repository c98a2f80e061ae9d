"""Sources of rows that can be read several times, always in the same order, and that have a digest."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import pyarrow as pa

from bedrock_batch.prompts.template import text_column

BATCH_ROWS = 8192


class RowSource(Protocol):
    """Rows that can be read several times, always in the same order."""

    @property
    def count(self) -> int: ...

    def fingerprint(self) -> str:
        """Return a digest of all rows and their order."""
        ...

    def batches(self) -> Iterator[pa.RecordBatch]: ...


class TableSource:
    """The rows of a table in memory."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    @property
    def count(self) -> int:
        return int(self._table.num_rows)

    def fingerprint(self) -> str:
        sink = _HashingSink()
        with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), self._table.schema) as writer:
            writer.write_table(self._table.combine_chunks())
        return sink.hash.hexdigest()[:32]

    def batches(self) -> Iterator[pa.RecordBatch]:
        yield from self._table.to_batches(max_chunksize=BATCH_ROWS)


class _HashingSink(io.RawIOBase):
    """A file object that hashes what is written to it and stores nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.hash = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.hash.update(data)
        return len(data)


def text_columns(batch: pa.RecordBatch, names: Iterable[str]) -> dict[str, list[str | None]]:
    """Return the named columns as text; if a name repeats, the first column with it counts."""
    # Not by pyarrow's lookup, which raises an error for a name with half of a surrogate pair.
    positions = {name: index for index, name in reversed([*enumerate(batch.schema.names)])}
    return {name: text_column(batch.column(positions[name])) for name in names if name in positions}
