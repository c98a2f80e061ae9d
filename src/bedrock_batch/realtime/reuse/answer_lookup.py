"""Looks the questions of a run up in its answer store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bedrock_batch.answer_store.place import ATTEMPTS, LocalPlace, Place, S3Place
from bedrock_batch.answer_store.questions import QuestionLog
from bedrock_batch.answer_store.store import AnswerStore, FoundAnswers, Segment
from bedrock_batch.dataset.row_source import RowSource
from bedrock_batch.environment.context import RunContext, make_storage
from bedrock_batch.environment.settings import Settings
from bedrock_batch.ledger.run import RunOptions
from bedrock_batch.models.question_frame import fallback_frame
from bedrock_batch.realtime.open_runs import find_open_runs
from bedrock_batch.realtime.row_processor import RowProcessor, render_questions

Mask = npt.NDArray[np.bool_]
# A plan does without the store rather than wait for it.
_FEW_ATTEMPTS = 2


def open_store(
    settings: Settings, context: RunContext, options: RunOptions, attempts: int = ATTEMPTS
) -> AnswerStore | None:
    """Return the answer store of a run: below the S3 path of the settings, or in the state folder; None if disabled."""
    place = open_place(settings, context, options.state_folder, attempts) if settings.answer_reuse else None
    return AnswerStore(place) if place else None


def open_place(
    settings: Settings, context: RunContext, state_folder: Path | None, attempts: int = ATTEMPTS
) -> Place | None:
    """Return where answers are kept, whether or not the settings allow their use; None without S3 path and folder."""
    if path := answers_path(settings):
        return S3Place(make_storage(settings, context), path, context.sleep, attempts)
    return LocalPlace(state_folder) if state_folder else None


def answers_path(settings: Settings) -> str:
    """Return the S3 path below which answers are kept, empty if they are kept in the state folder."""
    return settings.answers_s3_path or settings.batch_input_s3_path


@dataclass(frozen=True, slots=True)
class KnownQuestions:
    """The questions of a run that a store can answer, as a mask; None where it has no answer in the run's frame.

    `waiting` counts those of them whose answers are still in batch jobs of other runs.
    """

    location: str
    mask: Mask | None
    waiting: int = 0


def find_known(processor: RowProcessor, source: RowSource, options: RunOptions) -> KnownQuestions | None:
    """Return which questions a new run would take from the store; None if it would not look there.

    Nothing is written. RunError, after few tries, if the store cannot be read.
    """
    settings, context = processor.settings, processor.context
    store = open_store(settings, context, options, attempts=_FEW_ATTEMPTS)
    if store is None or not settings.batch_resume:
        return None
    segments, questions = find_segments(processor, store), QuestionLog()
    runs = [run for run in find_open_runs(settings, context, store, "") if run.jobs]
    if not segments and not runs:
        return KnownQuestions(store.location, None)
    known = find_answers(processor, source, store, segments, questions, oldest_time(settings, context)).known
    wanted = np.flatnonzero(~known)
    jobs = processor.jobs_elsewhere(store, runs, questions.digests, wanted, Path()) if runs else None
    if jobs is not None:
        known[jobs.held] = True
    return KnownQuestions(store.location, known if known.any() else None, len(jobs.held) if jobs else 0)


def find_segments(processor: RowProcessor, store: AnswerStore) -> list[Segment]:
    """Return the segments that may hold answers for a run, also after the service has refused some."""
    return store.segments(processor.model_input.frame, lambda: reachable_frames(processor))


def reachable_frames(processor: RowProcessor) -> frozenset[str]:
    """Return the frames in which a run finds answers if its own frame links to them."""
    fallback, asked = processor.fallback_model, processor.model_input
    of_fallback = () if fallback is None else fallback.frames()
    return processor.primary_model.frames().union(
        fallback_frame(asked.frame, asked.model_id, frame) for frame in of_fallback
    )


def find_answers(
    processor: RowProcessor,
    source: RowSource,
    store: AnswerStore,
    segments: Sequence[Segment],
    questions: QuestionLog,
    since: datetime | None,
) -> FoundAnswers:
    """Return where the answers to all questions of a source are, and note the questions."""
    for record in render_questions(processor, source):
        questions.add(record.prompt)
    return store.find(segments, questions.digests, since)


def oldest_time(settings: Settings, context: RunContext) -> datetime | None:
    """Return the time before which no answer may have come, or None."""
    days = settings.answer_max_age_days
    return None if days is None else context.now() - timedelta(days=days)
