"""What the answer store knows about the questions of a run, and the answers that the run takes from it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from bedrock_batch.answer_store.questions import Digests, QuestionLog, digest_attempts
from bedrock_batch.answer_store.recorder import AnswerRecorder
from bedrock_batch.answer_store.store import AnswerStore, FoundAnswers, Positions, Segment
from bedrock_batch.answers.blocks import AnswerBlock
from bedrock_batch.answers.collector import AnswerCollector
from bedrock_batch.answers.validation_retries import is_worth_repeating, merge_answers
from bedrock_batch.dataset.row_source import RowSource
from bedrock_batch.ledger.run import Run
from bedrock_batch.realtime.open_runs import JobsElsewhere
from bedrock_batch.realtime.reuse.answer_lookup import Mask, find_segments
from bedrock_batch.realtime.row_processor import RowProcessor, render_questions
from bedrock_batch.records import ModelOutput, Record, RecordOutput, Source, validation_purpose


@dataclass(frozen=True, slots=True)
class TakenAnswers:
    """The questions of a run whose answers it takes from the store, and where those are.

    The records of all other questions have the first numbers, in order, and those of the taken ones the numbers behind
    them. `digests` are those of all questions. `jobs` are the batch jobs of other runs that hold some of the taken
    questions, None if there are none.
    """

    store: AnswerStore
    segments: list[Segment]
    since: datetime | None
    found: FoundAnswers
    digests: Digests
    mask: Mask
    jobs: JobsElsewhere | None = None

    @property
    def asked_count(self) -> int:
        """How many questions the run asks, without those whose answers have vanished."""
        return len(self.mask) - int(self.mask.sum())

    @property
    def available(self) -> Mask:
        """Which answers are in the store; the others have vanished since the run took them, or were never taken."""
        return self.mask & self.found.known

    @property
    def free(self) -> Mask:
        """Which answers are in the store, or come from batch jobs of other runs."""
        free = self.available
        if self.jobs is not None:
            free[self.jobs.waiting] = True
        return free

    def questions(self) -> Positions:
        """Return the questions in the order of their records' numbers."""
        return np.concatenate([np.flatnonzero(~self.mask), np.flatnonzero(self.mask)])

    def record_numbers(self) -> Positions:
        """Return the number of each question's record."""
        questions = self.questions()
        numbers = np.empty(len(questions), np.int64)
        numbers[questions] = np.arange(len(questions))
        return numbers


