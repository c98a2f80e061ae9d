"""The parsed answers of a job: taken in the order of its result files, handed out in the order of the rows."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bedrock_batch.accepted import AcceptedAnswers
from bedrock_batch.outcome_columns import OutcomeColumns
from bedrock_batch.records import ModelAnswer, Outcome
from bedrock_batch.responses import ResponseParser
from bedrock_batch.segments import Numbers, SegmentStore, combine, gather
from bedrock_batch.spending import Spending

# So many outcomes become columns together, or as many as have so many bytes.
OUTCOMES_AT_ONCE = 512
OUTCOME_BYTES_AT_ONCE = 8 << 20
# So much is held in memory until it goes to disk.
ROWS_HELD = 4096
BYTES_HELD = 32 << 20
# And so much when the rows are handed out; in a row lie about so many bytes beside its answer.
BYTES_HANDED_OUT = 64 << 20
ROW_BYTES = 256


class JobAnswers:
    """Takes the answers of a job, counts each as spent, and keeps their columns on disk.

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
        self._stored = 0
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0
        self._numbers = array("q")  # of the rows on disk, and then of those held
        self._sizes = array("q")  # of the same rows' answers
        self._outcomes: dict[int, Outcome] = {}
        self._outcome_sizes = array("q")
        self._outcome_bytes = 0

    def __len__(self) -> int:
        return len(self._numbers) + len(self._outcomes) + len(self.opened)

    def add(self, answer: ModelAnswer, size: int) -> None:
        """Take the answer to a row; `size` is that of its line, in bytes."""
        outcome = self._parser.parse(answer)
        self._spending.add(outcome, reserved=1)
        if self._is_open(outcome):
            self.opened[answer.number] = outcome
            return
        self._outcomes[answer.number] = outcome
        self._outcome_sizes.append(size)
        self._outcome_bytes += size
        if len(self._outcomes) >= OUTCOMES_AT_ONCE or self._outcome_bytes >= OUTCOME_BYTES_AT_ONCE:
            self._hold_outcomes()

    def accept(self, texts: Iterable[str], prefilled: bool) -> list[dict[str, Any] | None]:
        """Return the fields of the answers that `add_accepted` takes: see `ResponseParser.accept`."""
        return self._parser.accept(texts, prefilled)

    def add_accepted(self, answers: AcceptedAnswers) -> None:
        """Take answers whose fields were accepted; none of them is open."""
        counts = answers.input_tokens, answers.output_tokens
        self._spending.add_answers("batch", answers.model_id, *counts, reserved=len(answers))
        self._hold(answers.numbers, answers.sizes, self._columns.accepted_batch(answers))

    def extend(self, other: JobAnswers) -> None:
        """Take over all that another has."""
        other.flush()
        position = 0
        for batch in other._store.batches():
            rows = slice(position, position + batch.num_rows)
            self._hold(other._numbers[rows], other._sizes[rows], batch)
            position += batch.num_rows
        self.opened.update(other.opened)

    def flush(self) -> None:
        """Write to disk what is still in memory."""
        self._hold_outcomes()
        self._write_held()

    def _hold_outcomes(self) -> None:
        outcomes, sizes = self._outcomes, self._outcome_sizes
        self._outcomes, self._outcome_sizes, self._outcome_bytes = {}, array("q"), 0
        if outcomes:
            self._hold(outcomes, sizes, self._columns.to_batch([*outcomes.values()]))

    def _hold(self, numbers: Iterable[int], sizes: Iterable[int], batch: pa.RecordBatch) -> None:
        self._numbers.extend(numbers)
        self._sizes.extend(sizes)
        self._held.append(batch)
        self._held_bytes += batch.nbytes
        if len(self._numbers) - self._stored >= ROWS_HELD or self._held_bytes >= BYTES_HELD:
            self._write_held()

    def _write_held(self) -> None:
        if self._held:
            batch = combine(self._held, self._columns.arrow_schema)
            self._store.write(self._stored, batch)
            self._stored += batch.num_rows
            self._held, self._held_bytes = [], 0

    def rows(self, start: int, stop: int, outcomes: Mapping[int, Outcome]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the columns of all rows from `start` to `stop` in order, many at a time, with their first row.

        `outcomes` are those of the rows that are not on disk. ValueError unless the two make up every row once.
        """
        self.flush()
        numbers = np.array(self._numbers + array("q", outcomes))
        order = np.argsort(numbers, kind="stable")
        if not np.array_equal(numbers[order], np.arange(start, stop)):
            raise ValueError(f"rows {start} to {stop} do not have one answer each")
        batches = [*self._store.batches(), *([self._columns.to_batch([*outcomes.values()])] if outcomes else [])]
        sizes = np.array(self._sizes + array("q", [len(each.raw_response or "") for each in outcomes.values()]))
        for wanted in _cut(order, np.cumsum(sizes[order] + ROW_BYTES) // BYTES_HANDED_OUT):
            yield start, gather(batches, wanted, self._columns.arrow_schema)
            start += len(wanted)


def _cut(values: Numbers, parts: Numbers) -> list[Numbers]:
    """Return the values in pieces, a new one wherever the number of the part changes."""
    return np.split(values, np.flatnonzero(np.diff(parts)) + 1) if len(values) else []
