"""Decides at the start of a run which of its questions the answer store answers, and which other runs have asked."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from bedrock_batch.answer_store.place import EmptyPlace
from bedrock_batch.answer_store.questions import QuestionLog
from bedrock_batch.answer_store.recorder import AnswerRecorder
from bedrock_batch.answer_store.store import AnswerStore, FoundAnswers, Segment
from bedrock_batch.dataset.row_source import RowSource
from bedrock_batch.errors import RunError
from bedrock_batch.ledger.ledger import Ledger
from bedrock_batch.ledger.run import Run
from bedrock_batch.realtime.open_runs import JobsElsewhere, OpenRun, adopt_answers, find_open_runs, note_seen
from bedrock_batch.realtime.reuse.answer_lookup import Mask, find_answers, find_segments, oldest_time, open_store
from bedrock_batch.realtime.reuse.stored_answers import StoredAnswers, TakenAnswers
from bedrock_batch.realtime.row_processor import RowProcessor


def look_up(processor: RowProcessor, source: RowSource, run: Run) -> StoredAnswers:
    """Return what the store, and the jobs of other unfinished runs, know about the questions of a run.

    A run that has begun keeps the numbers of its records, and so which questions it took, even if the settings disable
    the store by now. RunError if the store cannot be read.
    """
    settings, context, ledger = processor.settings, processor.context, run.ledger
    stored, asked = StoredAnswers(QuestionLog()), processor.model_input
    store = open_store(settings, context, run.options)
    if store is not None:
        stored.recorder = AnswerRecorder(store, asked, ledger.run_id, stored.questions, context.now, context.log)
    if ledger.is_new:
        ledger.begin_anew()  # other runs may have answered much since the start that decided
    mask = _read_taken(ledger)
    look = _LookUp(processor, source, run, store or AnswerStore(EmptyPlace()), stored)
    segments, runs = look.list_files(mask)
    if segments or mask is not None or any(each.jobs for each in runs):
        look.take(segments, runs, mask)
    note_seen(context, look.store, runs)
    return stored


class _LookUp:
    """The look-up of one run; `take` fills `stored`."""

    def __init__(
        self, processor: RowProcessor, source: RowSource, run: Run, store: AnswerStore, stored: StoredAnswers
    ) -> None:
        self.store = store
        self._processor = processor
        self._source = source
        self._run = run
        self._stored = stored
        self._oldest = oldest_time(processor.settings, processor.context)

    @property
    def _since(self) -> datetime | None:
        return self._oldest if self._run.ledger.is_new else None  # what a run has taken may have become too old since

    def list_files(self, mask: Mask | None) -> tuple[list[Segment], list[OpenRun]]:
        """Return the segments that may hold answers, and the other open runs; keep what only their ledgers have."""
        settings, context, ledger = self._processor.settings, self._processor.context, self._run.ledger
        if not settings.batch_resume:
            return [], []
        segments = find_segments(self._processor, self.store)
        if not ledger.is_new and mask is None:
            return segments, []  # the run takes nothing from others any more
        runs = list(find_open_runs(settings, context, self.store, ledger.run_id))
        if ledger.is_new and adopt_answers(context, self.store, runs):
            segments = find_segments(self._processor, self.store)
        return segments, runs

    def take(self, segments: list[Segment], runs: Sequence[OpenRun], mask: Mask | None) -> None:
        """Find the answers to all questions, and take those for which that is decided or decided now."""
        ledger, stored = self._run.ledger, self._stored
        found = find_answers(self._processor, self._source, self.store, segments, stored.questions, self._since)
        wanted = ~found.known if mask is None else mask & ~found.known
        jobs = self._attach(runs, wanted)
        if jobs is not None and jobs.kept:
            segments = find_segments(self._processor, self.store)
            found = self.store.find(segments, stored.questions.digests, self._since)
        if ledger.is_new:
            mask = _decide(found, jobs)
        if mask is not None:
            self._take(TakenAnswers(self.store, segments, self._since, found, stored.questions.digests, mask, jobs))
        if stored.recorder is not None:
            stored.recorder.known = found.came_since(self._oldest)
            stored.recorder.find = lambda digests: self.store.find(segments, digests, self._oldest).known
            stored.recorder.numbers = stored.taken.questions() if stored.taken else None

    def _attach(self, runs: Sequence[OpenRun], wanted: Mask) -> JobsElsewhere | None:
        """Attach to the jobs of other runs that hold some questions; keep the answers of those that have ended."""
        if not any(each.jobs for each in runs):
            return None
        digests, folder = self._stored.questions.digests, self._run.folder
        jobs = self._processor.jobs_elsewhere(self.store, runs, digests, np.flatnonzero(wanted), folder)
        if jobs is not None:
            jobs.begin()
        return jobs

    def _take(self, taken: TakenAnswers) -> None:
        """Take answers, and store which ones if the run is new."""
        ledger, log = self._run.ledger, self._processor.context.log
        if len(taken.mask) != len(self._stored.questions):
            raise _damaged(ledger, f"{len(taken.mask)} questions for {len(self._stored.questions)}")
        if not taken.mask.any():
            return
        if ledger.is_new:
            ledger.set_taken(_encode_taken(taken.mask))
        self._stored.taken = taken
        reused, free = int(taken.available.sum()), int(taken.free.sum())
        waiting = f" waiting={free - reused}" if free > reused else ""
        log.info("answer_store=%s reused=%d asked=%d%s", taken.store.location, reused, len(taken.mask) - free, waiting)


def _decide(found: FoundAnswers, jobs: JobsElsewhere | None) -> Mask:
    """Return which questions a new run does not ask: those that are answered, and those in jobs of other runs."""
    mask: Mask = found.known.copy()
    if jobs is not None:
        mask[jobs.waiting] = True
    return mask


def _encode_taken(taken: Mask) -> bytes:
    packed = base64.b64encode(zlib.compress(np.packbits(taken).tobytes())).decode("ascii")
    return json.dumps({"schema_version": 1, "questions": len(taken), "taken": packed}).encode("ascii")


def _read_taken(ledger: Ledger) -> Mask | None:
    """Return which questions a run that has begun takes from the store, None if it takes none."""
    if ledger.taken is None:
        return None
    data = ledger.read_taken()
    if data is None:
        raise _damaged(ledger, "it is missing")
    try:
        mask = _decode_taken(data)
        return mask if mask.any() else None  # the file may be there for the canary alone
    except (ValueError, LookupError, TypeError, zlib.error) as error:
        raise _damaged(ledger, type(error).__name__) from None


def _decode_taken(data: bytes) -> Mask:
    value: dict[str, Any] = json.loads(data)
    packed = np.frombuffer(zlib.decompress(base64.b64decode(value["taken"])), dtype=np.uint8)
    return np.unpackbits(packed, count=value["questions"]).astype(bool)


def count_taken(data: bytes) -> int:
    """Return how many questions a run takes from the answer store by its file; 0 if the file is damaged."""
    try:
        return int(_decode_taken(data).sum())
    except (ValueError, LookupError, TypeError, zlib.error):  # a start reports it
        return 0


@dataclass(frozen=True, slots=True)
class CanaryDecision:
    """The records that the canary of a run has answered, which no job holds, and the frame in which the jobs ask."""

    numbers: tuple[int, ...]
    frame: str


def store_canary(ledger: Ledger, decision: CanaryDecision, questions: int) -> None:
    """Store what the canary has answered before the first job is made; the run has so many questions.

    The journal alone does not say it: a process that has lost the run may still add an answer there.
    """
    mask = _read_taken(ledger)
    value = json.loads(_encode_taken(np.zeros(questions, bool) if mask is None else mask))
    value["canary"] = {"numbers": list(decision.numbers), "frame": decision.frame}
    ledger.set_taken(json.dumps(value).encode("ascii"))


def read_canary(ledger: Ledger) -> CanaryDecision | None:
    """Return what the canary had answered when the jobs of a run were made, None if there was none."""
    data = None if ledger.taken is None else ledger.read_taken()
    try:
        found = None if data is None else json.loads(data).get("canary")
        return None if found is None else CanaryDecision(tuple(map(int, found["numbers"])), str(found["frame"]))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(ledger, type(error).__name__) from None


def _damaged(ledger: Ledger, reason: str) -> RunError:
    return RunError(
        f"{ledger.taken} beside the ledger {ledger.location} is damaged ({reason}): restore it, or set "
        "BEDROCK_BATCH_RESUME=false to begin a new run, which pays again for what this one has answered"
    )
