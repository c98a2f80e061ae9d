"""Collects the answers of a job: they come in the order of its result files and leave in the order of the rows."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bedrock_batch.answer_store.recorder import AnswerRecorder
from bedrock_batch.answers.columns import AcceptedAnswers, AnswerColumns
from bedrock_batch.answers.parser import AnswerParser
from bedrock_batch.answers.segments import Numbers, SegmentStore, concat_batches, take_rows
from bedrock_batch.costs.tracker import CostTracker
from bedrock_batch.environment.private_files import FOLDER_MODE
from bedrock_batch.models.model_output import is_complete
from bedrock_batch.records import Answer, ModelOutput

# Parsed answers become columns in groups that reach this many answers or bytes.
ANSWERS_AT_ONCE = 512
ANSWER_BYTES_AT_ONCE = 8 << 20
# Columns go to disk when this many rows or bytes are in memory.
ROWS_HELD = 4096
BYTES_HELD = 32 << 20
# `rows` yields about this many bytes at a time; a row has about ROW_BYTES beside the text of its answer.
BYTES_HANDED_OUT = 64 << 20
ROW_BYTES = 256


class AnswerCollector:
    """Parses the outputs of a job, counts the cost of each answer, and keeps the answers' columns on disk.

    Complete answers are kept by the `recorder`, too. Without `spending` no cost is counted, since none arises.

    `replaceable` holds, by row number, the answers for which `may_be_replaced` returns True. They are not on disk,
    since the record may be asked again.
    """

    def __init__(
        self,
        parser: AnswerParser,
        columns: AnswerColumns,
        spending: CostTracker | None,
        folder: Path,
        may_be_replaced: Callable[[Answer], bool],
        recorder: AnswerRecorder | None = None,
    ) -> None:
        self.replaceable: dict[int, Answer] = {}
        self._parser = parser
        self._columns = columns
        self._spending = spending
        self._recorder = recorder
        self._may_be_replaced = may_be_replaced
        folder.mkdir(FOLDER_MODE)
        self._store = SegmentStore(folder, columns.arrow_schema)
        self._stored = 0
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0
        # Row numbers and sizes of the answers, first of those on disk, then of those in memory.
        self._numbers = array("q")
        self._sizes = array("q")
        self._answers: dict[int, Answer] = {}
        self._answer_sizes = array("q")
        self._answer_bytes = 0

    def __len__(self) -> int:
        return len(self._numbers) + len(self._answers) + len(self.replaceable)

    def add(self, output: ModelOutput, size: int) -> None:
        """Parse the output of a record and take its answer; `size` is that of its result line, in bytes."""
        answer = self._parser.parse(output)
        if self._spending is not None:
            self._spending.add(answer, reserved=1)
        if self._recorder is not None and is_complete(answer.stop_reason):
            self._recorder.add(output, answer.stop_reason, (answer.input_tokens, answer.output_tokens))
        if self._may_be_replaced(answer):
            self.replaceable[output.number] = answer
            return
        self._answers[output.number] = answer
        self._answer_sizes.append(size)
        self._answer_bytes += size
        if len(self._answers) >= ANSWERS_AT_ONCE or self._answer_bytes >= ANSWER_BYTES_AT_ONCE:
            self._hold_answers()

    def accept(self, texts: Iterable[str], prefilled: bool) -> list[dict[str, Any] | None]:
        """Return the fields of each text that `add_accepted` can take, else None: see `AnswerParser.accept`."""
        return self._parser.accept(texts, prefilled)

    def add_accepted(self, answers: AcceptedAnswers) -> None:
        """Take answers whose fields `accept` returned; none of them needs to be asked again."""
        counts = answers.input_tokens, answers.output_tokens
        if self._spending is not None:
            self._spending.add_answers("batch", answers.model_id, *counts, reserved=len(answers))
        if self._recorder is not None:
            kept = answers.bodies, answers.stop_reasons, *counts
            self._recorder.add_batch(answers.frame, answers.model_id, answers.prefilled, answers.numbers, kept)
        self._hold(answers.numbers, answers.sizes, self._columns.accepted_batch(answers))

    def extend(self, other: AnswerCollector) -> None:
        """Take over all answers of another collector."""
        other.flush()
        position = 0
        for batch in other._store.batches():
            rows = slice(position, position + batch.num_rows)
            self._hold(other._numbers[rows], other._sizes[rows], batch)
            position += batch.num_rows
        self.replaceable.update(other.replaceable)

    def flush(self) -> None:
        """Write the answers in memory to disk, except the replaceable ones."""
        self._hold_answers()
        self._write_held()

    def _hold_answers(self) -> None:
        answers, sizes = self._answers, self._answer_sizes
        self._answers, self._answer_sizes, self._answer_bytes = {}, array("q"), 0
        if answers:
            self._hold(answers, sizes, self._columns.to_batch([*answers.values()]))

    def _hold(self, numbers: Iterable[int], sizes: Iterable[int], batch: pa.RecordBatch) -> None:
        self._numbers.extend(numbers)
        self._sizes.extend(sizes)
        self._held.append(batch)
        self._held_bytes += batch.nbytes
        if len(self._numbers) - self._stored >= ROWS_HELD or self._held_bytes >= BYTES_HELD:
            self._write_held()

    def _write_held(self) -> None:
        if self._held:
            batch = concat_batches(self._held, self._columns.arrow_schema)
            self._store.write(self._stored, batch)
            self._stored += batch.num_rows
            self._held, self._held_bytes = [], 0

    def rows(self, start: int, stop: int, others: Mapping[int, Answer]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the columns of all rows from `start` to `stop` in order: the number of the first row, and many rows.

        `others` are the answers that this collector does not keep on disk. ValueError unless each row has one answer.
        """
        self.flush()
        numbers = np.array(self._numbers + array("q", others))
        order = np.argsort(numbers, kind="stable")
        if not np.array_equal(numbers[order], np.arange(start, stop)):
            raise ValueError(f"rows {start} to {stop} do not have one answer each")
        batches = [*self._store.batches(), *([self._columns.to_batch([*others.values()])] if others else [])]
        sizes = np.array(self._sizes + array("q", [len(each.raw_response or "") for each in others.values()]))
        for wanted in _cut(order, np.cumsum(sizes[order] + ROW_BYTES) // BYTES_HANDED_OUT):
            yield start, take_rows(batches, wanted, self._columns.arrow_schema)
            start += len(wanted)


def _cut(values: Numbers, parts: Numbers) -> list[Numbers]:
    """Split `values` wherever `parts`, the number of the piece of each value, changes."""
    return np.split(values, np.flatnonzero(np.diff(parts)) + 1) if len(values) else []
