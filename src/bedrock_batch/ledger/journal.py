"""The journal of real-time answers: an answer counts once it is kept, and is never asked for again."""

from __future__ import annotations

import json
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from bedrock_batch.ledger.store import LedgerStore
from bedrock_batch.records import ModelAnswer, ModelInvocationOutput, RecordError


class AnswerJournal:
    """Keeps the output of every record asked in real time, by row number and purpose.

    `purpose` tells the reasons apart for which one row may be asked several times: its first asking, the salvage of
    what batch did not answer, each round after a failed validation. Outputs of earlier starts lie in a file on disk;
    memory holds where each begins.
    """

    def __init__(self, store: LedgerStore, owner: str, folder: Path) -> None:
        self._store = store
        self._owner = owner
        self._path = folder / "journal.jsonl"
        self._places: dict[tuple[int, str], int] = {}
        self._pending: list[tuple[bytes, Future[None]]] = []
        self._pending_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._sequence = 0

    def load(self, *, failures: bool) -> int:
        """Read what earlier starts kept and return its number; failures that may pass are left out unless asked for."""
        with self._path.open("wb") as file:
            for data in self._store.answers():
                for line in data.splitlines(keepends=True):
                    entry = _parse(line)
                    if entry is not None and (failures or "body" in entry or not entry["retryable"]):
                        self._places[entry["number"], entry["purpose"]] = file.tell()
                        file.write(line)
        return len(self._places)

    def knows(self, number: int, purpose: str) -> bool:
        """Tell whether an earlier start kept an output for a row and a purpose."""
        return (number, purpose) in self._places

    def find(self, number: int, purpose: str) -> ModelInvocationOutput | None:
        """Return the output that was kept for a row and a purpose, or None."""
        place = self._places.get((number, purpose))
        if place is None:
            return None
        with self._path.open("rb") as file:
            file.seek(place)
            return _output(json.loads(file.readline()))

    def keep(self, output: ModelInvocationOutput, purpose: str) -> None:
        """Keep an output and return when it is safe.

        Threads that wait meanwhile are served by one write: whoever comes first writes for all.
        """
        ticket: Future[None] = Future()
        with self._pending_lock:
            self._pending.append((_line(output, purpose), ticket))
        with self._write_lock:
            if not ticket.done():
                self._write_pending()
        ticket.result()

    def _write_pending(self) -> None:
        with self._pending_lock:
            pending, self._pending = self._pending, []
        self._sequence += 1
        try:
            self._store.append_answers(
                f"{self._owner}-{self._sequence:08d}.jsonl", b"".join(line for line, _ in pending)
            )
        except BaseException as error:
            for _, ticket in pending:
                ticket.set_exception(error)
        else:
            for _, ticket in pending:
                ticket.set_result(None)


def _line(output: ModelInvocationOutput, purpose: str) -> bytes:
    entry: dict[str, Any] = {"number": output.number, "purpose": purpose, "attempts": output.attempts}
    entry["model_id"] = output.model_id
    match output:
        case ModelAnswer():
            entry |= {"body": output.body, "prefilled": output.prefilled}
        case RecordError():
            entry |= {"kind": output.kind, "message": output.message, "retryable": output.retryable}
    return json.dumps(entry, separators=(",", ":")).encode("ascii") + b"\n"


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return an entry, or None for a line that a kill cut short."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and ("body" in entry or "retryable" in entry) else None


def _output(entry: dict[str, Any]) -> ModelInvocationOutput:
    number, model_id, attempts = entry["number"], entry["model_id"], entry["attempts"]
    if "body" in entry:
        return ModelAnswer(number, entry["body"], model_id, "realtime", attempts, entry["prefilled"])
    return RecordError(number, entry["kind"], entry["message"], "realtime", entry["retryable"], attempts, model_id)
