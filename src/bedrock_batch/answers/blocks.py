"""Blocks: complete ranges of answered rows, as a processor yields them, and their way to disk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from bedrock_batch.answers.collector import AnswerCollector
from bedrock_batch.answers.columns import AnswerColumns
from bedrock_batch.answers.segments import SegmentStore
from bedrock_batch.records import Answer, Record, RecordOutput

# Answers are stored in segments of about this many rows, so that a long run has thousands of files and not millions.
SEGMENT_ROWS = 4096


@dataclass(frozen=True, slots=True)
class AnswerBlock:
    """The rows from `start` to `stop`; each row is once in `outputs` or, in a block of a job, in `answers`.

    `outputs` can be read once, since they may come as they are asked. `records` returns the records of some of its
    rows, to ask them again. `earlier` counts the rows that were answered in an earlier start. `tried` counts, by row
    number, the validation retries that an earlier run has made.
    """

    start: int
    stop: int
    outputs: Iterable[RecordOutput]
    records: Callable[[Collection[int]], Iterable[Record]]
    answers: AnswerCollector | None = None
    earlier: int = 0
    tried: Mapping[int, int] = field(default_factory=dict)


class BlockWriter:
    """Writes blocks to a segment store; small blocks that follow each other become one segment."""

    def __init__(self, store: SegmentStore, columns: AnswerColumns) -> None:
        self._store = store
        self._columns = columns
        self._start = 0
        self._pending: list[Answer] = []

    def write(self, block: AnswerBlock, answers: Mapping[int, Answer]) -> None:
        """Write the rows of a block; `answers` are those that `block.answers` does not hold, by row number."""
        if block.answers is not None:
            for start, batch in block.answers.rows(block.start, block.stop, answers):
                self._store.write(start, batch)
            return
        if self._pending and block.start != self._start + len(self._pending):
            self.flush()
        if not self._pending:
            self._start = block.start
        self._pending += answers.values()
        if len(self._pending) >= SEGMENT_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait in memory."""
        if self._pending:
            self._store.write(self._start, self._columns.to_batch(self._pending))
            self._pending = []
