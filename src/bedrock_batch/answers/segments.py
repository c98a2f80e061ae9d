"""Answer segments: the columns of finished ranges of rows, which stay on disk until the output files are written."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bedrock_batch.environment.private_files import FOLDER_MODE, make_private_file

Numbers = npt.NDArray[np.int64]
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished range of rows, from `start` to before `stop`, and the Arrow IPC file of its columns."""

    start: int
    stop: int
    path: Path


class SegmentStore:
    """The segments of a run in one folder.

    Ranges may come in any order and must not overlap. Readers map the files, so that only what they use is in memory.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.schema = schema
        self._folder = folder
        self._segments: list[Segment] = []

    def write(self, start: int, batch: pa.RecordBatch) -> Segment:
        """Store the columns of rows, the first of which is `start`, and return their segment."""
        segment = Segment(start, start + batch.num_rows, self._folder / f"segment-{start:010d}.arrow")
        position = bisect_right(self._segments, start, key=lambda known: known.start)
        before, after = self._segments[:position], self._segments[position:]
        if (before and before[-1].stop > start) or (after and after[0].start < segment.stop):
            raise ValueError(f"rows {start} to {segment.stop} are stored already")
        make_private_file(segment.path)
        with pa.OSFile(str(segment.path), "wb") as sink, pa.ipc.new_file(sink, self.schema) as writer:
            writer.write_batch(batch)
        self._segments.insert(position, segment)
        return segment

    def missing(self, count: int) -> list[range]:
        """Return the ranges of the first `count` rows that no segment covers."""
        gaps: list[range] = []
        reached = 0
        for segment in [*self._segments, Segment(count, count, self._folder)]:
            if segment.start > reached:
                gaps.append(range(reached, segment.start))
            reached = max(reached, segment.stop)
        return gaps

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the columns of all segments in row order."""
        for segment in self._segments:
            with pa.memory_map(str(segment.path)) as source, pa.ipc.open_file(source) as reader:
                for index in range(reader.num_record_batches):
                    yield reader.get_batch(index)


class SegmentCursor:
    """Reads the rows of a store in order, a number of rows at a time."""

    def __init__(self, store: SegmentStore) -> None:
        self._batches = store.batches()
        self._schema = store.schema
        self._rest: pa.RecordBatch | None = None

    def take(self, count: int) -> pa.Table:
        """Return the columns of the next `count` rows; raise LookupError if the store has fewer."""
        parts: list[pa.RecordBatch] = []
        while count > 0:
            batch = self._rest if self._rest is not None else next(self._batches, None)
            if batch is None:
                raise LookupError(f"{count} rows have no answer segment")
            parts.append(batch.slice(0, count))
            self._rest = batch.slice(count) if batch.num_rows > count else None
            count -= parts[-1].num_rows
        return pa.Table.from_batches(parts, schema=self._schema)


def reorder(answers: SegmentStore, positions: Numbers, folder: Path) -> SegmentStore:
    """Return the rows of a store at some positions, in that order; memory holds some thousand rows at a time."""
    rows_folder = folder / "rows"
    rows_folder.mkdir(FOLDER_MODE)
    store = SegmentStore(rows_folder, answers.schema)
    segments = list(answers.batches())  # mapped files: nothing is read yet
    for start in range(0, len(positions), _ROWS_AT_ONCE):
        store.write(start, take_rows(segments, positions[start : start + _ROWS_AT_ONCE], answers.schema))
    return store


def take_rows(batches: Sequence[pa.RecordBatch], positions: Numbers, schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows at `positions`, counted over all batches, in this order; reads each batch once."""
    starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
    if len(positions) == starts[-1] > 0:
        return concat_batches(batches, schema).take(pa.array(positions))
    owners = np.searchsorted(starts, positions, side="right") - 1
    parts = [batches[n].take(pa.array(positions[owners == n] - starts[n])) for n in np.unique(owners).tolist()]
    if len(parts) > 1:
        back = np.argsort(np.argsort(owners, kind="stable"), kind="stable")
        parts = [concat_batches(parts, schema).take(pa.array(back))]
    return parts[0] if parts else pa.RecordBatch.from_pylist([], schema=schema)


def concat_batches(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows of all batches as one batch; at least one batch must have a row.

    ValueError if a column would have more than 2 GiB of text, the most that one array can hold.
    """
    (together,) = pa.Table.from_batches(batches, schema=schema).combine_chunks().to_batches()
    return together
