"""Deduplicates prompts: rows with the same prompt are asked once and share the answer."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bedrock_batch.answers.segments import Numbers, SegmentStore, take_rows
from bedrock_batch.environment.private_files import FOLDER_MODE

Mask = npt.NDArray[np.bool_]

# The columns that are zero in a row that shares the answer of another.
_FREE = ("_input_tokens", "_output_tokens", "_batch_input_tokens", "_batch_output_tokens", "_attempts")
_ROWS_AT_ONCE = 4096


class SharedPrompts:
    """The rows of a run by their prompt; keeps a hash of 16 bytes per distinct prompt and 8 bytes per row."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._rows = array("q")

    @property
    def distinct(self) -> int:
        """The number of distinct prompts."""
        return len(self._numbers)

    @property
    def rows(self) -> int:
        return len(self._rows)

    def is_new(self, prompt: str) -> bool:
        """Register the prompt of the next row and return whether no earlier row has it."""
        key = hashlib.blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        known = len(self._numbers)
        number = self._numbers.setdefault(key, known)
        self._rows.append(number)
        return number == known

    def spread(self, answers: SegmentStore, folder: Path, numbers: Numbers | None = None) -> SegmentStore:
        """Return the answers to the distinct prompts, given to every row; memory holds some thousand rows at a time.

        `numbers` are the positions of the answers, by prompt; None if they are in the order of the prompts.
        """
        rows_folder = folder / "rows"
        rows_folder.mkdir(FOLDER_MODE)
        store = SegmentStore(rows_folder, answers.schema)
        segments = list(answers.batches())  # mapped files: nothing is read yet
        rows = np.frombuffer(self._rows, dtype=np.int64)
        for start, prompts, shared in self._parts(rows):
            positions = prompts if numbers is None else numbers[prompts]
            table = pa.Table.from_batches([take_rows(segments, positions, answers.schema)])
            batch = _without_cost(table, shared).combine_chunks().to_batches()[0]
            store.write(start, batch)
        return store

    def _parts(self, rows: Numbers) -> Iterator[tuple[int, Numbers, Mask]]:
        """Yield the rows in pieces: the first row, the number of each row's answer, and which rows share it."""
        seen = 0
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            numbers = rows[start : start + _ROWS_AT_ONCE]
            # Prompts are numbered in the order of their first rows: a row is the first if its number is a new maximum.
            highest = np.maximum.accumulate(numbers)
            before = np.concatenate(([seen - 1], np.maximum(highest[:-1], seen - 1)))
            yield start, numbers, numbers <= before
            seen = max(seen, int(highest[-1]) + 1)


def _without_cost(table: pa.Table, shared: Mask) -> pa.Table:
    """Return the rows with zero tokens and attempts where they share an answer."""
    mask = pa.array(shared)
    for name in _FREE:
        column = table[name].combine_chunks()
        free = pc.if_else(pc.and_(mask, pc.is_valid(column)), pa.scalar(0, pa.int64()), column)
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), free)
    return table
