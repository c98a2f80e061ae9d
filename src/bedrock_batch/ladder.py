"""How a model is asked at present: by the best that it accepts, and by less once it has refused that."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from bedrock_batch.families import Capabilities
from bedrock_batch.model_input import ModelInput
from bedrock_batch.refusals import learn
from bedrock_batch.text import shorten

MESSAGE_LIMIT = 300


class ModelLadder:
    """One model and the way of asking it, which only ever goes down; shared by all threads of a run.

    `build` makes the model's input for capabilities: the first time those of the table, later without what the service
    has refused.
    """

    def __init__(self, able: Capabilities, build: Callable[[Capabilities], ModelInput], log: logging.Logger) -> None:
        self._top = (able, build(able))
        self._build = build
        self._log = log
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Go back to the top, as for a new run."""
        with self._lock:
            self._able, self._current = self._top
            self.refusals: list[str] = []

    @property
    def current(self) -> ModelInput:
        return self._current

    @property
    def capabilities(self) -> Capabilities:
        """What the model accepts, as far as is known by now."""
        return self._able

    def lower(self, refused: ModelInput, message: str) -> ModelInput | None:
        """Return another way to ask after the service refused `refused` with `message`, or None where there is none."""
        with self._lock:
            if refused is not self._current:  # another thread has met the same refusal before
                return self._current
            learned = learn(self._able, message)
            if learned is None:
                return None
            lower = self._build(learned)
            if (lower.head, lower.tail) == (refused.head, refused.tail):
                return None
            self._able, self._current = learned, lower
            note = f"refused: {shorten(message, MESSAGE_LIMIT)}; from here on structure={lower.structure}"
            self.refusals.append(note)
            self._log.warning("model=%s %s", refused.model_id, note)
            return lower