@dataclass(slots=True)
class StoredAnswers:
    """What the store knows of a run: its questions, the answers it takes, and the recorder for those that come.

    `recorder` is None without a store, `taken` where the run asks all its questions.
    """

    questions: QuestionLog
    recorder: AnswerRecorder | None = None
    taken: TakenAnswers | None = None

    @property
    def asks(self) -> bool:
        """Whether the run asks a model for anything but retries, or may have to."""
        return self.taken is None or not bool(self.taken.available.all())

    def select(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records that are asked, with their numbers, from the records of all questions."""
        taken = None if self.taken is None else self.taken.mask.tolist()
        log = None if self.recorder is None or len(self.questions) else self.questions
        number = 0
        for record in records:
            if log is not None:
                log.add(record.prompt)
            if taken is None:
                yield record
            elif not taken[record.number]:
                yield Record(number, record.prompt)
                number += 1


def collect_jobs(processor: RowProcessor, taken: TakenAnswers) -> TakenAnswers:
    """Wait for the jobs of other runs that hold taken questions, and return where all answers are then."""
    if taken.jobs is None or not len(taken.jobs.waiting):
        return taken
    if processor.recorder is not None:
        processor.recorder.flush()  # the wait may take hours
    taken.jobs.wait()
    segments = find_segments(processor, taken.store)
    return replace(taken, segments=segments, found=taken.store.find(segments, taken.digests, taken.since))


def take_answers(processor: RowProcessor, source: RowSource, run: Run, taken: TakenAnswers) -> AnswerBlock:
    """Return the block of the records whose answers come from the store, parsed under today's schema.

    Validation retries that an earlier run made count as tried. What has vanished from the store since the run took it
    is asked in real time.
    """
    numbers, start = taken.record_numbers(), taken.asked_count
    retries = processor.settings.validation_retries
    collector = AnswerCollector(
        processor.parser,
        processor.columns,
        None,
        run.folder / "answers-store",
        is_worth_repeating if retries else lambda _: False,
    )
    is_missing = np.arange(len(numbers)) >= start
    for output in _read_outputs(processor, taken.store, taken.found, np.flatnonzero(taken.available), numbers):
        collector.add(output, len(str(output.body)))
        is_missing[output.number] = False
    tried = _take_retries(processor, taken, collector, run)

    def records(wanted: Collection[int]) -> Iterator[Record]:
        wanted_numbers = set(wanted)
        for record in render_questions(processor, source):
            if (number := int(numbers[record.number])) in wanted_numbers:
                yield Record(number, record.prompt)

    vanished = np.flatnonzero(is_missing).tolist()
    outputs = _ask_vanished(processor, run, records(vanished), len(vanished)) if vanished else ()
    earlier = len(numbers) - start - len(vanished)
    return AnswerBlock(start, len(numbers), outputs, records, collector, earlier, tried)


def _read_outputs(
    processor: RowProcessor, store: AnswerStore, found: FoundAnswers, wanted: Positions, numbers: Positions
) -> Iterator[ModelOutput]:
    """Yield the answers to some questions as outputs; what they have cost is counted as not spent."""
    for positions, table in store.read(found, wanted):
        _count_reused(processor, table)
        columns = (table[name].to_pylist() for name in ("body", "model_id", "prefilled"))
        for position, data, model_id, prefilled in zip(positions.tolist(), *columns, strict=True):
            if (body := _load(data)) is not None:
                yield ModelOutput(int(numbers[position]), body, model_id, "store", attempts=0, prefilled=prefilled)


def _load(data: bytes) -> dict[str, Any] | None:
    """Return the body in a segment; None for one that no parser takes, such as a number of 5,000 digits."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _count_reused(processor: RowProcessor, table: pa.Table) -> None:
    groups = table.group_by(["source", "model_id"]).aggregate([("input_tokens", "list"), ("output_tokens", "list")])
    for group in groups.to_pylist():
        if group["source"] in get_args(Source):
            read, written = ([count or 0 for count in group[f"{name}_tokens_list"]] for name in ("input", "output"))
            processor.spending.add_reused(group["source"], group["model_id"], read, written)


def _take_retries(processor: RowProcessor, taken: TakenAnswers, collector: AnswerCollector, run: Run) -> dict[int, int]:
    """Take the validation retries of earlier runs, and return how many each record had.

    Those that an earlier start of this run has made are in its journal.
    """
    tried: dict[int, int] = {}
    question_of, journal = taken.questions(), run.ledger.journal
    for attempt in range(1, processor.settings.validation_retries + 1):
        answers = collector.replaceable
        failed = sorted(n for n, answer in answers.items() if is_worth_repeating(answer))
        if not failed:
            break
        again = np.array([n for n in failed if not journal.knows(n, validation_purpose(attempt))], dtype=np.int64)
        digests = digest_attempts(taken.digests[question_of[again]], attempt)
        found = taken.store.find(taken.segments, digests, taken.since)
        for output in _read_outputs(processor, taken.store, found, np.flatnonzero(found.known), again):
            answers[output.number] = merge_answers(answers[output.number], processor.parser.parse(output))
            tried[output.number] = attempt
    return tried


def _ask_vanished(processor: RowProcessor, run: Run, records: Iterable[Record], count: int) -> Iterator[RecordOutput]:
    """Yield the outputs as they come, since the cost limit counts an answer once it is parsed."""
    processor.context.log.warning(
        "answer_store=lost answers=%d that this run had taken: they are asked in real time", count
    )
    yield from processor.realtime.ask_each(records, run.ledger.journal)
