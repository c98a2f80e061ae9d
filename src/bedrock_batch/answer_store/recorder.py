"""Keeps the answers of a run in the answer store as they come."""

from __future__ import annotations

import json
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from bedrock_batch.answer_store.questions import Digests, QuestionLog, digest_attempts
from bedrock_batch.answer_store.segments import StoredAnswer
from bedrock_batch.answer_store.store import AnswerStore
from bedrock_batch.models.model_input import ModelInput
from bedrock_batch.models.question_frame import fallback_frame, model_of
from bedrock_batch.records import ModelOutput
from bedrock_batch.text import printable, shorten

# A segment is written when so many answers or bytes wait, or when the oldest has waited for so many seconds.
ANSWERS_AT_ONCE = 20_000
BYTES_AT_ONCE = 32 << 20
SECONDS_HELD = 60.0
_REASON_CHARACTERS = 500

# An answer that waits: its question, the number of the validation retry that gave it, and its columns in a segment from
# `answered_at` on.
_Waiting = tuple[int, int, tuple[Any, ...]]


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
        self._frame = asked.frame
        self._model_id = asked.model_id
        self._run_id = run_id
        self._questions = questions
        self._now = now
        self._log = log
        self._linked: set[str] = set()
        self._waiting: defaultdict[str, list[_Waiting]] = defaultdict(list)
        self._count = self._bytes = 0
        self._since: datetime | None = None
        self._has_failed = False
        self.numbers: npt.NDArray[np.int64] | None = None
        self.known: npt.NDArray[np.bool_] | None = None
        self.find: Callable[[Digests], npt.NDArray[np.bool_]] | None = None

    def add(
        self,
        output: ModelOutput,
        stop_reason: str | None,
        tokens: tuple[int | None, int | None],
        attempt: int = 0,
    ) -> None:
        """Take a complete answer; `attempt` is the number of the validation retry that gave it, 0 for none."""
        with self._warning(1):
            question = self._question(output.number)
            if output.source == "store" or not output.frame or (attempt == 0 and self._knows(question)):
                return
            body = json.dumps(output.body, separators=(",", ":")).encode("ascii")
            origin = output.model_id, output.prefilled, output.source
            self._take(output.frame, question, attempt, (self._now(), body, *origin, stop_reason, *tokens))

    def add_batch(
        self, frame: str, model_id: str, prefilled: bool, answers: Iterable[tuple[int, Any, str, int, int]]
    ) -> None:
        """Take complete answers of one batch job: number, body, stop reason, input and output tokens of each."""
        if not frame:
            return
        now, origin = self._now(), (model_id, prefilled, "batch")
        with self._warning(1):
            for number, body, *figures in answers:
                question = self._question(number)
                if not self._knows(question):
                    self._take(frame, question, 0, (now, bytes(body), *origin, *figures))

    def flush(self, patience: float | None = None) -> None:
        """Store the answers that wait; a write that hangs is left alone after `patience` seconds, if that is given."""
        if patience is None:
            self._store_waiting()
            return
        thread = threading.Thread(target=self._store_waiting, name="answer-store", daemon=True)
        thread.start()
        thread.join(patience)

    def _store_waiting(self) -> None:
        waiting, self._waiting = self._waiting, defaultdict(list)
        self._count, self._bytes, self._since = 0, 0, None
        for frame, taken in waiting.items():
            with self._warning(len(taken)):
                answers = self._with_digests(taken)
                for place in self._places_of(frame) if answers else ():
                    self._store.keep(place, answers)

    def compact(self) -> None:
        """Merge the small files that the store has in the frames of the run, if there are many."""
        try:
            if count := self._store.compact():
                self._log.info("answer_store=%s merged=%d small files", self._store.location, count)
        except Exception as error:
            self._log.warning("answer_store=%s merged=no: %s", self._store.location, _describe(error))

    def _take(self, frame: str, question: int, attempt: int, columns: tuple[Any, ...]) -> None:
        answered_at, body, *_ = columns
        self._waiting[frame].append((question, attempt, columns))
        self._count += 1
        self._bytes += len(body)
        self._since = self._since or answered_at
        has_waited = abs((answered_at - self._since).total_seconds()) >= SECONDS_HELD  # the clock may be set back
        if self._count >= ANSWERS_AT_ONCE or self._bytes >= BYTES_AT_ONCE or has_waited:
            self.flush()

    def _with_digests(self, waiting: Sequence[_Waiting]) -> list[StoredAnswer]:
        """Return answers with the digests of their questions, which are found for many questions at once."""
        digests, answers = self._questions.digests, []
        for attempt in {attempt for _, attempt, _ in waiting}:
            mine = [(question, columns) for question, each, columns in waiting if each == attempt]
            asked = digests[[question for question, _ in mine]]
            asked = digest_attempts(asked, attempt) if attempt else asked
            is_known = self.find(asked) if attempt and self.find else np.zeros(len(asked), dtype=bool)
            data, size = asked.tobytes(), asked.dtype.itemsize
            for index, (_, columns) in enumerate(mine):
                if not is_known[index]:  # a start that continues a run gets its retries from the journal
                    digest = data[index * size : (index + 1) * size]
                    answers.append(StoredAnswer(self._run_id, digest, *columns))
        return answers

    def _places_of(self, frame: str) -> list[str]:
        """Return the frames under which answers are kept, with a link to the first from the frame of the run.

        An answer of the fallback model is also an answer to a question that a run with this model as its primary asks.
        """
        is_fallback = model_of(frame) != model_of(self._frame)
        place = fallback_frame(self._frame, self._model_id, frame) if is_fallback else frame
        if place not in (self._frame, *self._linked):
            self._store.link(self._frame, place)
            self._linked.add(place)
        return [place, frame] if is_fallback else [place]

    def _question(self, number: int) -> int:
        return number if self.numbers is None else int(self.numbers[number])

    def _knows(self, question: int) -> bool:
        return self.known is not None and bool(self.known[question])

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
