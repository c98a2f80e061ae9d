"""Under which frames an answer is kept: also those by which a run finds what was asked after a refusal."""

from __future__ import annotations

import pyarrow as pa

from bedrock_batch.answer_store.store import AnswerStore
from bedrock_batch.models.question_frame import fallback_frame, model_of


class LinkedFrames:
    """Keeps the answers of a run, which begins to ask in `frame` as `model_id` and goes on in others if refused."""

    def __init__(self, store: AnswerStore, frame: str, model_id: str) -> None:
        self._store = store
        self._frame = frame
        self._model_id = model_id
        self._linked: set[str] = set()

    def places_of(self, frame: str) -> list[str]:
        """Return the frames under which the answers that were given in `frame` are kept: see `places_of`."""
        return places_of(self._frame, self._model_id, frame)

    def keep(self, frame: str, answers: pa.Table) -> None:
        """Store answers that were given in `frame`, and once that the frame of the run leads to them."""
        places = self.places_of(frame)
        if places[0] not in (self._frame, *self._linked):
            self._store.link(self._frame, places[0])
            self._linked.add(places[0])
        for place in places:
            self._store.keep(place, answers)


def places_of(began: str, model_id: str, frame: str) -> list[str]:
    """Return the frames under which answers are kept that were given in `frame`.

    They were given to a run that began to ask in the frame `began` as `model_id`; the first place is that by which such
    a run finds them. An answer of a fallback model is also one to a question that this model is asked as the primary.
    """
    if model_of(frame) == model_of(began):
        return [frame]
    return [fallback_frame(began, model_id, frame), frame]
