"""The parsed answers of a job: taken in the order of its result files, handed out in the order of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from bedrock_batch.outcome_columns import OutcomeColumns
from bedrock_batch.records import ModelAnswer, Outcome
from bedrock_batch.responses import ResponseParser
from bedrock_batch.segments import SegmentStore, gather
from bedrock_batch.spending import Spending

# So much is held in memory until it goes to disk.
ANSWERS_AT_ONCE = 4096
CHARACTERS_AT_ONCE = 32 << 20
TOKEN_CHARACTERS = 4
# And so much when they are handed out.
ROWS_AT_ONCE = 16_384
BYTES_AT_ONCE = 64 << 20


class JobAnswers:
    """Parses each answer of a job once, counts it as spent, and keeps its columns on disk.

    `opened` holds the outcomes that `is_open` says yes to, by row number: they may still be replaced, and are not on
    disk.
    """

    def __init__(
        self,
        parser: ResponseParser,
        columns: OutcomeColumns,
        spending: Spending,
        folder: Path,
        is_open: Callable[[Outcome], bool],
    ) -> None:
        self.opened: dict[int, Outcome] = {}
        self._parser = parser
        self._columns = columns
        self._spending = spending
        self._is_open = is_open
        folder.mkdir()
        self._store = SegmentStore(folder, columns.arrow_schema)
        self._stored: list[int] = []
        self._pending: dict[int, Outcome] = {}
        self._characters = 0

    def __len__(self) -> int:
        return len(self._stored) + len(self._pending) + len(self.opened)

    def add(self, answer: ModelAnswer) -> None:
        """Take the answer to a row."""
        outcome = self._parser.parse(answer)
        self._spending.add(outcome, reserved=1)
        if self._is_open(outcome):
            self.opened[answer.number] = outcome
            return
        self._pending[answer.number] = outcome
        self._characters += len(outcome.raw_response or "") or TOKEN_CHARACTERS * (outcome.output_tokens or 0)
        if len(self._pending) >= ANSWERS_AT_ONCE or self._characters >= CHARACTERS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write to disk what is still in memory."""
        if self._pending:
            self._write([*self._pending], self._columns.to_batch([*self._pending.values()]))
            self._pending, self._characters = {}, 0

    def _write(self, numbers: list[int], batch: pa.RecordBatch) -> None:
        self._store.write(len(self._stored), batch)
        self._stored += numbers

    def extend(self, other: JobAnswers) -> None:
        """Take over all that another has."""
        other.flush()
        position = 0
        for batch in other._store.batches():
            self._write(other._stored[position : position + batch.num_rows], batch)
            position += batch.num_rows
        self.opened.update(other.opened)

    def rows(self, start: int, stop: int, outcomes: Mapping[int, Outcome]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the columns of all rows from `start` to `stop` in order, some thousand at a time, with their first row.

        `outcomes` are those of the rows that are not on disk. ValueError unless the two make up every row once.
        """
        self.flush()
        numbers = np.array([*self._stored, *outcomes], dtype=np.int64)
        order = np.argsort(numbers, kind="stable")
        if not np.array_equal(numbers[order], np.arange(start, stop)):
            raise ValueError(f"rows {start} to {stop} do not have one answer each")
        batches = [*self._store.batches(), *([self._columns.to_batch([*outcomes.values()])] if outcomes else [])]
        rows_at_once = _rows_at_once(batches)
        for position in range(0, stop - start, rows_at_once):
            wanted = order[position : position + rows_at_once]
            yield start + position, gather(batches, wanted, self._columns.arrow_schema)


def _rows_at_once(batches: list[pa.RecordBatch]) -> int:
    size: int = sum(batch.nbytes for batch in batches)
    rows: int = sum(batch.num_rows for batch in batches)
    return max(1, min(ROWS_AT_ONCE, rows * BYTES_AT_ONCE // max(size, 1)))
