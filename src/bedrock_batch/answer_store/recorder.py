"""Keeps the answers of a run in the answer store as they come."""

from __future__ import annotations

import logging
import threading
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bedrock_batch.answer_store.frame_links import LinkedFrames
from bedrock_batch.answer_store.markers import Marker
from bedrock_batch.answer_store.questions import Digests, QuestionLog, digest_attempts
from bedrock_batch.answer_store.segments import VALUES, answer_table, encode_body
from bedrock_batch.answer_store.store import AnswerStore
from bedrock_batch.models.model_input import ModelInput
from bedrock_batch.records import ModelOutput, attempt_of
from bedrock_batch.text import printable, shorten

# A segment is written when so many answers or bytes wait, or when the oldest has waited for so many seconds.
ANSWERS_AT_ONCE = 20_000
BYTES_AT_ONCE = 32 << 20
SECONDS_HELD = 60.0
_REASON_CHARACTERS = 500


class _WaitingAnswers:
    """Answers of one frame that wait to be stored, by column, in parts.

    `attempts` are the numbers of the validation retries that gave them. The columns are those of a segment from
    `answered_at` to `output_tokens`; those of single answers are lists until the next part comes.
    """

    def __init__(self) -> None:
        self.questions = array("q")
        self.attempts = array("q")
        self._parts: list[list[pa.Array]] = []
        self._singles: list[list[Any]] = [[] for _ in VALUES]

    def __len__(self) -> int:
        return len(self.questions)

    def add(self, question: int, attempt: int, values: Sequence[Any]) -> None:
        """Take the answer to a question."""
        self.questions.append(question)
        self.attempts.append(attempt)
        for column, value in zip(self._singles, values, strict=True):
            column.append(value)

    def add_part(self, questions: npt.NDArray[np.int64], columns: list[pa.Array]) -> None:
        """Take the answers to some questions that were asked for the first time."""
        self._end_singles()
        self.questions.frombytes(questions.tobytes())
        self.attempts.frombytes(bytes(questions.nbytes))
        self._parts.append(columns)

    def columns(self) -> list[pa.Array]:
        """Return the columns of all answers, in the order of `questions`."""
        self._end_singles()
        return [pa.concat_arrays(parts) for parts in zip(*self._parts, strict=True)]

    def _end_singles(self) -> None:
        if self._singles[0]:
            self._parts.append([pa.array(each, field.type) for each, field in zip(self._singles, VALUES, strict=True)])
            self._singles = [[] for _ in VALUES]


