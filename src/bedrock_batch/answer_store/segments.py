"""Segments of the answer store: immutable Parquet files that are named by their content."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bedrock_batch.answer_store.place import Place
from bedrock_batch.answer_store.questions import DIGEST, DIGEST_BYTES, Digests
from bedrock_batch.errors import RunError
from bedrock_batch.text import shorten

SCHEMA_VERSION = 1
SUFFIX = ".parquet"
MERGED = "merged-"
NAME = re.compile(rf"(?:{MERGED})?[0-9a-f]{{32}}\.parquet")
# pyarrow 14 has no checksums of pages: it reads a segment as a whole and compares the content with its name.
PAGE_CHECKSUMS = "page_checksum_verification" in inspect.signature(pq.ParquetFile.__init__).parameters
_ROWS_IN_GROUP = 8192
_VERSION_KEY = b"bedrock_batch.answer_store"
_MERGED_KEY = b"bedrock_batch.answer_store.merged"

SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("question", pa.binary(DIGEST_BYTES), nullable=False),
        pa.field("answered_at", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("body", pa.binary(), nullable=False),
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("prefilled", pa.bool_(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("stop_reason", pa.string()),
        pa.field("input_tokens", pa.int64()),
        pa.field("output_tokens", pa.int64()),
        pa.field("run_id", pa.string(), nullable=False),
    ]
)
"""The columns of a segment, sorted by question. `body` is the JSON text of the model's answer."""
VALUES = list(SCHEMA)[1:-1]
"""The fields between `question` and `run_id`."""


def encode_body(body: Mapping[str, Any]) -> bytes:
    """Return the response of a model as the column `body` holds it; ValueError or RecursionError if JSON cannot."""
    return json.dumps(body, separators=(",", ":")).encode("ascii")


def answer_table(questions: Digests, values: Sequence[Sequence[Any] | pa.Array], run_id: str) -> pa.Table:
    """Return the answers of a run as rows of `SCHEMA`, sorted by question.

    `values` are the columns between `question` and `run_id`, in any order of rows; times are milliseconds since 1970,
    those at which an answer came or its job ended.
    """
    order = np.lexsort((questions["low"], questions["high"]))
    digests = pa.py_buffer(np.ascontiguousarray(questions[order]))
    columns = [pa.Array.from_buffers(SCHEMA.field("question").type, len(order), [None, digests])]
    positions = pa.array(order)
    columns += [_as_array(each, field.type).take(positions) for each, field in zip(values, VALUES, strict=True)]
    columns.append(pa.repeat(pa.scalar(run_id, pa.string()), len(order)))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _as_array(values: Sequence[Any] | pa.Array, kind: pa.DataType) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values, kind)


