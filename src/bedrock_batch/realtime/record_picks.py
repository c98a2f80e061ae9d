"""Picks some records of a run before the run asks them, with where their rows are."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from bedrock_batch.dataset.row_source import RowSource
from bedrock_batch.realtime.reuse.stored_answers import StoredAnswers
from bedrock_batch.realtime.row_processor import Picked, RowProcessor, render_questions
from bedrock_batch.records import record_id


@dataclass(frozen=True, slots=True)
class RecordPicker:
    """Picks records of a run over a source; the answer store knows `stored` of its questions."""

    processor: RowProcessor
    source: RowSource
    stored: StoredAnswers

    def count(self) -> int:
        """Return how many records the run asks; equal prompts that share an answer are counted by reading the rows."""
        if self.processor.settings.deduplicate_prompts and self.stored.taken is None:
            return sum(1 for _ in render_questions(self.processor, self.source))
        return self.source.count if self.stored.taken is None else self.stored.taken.asked_count

    def pick(self, numbers: Collection[int]) -> Picked:
        """Return the records with these numbers. All rows are read once, and the run's questions are known then."""
        picked, wanted = Picked(), frozenset(numbers)
        for record in self.stored.select(render_questions(self.processor, self.source)):
            picked.size.add(record.prompt)
            if record.number in wanted:
                picked.records.append(record)
        taken = self.stored.taken
        picked.questions = picked.size.records if taken is None else len(taken.mask)
        return picked

    def place_of(self, number: int) -> str:
        """Return where the row of a record is, or its id if several rows may share it."""
        place: Callable[[int], str] | None = getattr(self.source, "place_of", None)
        if self.processor.settings.deduplicate_prompts:
            return record_id(number)
        taken = self.stored.taken
        question = number if taken is None else int(taken.questions()[number])
        return place(question) if place else f"row {question + 1}"