class AnswerRecorder:
    """Stores the complete answers to the questions of a run that the store does not hold yet.

    `asked` is how the run begins to ask; `numbers` gives the question of each record, None where the
    record with number n is question n; `known` are the questions whose answers the store holds, and `find` returns the
    same for digests, those of retries. Whatever fails here is a warning, since the run has its answers.
    """

    def __init__(
        self,
        store: AnswerStore,
        asked: ModelInput,
        run_id: str,
        questions: QuestionLog,
        now: Callable[[], datetime],
        log: logging.Logger,
    ) -> None:
        self._store = store
        self._asked = asked
        self._frames = LinkedFrames(store, asked.frame, asked.model_id)
        self._run_id = run_id
        self._questions = questions
        self._now = now
        self._log = log
        self._marked: dict[tuple[str, str], None] = {}
        self._ledgers: list[Marker] = []
        self._waiting: defaultdict[str, _WaitingAnswers] = defaultdict(_WaitingAnswers)
        self._count = self._bytes = 0
        self._since: datetime | None = None
        self._has_failed = False
        self.numbers: npt.NDArray[np.int64] | None = None
        self.known: npt.NDArray[np.bool_] | None = None
        self.find: Callable[[Digests], npt.NDArray[np.bool_]] | None = None

    def open(self, ledger: str, frame: str = "", nested_id: str = "") -> None:
        """Mark the frames of the run, so that others find what only a ledger has; call it before the first request.

        `nested_id` is the id of the nested run whose ledger it is and which asks in `frame`, empty for the run itself.
        """
        with self._warning(0):
            asked = self._asked
            self._ledgers.append(Marker(self._run_id, ledger, asked.frame, asked.model_id, nested_id))
            for each in {asked.frame: None, frame or asked.frame: None}:
                self._mark(each)

    def _mark(self, frame: str) -> None:
        for marker in self._ledgers:
            if (frame, marker.name) not in self._marked:
                self._marked[frame, marker.name] = None  # before the write: one that fails is not tried for each answer
                self._store.mark(frame, marker)

    def close(self) -> None:
        """Remove the markers of the run, which is finished, unless answers could not be kept."""
        with self._warning(0):
            for frame, name in () if self._has_failed else tuple(self._marked):
                self._store.unmark(frame, name)

    def questions_of(self, numbers: Sequence[int]) -> bytes:
        """Return the digests of the questions of some records, 16 bytes for each."""
        questions = np.asarray(numbers, np.int64) if self.numbers is None else self.numbers[numbers]
        return self._questions.digests[questions].tobytes()

    def label(self, output: ModelOutput, purpose: str) -> dict[str, Any]:
        """Return what a line of the journal says of an answer, so that other runs can keep it; callers are threads.

        That is the digest of its question and its time, in milliseconds since 1970; nothing if that fails.
        """
        try:
            number = output.number if self.numbers is None else int(self.numbers[output.number])
            digest, attempt = self._questions.digest_of(number), attempt_of(purpose)
            if attempt:
                digest = digest_attempts(digest, attempt)
            return {"question": digest.tobytes().hex(), "at": _milliseconds(self._now())}
        except Exception as error:  # the answer counts for the run all the same
            self._log.debug("answer_store=%s label=no: %s", self._store.location, _describe(error))
            return {}

    def add(
        self,
        output: ModelOutput,
        stop_reason: str | None,
        tokens: tuple[int | None, int | None],
        attempt: int = 0,
    ) -> None:
        """Take a complete answer; `attempt` is the number of the validation retry that gave it, 0 for none."""
        with self._warning(1):
            question = output.number if self.numbers is None else int(self.numbers[output.number])
            is_known = attempt == 0 and self.known is not None and self.known[question]
            if output.source == "store" or not output.frame or is_known:
                return
            body, now = encode_body(output.body), self._now()
            figures = stop_reason, *tokens
            values = _milliseconds(now), body, output.model_id, output.prefilled, output.source, *figures
            self._waiting[output.frame].add(question, attempt, values)
            self._note_taken(output.frame, 1, len(body), now)

    def add_batch(
        self, frame: str, model_id: str, prefilled: bool, numbers: Sequence[int], values: Sequence[Sequence[Any]]
    ) -> None:
        """Take complete answers of one batch job.

        `values` are their bodies, stop reasons, input and output tokens, each in the order of `numbers`.
        """
        if not frame:
            return
        with self._warning(len(numbers)):
            questions = np.asarray(numbers, np.int64) if self.numbers is None else self.numbers[numbers]
            if self.known is not None and (is_known := self.known[questions]).any():
                questions = questions[~is_known]
                values = [list(compress(column, ~is_known)) for column in values]
            now, count = self._now(), len(questions)
            bodies, *figures = values
            bodies = [*map(bytes, bodies)]
            # A scalar of a time with its zone takes pyarrow two milliseconds.
            times = pa.repeat(_milliseconds(now), count).cast(VALUES[0].type)
            origin = (pa.repeat(value, count) for value in (model_id, prefilled, "batch"))
            given = (pa.array(each, field.type) for each, field in zip(figures, VALUES[5:], strict=True))
            columns = [times, pa.array(bodies, VALUES[1].type), *origin, *given]
            self._waiting[frame].add_part(questions, columns)
            self._note_taken(frame, count, sum(map(len, bodies)), now)

    def flush(self, patience: float | None = None) -> None:
        """Store the answers that wait; a write that hangs is left alone after `patience` seconds, if that is given."""
        if patience is None:
            self._store_waiting()
            return
        thread = threading.Thread(target=self._store_waiting, name="answer-store", daemon=True)
        thread.start()
        thread.join(patience)

    def _store_waiting(self) -> None:
        waiting, self._waiting = self._waiting, defaultdict(_WaitingAnswers)
        self._count, self._bytes, self._since = 0, 0, None
        for frame, taken in waiting.items():
            with self._warning(len(taken)):
                answers = self._as_table(taken)
                if answers.num_rows:
                    self._frames.keep(frame, answers)

    def compact(self) -> None:
        """Merge the small files that the store has in the frames of the run, if there are many."""
        try:
            if count := self._store.compact():
                self._log.info("answer_store=%s merged=%d small files", self._store.location, count)
        except Exception as error:
            self._log.warning("answer_store=%s merged=no: %s", self._store.location, _describe(error))

    def _note_taken(self, frame: str, count: int, size: int, now: datetime) -> None:
        """Store the answers that wait if they are many, or have waited for long."""
        self._count += count
        self._bytes += size
        self._since = self._since or now
        has_waited = abs((now - self._since).total_seconds()) >= SECONDS_HELD  # the clock may be set back
        if self._count >= ANSWERS_AT_ONCE or self._bytes >= BYTES_AT_ONCE or has_waited:
            self.flush()
        self._mark(frame)

    def _as_table(self, waiting: _WaitingAnswers) -> pa.Table:
        """Return answers as a segment holds them, without retries that the store has.

        A start that continues a run gets its retries from the journal.
        """
        attempts = np.array(waiting.attempts)
        digests = self._questions.digests[np.array(waiting.questions)]
        is_new = np.ones(len(digests), dtype=bool)
        for attempt in np.unique(attempts[attempts > 0]).tolist():
            mine = np.flatnonzero(attempts == attempt)
            digests[mine] = digest_attempts(digests[mine], attempt)
            if self.find is not None:
                is_new[mine] = ~self.find(digests[mine])
        columns = waiting.columns()
        if not is_new.all():
            columns = [column.filter(pa.array(is_new)) for column in columns]
        return answer_table(digests[is_new], columns, self._run_id)

    @contextmanager
    def _warning(self, count: int) -> Iterator[None]:
        """Log what fails in the block as a warning, and again only for debugging."""
        try:
            yield
        except Exception as error:
            level = logging.DEBUG if self._has_failed else logging.WARNING
            self._has_failed = True
            reason = _describe(error)
            self._log.log(level, "answer_store=%s kept=no answers=%d: %s", self._store.location, count, reason)


def _describe(error: Exception) -> str:
    return printable(shorten(str(error), _REASON_CHARACTERS))


def _milliseconds(moment: datetime) -> int:
    """Return a time as milliseconds since 1970."""
    return int(moment.timestamp() * 1000)