def encode_segment(table: pa.Table, merged: Collection[str] = ()) -> tuple[str, bytes]:
    """Return the name and the bytes of the segment that holds the rows of a table, which are sorted by question.

    `merged` names the segments whose answers are all in this one, or newer ones to the same questions.
    """
    metadata = {_VERSION_KEY: str(SCHEMA_VERSION).encode()}
    if merged:
        metadata[_MERGED_KEY] = json.dumps(sorted(merged)).encode("ascii")
    table = table.replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=_ROWS_IN_GROUP,
        # Small segments are read once, by the start that merges them.
        compression="zstd" if merged else "lz4",
        write_statistics=["question"],
        use_dictionary=["model_id", "source", "stop_reason", "run_id"],
        **({"write_page_checksum": True} if PAGE_CHECKSUMS else {}),
    )
    data = sink.getvalue().to_pybytes()
    return f"{MERGED if merged else ''}{_digest(data)}{SUFFIX}", data


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def merge_tables(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the newest answer to each question in some tables, sorted by question."""
    table = pa.concat_tables(tables)
    digests = _as_digests(table["question"])
    times = table["answered_at"].cast(pa.int64()).to_numpy()
    order = np.lexsort((-times, digests["low"], digests["high"]))
    ordered = digests[order]
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    return table.take(pa.array(order[is_first]))


@contextmanager
def open_segment(place: Place, frame: str, name: str, size: int) -> Iterator[SegmentReader]:
    """Open a segment of a frame, of `size` bytes, for reading until the end of the block."""
    with closing(place.open(frame, name, size)) as file:
        yield SegmentReader(file, place.where(frame, name))


class SegmentReader:
    """Reads a segment from a file object or a buffer; RunError, with its location, if it is damaged or foreign."""

    def __init__(self, source: Any, location: str) -> None:
        self._location = location
        self._file: pq.ParquetFile = self._try(lambda: self._open(source))
        self._check_schema()

    def _open(self, source: Any) -> pq.ParquetFile:
        if PAGE_CHECKSUMS:
            return pq.ParquetFile(source, page_checksum_verification=True)
        data, name = source.read(), self._location.rsplit("/", 1)[-1]
        if NAME.fullmatch(name) and _digest(data) != name.removeprefix(MERGED).removesuffix(SUFFIX):
            raise ValueError("its content is not that of its name")
        return pq.ParquetFile(pa.BufferReader(data))

    @property
    def count(self) -> int:
        """The number of answers."""
        return int(self._file.metadata.num_rows)

    @property
    def merged(self) -> frozenset[str]:
        """The names of the segments that this one stands for."""
        names = self._try(lambda: json.loads((self._file.schema_arrow.metadata or {}).get(_MERGED_KEY, b"[]")))
        if not isinstance(names, list) or not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
            raise _unusable(self._location, "it does not say which segments it stands for")
        return frozenset(names)

    @property
    def raw_bytes(self) -> int:
        """The size of all answers without compression."""
        metadata = self._file.metadata
        return sum(metadata.row_group(index).total_byte_size for index in range(self._file.num_row_groups))

    def run_ids(self) -> pa.ChunkedArray:
        """Return the id of each answer's run."""
        return self._try(lambda: self._file.read(["run_id"]))["run_id"]

    def read(self) -> pa.Table:
        """Return all answers."""
        return self._try(self._file.read).replace_schema_metadata(None)

    def questions(self) -> tuple[Digests, Any]:
        """Return the digests of all answers and their times (milliseconds since 1970)."""
        table = self._try(lambda: self._file.read(["question", "answered_at"]))
        times = table["answered_at"].cast(pa.int64()).to_numpy()
        return _as_digests(table["question"].combine_chunks()), times

    def answers(self, questions: Any, rows: Any) -> Iterator[tuple[Any, pa.Table]]:
        """Yield the answers at some positions, which are in rising order, some thousand at a time.

        `questions` are passed through: those of the answers that come with them.
        """
        sizes = [self._file.metadata.row_group(index).num_rows for index in range(self._file.num_row_groups)]
        starts = np.cumsum([0, *sizes])
        owners = np.searchsorted(starts, rows, side="right") - 1
        for group in np.unique(owners).tolist():
            mine = owners == group
            table = self._try(lambda group=group: self._file.read_row_group(group))
            yield questions[mine], table.take(pa.array(rows[mine] - starts[group]))

    def _check_schema(self) -> None:
        schema = self._file.schema_arrow
        version = (schema.metadata or {}).get(_VERSION_KEY)
        if version is None:
            raise _unusable(self._location, "it is no segment of an answer store")
        if version != str(SCHEMA_VERSION).encode():
            text = version.decode("ascii", "replace")[:20]
            raise _unusable(self._location, f"it has version {text} and this step knows {SCHEMA_VERSION}")
        if not schema.equals(SCHEMA):
            raise _unusable(self._location, "its columns are not those of a segment")

    def _try(self, read: Any) -> Any:
        try:
            return read()
        except (pa.ArrowException, OSError, EOFError, ValueError) as error:
            reason = shorten(" ".join(str(error).split()), 200)  # Arrow writes several lines
            raise _unusable(self._location, f"it is damaged: {type(error).__name__}: {reason}") from error


def _as_digests(column: Any) -> Digests:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    data = array.buffers()[1]
    start = array.offset * DIGEST_BYTES
    return np.frombuffer(data, dtype=DIGEST, count=len(array), offset=start)


def _unusable(location: str, reason: str) -> RunError:
    return RunError(
        f"the answer store cannot be used: segment {location}: {reason}. Restore or delete it; to go on without the "
        "store, which pays again for what it holds, set BEDROCK_ANSWER_REUSE=false"
    )
