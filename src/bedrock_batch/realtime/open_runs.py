"""Keeps in the answer store what other unfinished runs were answered and what only their ledgers have so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from bedrock_batch.answer_store.frame_links import LinkedFrames
from bedrock_batch.answer_store.markers import FRAME, Marker
from bedrock_batch.answer_store.questions import DIGEST, DIGEST_BYTES
from bedrock_batch.answer_store.recorder import ANSWERS_AT_ONCE, BYTES_AT_ONCE
from bedrock_batch.answer_store.segments import answer_table, encode_body, merge_tables
from bedrock_batch.answer_store.store import AnswerStore, Positions
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import RunError
from bedrock_batch.ledger.document import JobEntry, LedgerDocument, parse_document
from bedrock_batch.ledger.journal import LabelledAnswer, labelled_answers
from bedrock_batch.ledger.open_run import store_at
from bedrock_batch.ledger.store import LedgerStore
from bedrock_batch.models.model_output import is_complete, read_output
from bedrock_batch.text import printable, shorten

# If a ledger stays as it is for so long, and for two of its leases, no process works on its run.
DEAD_SECONDS = 3600.0
# What reading a marker, a ledger or answers of another run may raise, whatever somebody has written there.
UNUSABLE = (RunError, OSError, ValueError)
_REASON_CHARACTERS = 300


@dataclass(slots=True)
class OpenRun:
    """Another run that is not known to have ended, with its ledger as it was when this process read it.

    `document` is None if there is no ledger. `places` are the frames and names of the run's markers. `kept` are the
    indices of the jobs whose answers this process has kept, and `is_adopted` says that it has kept those of the
    journal.
    """

    marker: Marker
    ledger: LedgerStore
    document: LedgerDocument | None
    places: tuple[tuple[str, str], ...]
    kept: set[int] = field(default_factory=set)
    is_adopted: bool = False

    @property
    def jobs(self) -> list[JobEntry]:
        """The jobs that were created and whose answers no other run has kept."""
        entries = self.document.jobs if self.document else []
        return [each for each in entries if each.arn and each.index not in self.marker.kept | self.kept]

    @property
    def is_released(self) -> bool:
        """Whether the last process that worked on the run has ended in order."""
        return self.document is not None and (self.document.finished or self.document.owner is None)


class JobsElsewhere(Protocol):
    """The batch jobs of other runs that hold questions of this run.

    `held` are these questions, and `waiting` those in jobs that have not ended. `kept` counts the answers that the
    store has got of the jobs by now.
    """

    @property
    def held(self) -> Positions: ...
    @property
    def waiting(self) -> Positions: ...
    @property
    def kept(self) -> int: ...
    def begin(self) -> None: ...
    def wait(self) -> None: ...


def find_open_runs(settings: Settings, context: RunContext, store: AnswerStore, run_id: str) -> Iterator[OpenRun]:
    """Yield the other runs whose markers the store has seen, each ledger once.

    A marker whose ledger cannot be read is a line in the log.
    """
    markers: dict[str, Marker] = {}
    places: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for frame, name, marker in store.markers():
        if marker is None:
            log_unusable(context, f"{frame}/{name}", "the marker is damaged or of another version of the step")
        elif marker.run_id != run_id:
            markers[marker.ledger] = marker
            places[marker.ledger].append((frame, name))
    for location, marker in markers.items():
        try:
            ledger = store_at(location, settings, context)
            found = ledger.read()
            document = parse_document(found[0], location) if found else None
        except UNUSABLE as error:
            log_unusable(context, location, str(error))
        else:
            if document is None:
                log_unusable(context, location, "there is no ledger")
            yield OpenRun(marker, ledger, document, tuple(places[location]))


def adopt_answers(context: RunContext, store: AnswerStore, runs: Iterable[OpenRun]) -> int:
    """Keep the real-time answers that the ledgers of other runs have and the store does not; return how many."""
    count = 0
    for run in runs:
        if run.document is None:
            continue
        try:
            adopted = AnswerAdoption(store, run.marker).keep(labelled_answers(run.ledger))
        except UNUSABLE as error:
            log_unusable(context, run.marker.ledger, str(error))
        else:
            run.is_adopted = True
            if adopted:
                log_adopted(context, store, run, adopted)
            count += adopted
    return count


def note_seen(context: RunContext, store: AnswerStore, runs: Iterable[OpenRun]) -> None:
    """Close the markers of runs on which no process works, if their answers are kept; note what was seen of others.

    A run that goes on marks its frames again.
    """
    now = context.now().timestamp()
    for run in runs:
        try:
            _note_seen(store, run, now)
        except RunError as error:  # a later run reads the ledger once more
            context.log.debug("open_run=%s marker=unchanged: %s", run.marker.ledger, error)


def note_collected(context: RunContext, store: AnswerStore, runs: Iterable[OpenRun]) -> None:
    """Do as `note_seen` after a wait for the jobs of some runs.

    A run whose ledger has changed since it was read has marked its frames again, or has closed its markers.
    """
    note_seen(context, store, [run for run in runs if _is_as_it_was(run)])


def _is_as_it_was(run: OpenRun) -> bool:
    try:
        found = run.ledger.read()
        document = parse_document(found[0], run.marker.ledger) if found else None
    except UNUSABLE:
        return False
    return document is not None and run.document is not None and document.beat == run.document.beat


def _note_seen(store: AnswerStore, run: OpenRun, now: float) -> None:
    document, marker = run.document, run.marker
    if document is None:
        if "://" not in marker.ledger:  # it may be the ledger of another host
            return
        is_over, beat, lease = True, 0, 0.0
    else:
        beat, lease = document.beat, document.lease or 0.0
        is_dead = marker.beat == beat and now - marker.seen_at > max(DEAD_SECONDS, 2 * lease)
        # A run that was released has kept what it has collected.
        left = [job for job in run.jobs if job.state != "collected" or not run.is_released]
        is_over = run.is_adopted and (document.finished or (not left and (is_dead or run.is_released)))
    for frame, name in run.places:
        if is_over:
            store.unmark(frame, name)
        elif marker.beat != beat or run.kept:
            store.mark(frame, marker.seen(beat, now, run.kept))


def log_adopted(context: RunContext, store: AnswerStore, run: OpenRun, count: int) -> None:
    """Log that answers of another run are in the store now."""
    context.log.info(
        "answer_store=%s adopted=%d answers of the unfinished run %s", store.location, count, run.marker.run_id
    )


def log_unusable(context: RunContext, location: str, reason: str) -> None:
    """Log that something of another run cannot be used, which does not change this one."""
    context.log.info(
        "open_run=%s skipped: %s",
        printable(location),
        printable(shorten(reason, _REASON_CHARACTERS)),
    )


class AnswerAdoption:
    """Keeps the answers of another run in a store, if they are complete and the store has none that is as new."""

    def __init__(self, store: AnswerStore, marker: Marker) -> None:
        self._store = store
        self._run_id = marker.run_id
        self._frames = LinkedFrames(store, marker.frame, marker.model_id)
        self._waiting: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self._count = self._bytes = 0

    def keep(self, answers: Iterable[LabelledAnswer]) -> int:
        """Keep answers and return how many were new."""
        new = 0
        for answer in answers:
            self._take(answer)
            if self._count >= ANSWERS_AT_ONCE or self._bytes >= BYTES_AT_ONCE:
                new += self._flush()
        return new + self._flush()

    def _take(self, answer: LabelledAnswer) -> None:
        output = answer.output
        content = read_output(output.body)
        if (
            not FRAME.fullmatch(output.frame)
            or len(answer.question) != DIGEST_BYTES
            or not is_complete(content.stop_reason)
        ):
            return
        body = encode_body(output.body)
        origin = output.model_id, output.prefilled, output.source
        figures = content.stop_reason, content.input_tokens, content.output_tokens
        self._waiting[output.frame].append((answer.question, answer.at, body, *origin, *figures))
        self._count += 1
        self._bytes += len(body)

    def _flush(self) -> int:
        """Store the answers that wait and are new, and return their number."""
        waiting, self._waiting = self._waiting, defaultdict(list)
        self._count = self._bytes = 0
        new = 0
        for frame, rows in waiting.items():
            questions, *values = zip(*rows, strict=True)
            digests = np.frombuffer(b"".join(questions), dtype=DIGEST)
            place = self._frames.places_of(frame)[0]
            found = self._store.find(self._store.segments(place), digests)
            wanted = np.flatnonzero(found.times < np.array(values[0]))
            if len(wanted):
                kept = [[column[row] for row in wanted.tolist()] for column in values]
                table = merge_tables([answer_table(digests[wanted], kept, self._run_id)])
                self._frames.keep(frame, table)
                new += table.num_rows
        return new
