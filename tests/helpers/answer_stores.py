"""Answers in a store, and a place whose process is killed at one of its calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pyarrow as pa

from bedrock_batch.answer_store.place import Place
from bedrock_batch.answer_store.questions import digest_prompts
from bedrock_batch.answer_store.segments import SCHEMA
from bedrock_batch.answer_store.store import AnswerStore
from bedrock_batch.errors import RunError

FRAME = "a.model-v1:0/" + "0" * 32
# The frames in which the runs of the tests may ask.
FRAMES = frozenset("a.model-v1:0/" + digit * 32 for digit in "0123456789abcdef")
NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


def stored_answer(question: bytes, text: str, at: datetime = NOON, run_id: str = "run") -> dict[str, Any]:
    return {
        "question": question,
        "answered_at": at,
        "body": json.dumps({"text": text}).encode(),
        "model_id": "a.model-v1:0",
        "prefilled": False,
        "source": "batch",
        "stop_reason": "end_turn",
        "input_tokens": 3,
        "output_tokens": 4,
        "run_id": run_id,
    }


def answers_table(answers: Iterable[dict[str, Any]]) -> pa.Table:
    """Return the table of some stored answers, as a segment holds them."""
    return pa.Table.from_pylist(sorted(answers, key=lambda answer: answer["question"]), schema=SCHEMA)


def ask(store: AnswerStore, prompts: list[str], frame: str = FRAME, since: datetime | None = None) -> dict[int, str]:
    """Return the texts of the answers to some prompts by the position of the prompt."""
    found = store.find(store.segments(frame, lambda: FRAMES), digest_prompts(prompts), since)
    wanted = np.flatnonzero(found.known)
    texts = {}
    for positions, table in store.read(found, wanted):
        for position, body in zip(positions.tolist(), table["body"].to_pylist(), strict=True):
            texts[position] = json.loads(body)["text"]
    assert sorted(texts) == wanted.tolist()
    return texts


class KilledPlace:
    """A place whose process is killed before the call with a number (from 0), or may not delete.

    `before` is called ahead of each call; `calls` are the calls so far.
    """

    def __init__(
        self,
        place: Place,
        killed_at: int | None = None,
        *,
        may_delete: bool = True,
        before: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._place = place
        self._killed_at = killed_at
        self._may_delete = may_delete
        self._before = before
        self.location = place.location
        self.calls: list[str] = []

    def files(self, folder: str) -> Iterator[tuple[str, int]]:
        self._count("files")
        yield from self._place.files(folder)

    def read(self, folder: str, name: str) -> bytes:
        self._count("read")
        return self._place.read(folder, name)

    def open(self, folder: str, name: str, size: int) -> Any:
        self._count("open")
        return self._place.open(folder, name, size)

    def write(self, folder: str, name: str, data: bytes) -> None:
        self._count("write")
        self._place.write(folder, name, data)

    def everything(self) -> Iterator[tuple[str, str, int]]:
        self._count("everything")
        yield from self._place.everything()

    def delete(self, folder: str, name: str) -> None:
        self._count("delete")
        if not self._may_delete:
            raise RunError("AccessDenied")
        self._place.delete(folder, name)

    def where(self, folder: str, name: str) -> str:
        return self._place.where(folder, name)

    def _count(self, call: str) -> None:
        self._before(len(self.calls))
        if self._killed_at == len(self.calls):
            raise KeyboardInterrupt
        self.calls.append(call)
