"""Rows with the same prompt: asked once, answered alike."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bedrock_batch.segments import Numbers, SegmentStore, gather

Mask = npt.NDArray[np.bool_]

# What a row that shares another's answer has cost.
_FREE = ("_input_tokens", "_output_tokens", "_batch_input_tokens", "_batch_output_tokens", "_attempts")
_ROWS_AT_ONCE = 4096


class SharedPrompts:
    """Which rows of a run have one prompt; it keeps a hash of each distinct prompt, and eight bytes for each row."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._rows = array("q")

    @property
    def distinct(self) -> int:
        """How many different prompts there are."""
        return len(self._numbers)

    @property
    def rows(self) -> int:
        return len(self._rows)

    def is_new(self, prompt: str) -> bool:
        """Take note of the prompt of the next row, and tell whether no row before it has the same."""
        key = hashlib.blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        known = len(self._numbers)
        number = self._numbers.setdefault(key, known)
        self._rows.append(number)
        return number == known

    def spread(self, answers: SegmentStore, folder: Path) -> SegmentStore:
        """Return the answers to the distinct prompts, given to every row; memory holds some thousand rows at a time."""
        rows_folder = folder / "rows"
        rows_folder.mkdir()
        store = SegmentStore(rows_folder, answers.schema)
        segments = list(answers.batches())  # mapped files: nothing is read yet
        rows = np.frombuffer(self._rows, dtype=np.int64)
        for start, numbers, shared in self._parts(rows):
            table = pa.Table.from_batches([gather(segments, numbers, answers.schema)])
            batch = _without_cost(table, shared).combine_chunks().to_batches()[0]
            store.write(start, batch)
        return store

    def _parts(self, rows: Numbers) -> Iterator[tuple[int, Numbers, Mask]]:
        """Yield the rows in pieces: where it starts, the number of each row's answer, which rows share it."""
        seen = 0
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            numbers = rows[start : start + _ROWS_AT_ONCE]
            # Numbers are given in order: a row is the first of its prompt where its number is a new maximum.
            highest = np.maximum.accumulate(numbers)
            before = np.concatenate(([seen - 1], np.maximum(highest[:-1], seen - 1)))
            yield start, numbers, numbers <= before
            seen = max(seen, int(highest[-1]) + 1)


def _without_cost(table: pa.Table, shared: Mask) -> pa.Table:
    """Return the rows with no tokens and no attempts where they share an answer."""
    mask = pa.array(shared)
    for name in _FREE:
        column = table[name].combine_chunks()
        free = pc.if_else(pc.and_(mask, pc.is_valid(column)), pa.scalar(0, pa.int64()), column)
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), free)
    return table
