"""What an invocation hands back: a range of rows, complete; and the way of such ranges to disk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bedrock_batch.job_answers import JobAnswers
from bedrock_batch.outcome_columns import OutcomeColumns
from bedrock_batch.records import ModelInvocationOutput, ModelInvocationRecord, Outcome
from bedrock_batch.segments import SegmentStore

# Answers are stored in segments of about this many rows, so that a long run has thousands of files and not millions.
SEGMENT_ROWS = 4096


@dataclass(frozen=True, slots=True)
class OutputBlock:
    """The rows from `start` to `stop`, each of them once in `outputs` or, of a job, in `answers`.

    `records` gives back the records of some of its rows, to ask them again.
    """

    start: int
    stop: int
    outputs: Sequence[ModelInvocationOutput]
    records: Callable[[Collection[int]], Iterable[ModelInvocationRecord]]
    answers: JobAnswers | None = None


class BlockWriter:
    """Writes blocks to a store, small ones that follow each other together."""

    def __init__(self, store: SegmentStore, columns: OutcomeColumns) -> None:
        self._store = store
        self._columns = columns
        self._start = 0
        self._pending: list[Outcome] = []

    def write(self, block: OutputBlock, outcomes: Mapping[int, Outcome]) -> None:
        """Take the rows of a block; `outcomes`, by row number, are those that do not lie in `block.answers`."""
        if block.answers is not None:
            for start, batch in block.answers.rows(block.start, block.stop, outcomes):
                self._store.write(start, batch)
            return
        if self._pending and block.start != self._start + len(self._pending):
            self.flush()
        if not self._pending:
            self._start = block.start
        self._pending += outcomes.values()
        if len(self._pending) >= SEGMENT_ROWS:
            self.flush()

    def flush(self) -> None:
        """Store the rows that are held back."""
        if self._pending:
            self._store.write(self._start, self._columns.to_batch(self._pending))
            self._pending = []
