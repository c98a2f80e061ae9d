"""The journal of real-time outputs: an output counts once it is stored, and its record is not asked again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO

from bedrock_batch.environment.private_files import private_opener
from bedrock_batch.errors import RunError
from bedrock_batch.ledger.fence import Fence
from bedrock_batch.ledger.store import LedgerStore
from bedrock_batch.records import ModelOutput, RecordError, RecordOutput


class AnswerJournal:
    """Stores the output of every record that is asked in real time, by row number and purpose.

    One row may be asked for several purposes: the first time, as fallback for batch, and after each failed validation.
    Outputs of earlier starts are in a file on disk, and memory holds their offsets. Each request whose output is stored
    here passes `fence` first, and so does storing it. `label` returns further members for the line of an answer to a
    purpose, by which other runs find it.
    """

    def __init__(self, store: LedgerStore, owner: str, folder: Path, fence: Fence) -> None:
        self.fence = fence
        self._store = store
        self._owner = owner
        self._path = folder / "journal.jsonl"
        self._places: dict[tuple[int, str], int] = {}
        self.is_empty = True
        """Whether earlier starts stored no output, not even a failure that they would ask again."""
        self._pending: list[tuple[bytes, Future[None]]] = []
        self._pending_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._sequence = 0
        self.label: Callable[[ModelOutput, str], Mapping[str, Any]] = _no_label

    def load(self, *, failures: bool) -> int:
        """Read the outputs of earlier starts and return their number; with `failures`, retryable errors count, too.

        RunError for a line that this step cannot have written. A last line that a kill cut short is ignored.
        """
        with open(self._path, "w+b", opener=private_opener) as file:
            for where, data in self._store.answers():
                for number, line in enumerate(data.splitlines(keepends=True), 1):
                    entry = _parse(line)
                    if entry is None and line.endswith(b"\n"):
                        raise _damaged(where, number)
                    self.is_empty = False
                    if entry is not None and (failures or "body" in entry or not entry["retryable"]):
                        self._note_place(entry, line, file)
        return len(self._places)

    def _note_place(self, entry: dict[str, Any], line: bytes, file: BinaryIO) -> None:
        """Copy an output to the file and note its offset.

        If a row has two outputs, an answer counts before a failure, and the line that sorts first before the other, so
        that the order of reading does not matter.
        """
        key = entry["number"], entry["purpose"]
        line = line if line.endswith(b"\n") else line + b"\n"
        end = file.seek(0, SEEK_END)
        if key in self._places and not self._is_better(line, "body" in entry, self._places[key], file):
            return
        file.seek(end)
        file.write(line)
        self._places[key] = end

    def _is_better(self, line: bytes, is_answer: bool, place: int, file: BinaryIO) -> bool:
        file.seek(place)
        known = file.readline()
        was_answer = b'"body":' in known and "body" in json.loads(known)
        return (not is_answer, line) < (not was_answer, known)

    @property
    def earlier_outputs(self) -> int:
        """The number of outputs that earlier starts stored."""
        return len(self._places)

    def numbers_for(self, purpose: str) -> list[int]:
        """Return the rows for which earlier starts stored an output for a purpose, in order."""
        return sorted(number for number, known in self._places if known == purpose)

    def knows(self, number: int, purpose: str) -> bool:
        """Return whether an earlier start stored an output for a row and a purpose."""
        return (number, purpose) in self._places

    def find(self, number: int, purpose: str, check: int | None = None) -> RecordOutput | None:
        """Return the output of an earlier start for a row and a purpose, or None.

        `check` is the CRC-32 of the row's prompt. RunError if the output was given to another prompt.
        """
        place = self._places.get((number, purpose))
        if place is None:
            return None
        with self._path.open("rb") as file:
            file.seek(place)
            entry = json.loads(file.readline())
        if check is not None and entry.get("check", check) != check:  # absent in journals of earlier versions
            raise RunError(
                f"the kept answer to record {number} was given to another prompt than these inputs give now: restore "
                "the files beside the ledger, or set BEDROCK_BATCH_RESUME=false to begin a new run"
            )
        return _output(entry)

    def keep(self, output: RecordOutput, purpose: str, check: int | None = None) -> None:
        """Store an output durably, with the CRC-32 of its prompt.

        Threads that wait at the same time share one write. RunError if another process has taken over the run, which
        then asks and stores on its own.
        """
        self.fence.check()
        line = _line(output, purpose, check, self.label)
        ticket: Future[None] = Future()
        with self._pending_lock:
            self._pending.append((line, ticket))
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


def _no_label(output: ModelOutput, purpose: str) -> Mapping[str, Any]:  # noqa: ARG001 - no other run finds the answer
    return {}


def _line(
    output: RecordOutput, purpose: str, check: int | None, label: Callable[[ModelOutput, str], Mapping[str, Any]]
) -> bytes:
    entry: dict[str, Any] = {"number": output.number, "purpose": purpose, "attempts": output.attempts}
    entry["model_id"] = output.model_id
    entry |= {} if check is None else {"check": check}
    match output:
        case ModelOutput():
            entry |= {"body": output.body, "prefilled": output.prefilled, "frame": output.frame}
            entry |= label(output, purpose)
        case RecordError():
            entry |= {"kind": output.kind, "message": output.message, "retryable": output.retryable}
    return json.dumps(entry, separators=(",", ":")).encode("ascii") + b"\n"


@dataclass(frozen=True, slots=True)
class LabelledAnswer:
    """An answer in a journal with the digest of its question and its time, in milliseconds since 1970."""

    question: bytes
    at: int
    output: ModelOutput


def labelled_answers(store: LedgerStore) -> Iterator[LabelledAnswer]:
    """Yield the answers in the journal of another run that say which question they answer; nothing is written.

    Lines of earlier versions do not say it. A line that cannot be read is left to the run itself.
    """
    for _, data in store.answers(merge=False):
        for line in data.splitlines():
            entry = _parse(line)
            if entry is not None and "body" in entry and (label := _read_label(entry)) is not None:
                output = _output(entry)
                if isinstance(output, ModelOutput):
                    yield LabelledAnswer(*label, output)


def _read_label(entry: Mapping[str, Any]) -> tuple[bytes, int] | None:
    try:
        question, at = bytes.fromhex(entry["question"]), entry["at"]
    except (LookupError, TypeError, ValueError):
        return None
    return (question, at) if type(at) is int and 0 <= at < 2**53 else None


def _damaged(where: str, line: int) -> RunError:
    return RunError(
        f"the kept answers {where} are damaged (line {line}): restore the file, or set BEDROCK_BATCH_RESUME=false to "
        "begin a new run, which pays again for what this one has answered"
    )


_MEMBERS: dict[str, type] = {"number": int, "purpose": str, "attempts": int, "model_id": str}
_OF_ANSWER: dict[str, type] = {**_MEMBERS, "body": dict, "prefilled": bool}
_OF_FAILURE: dict[str, type] = {**_MEMBERS, "kind": str, "message": str, "retryable": bool}


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the entry on a line, or None if the line is not one."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    members = _OF_ANSWER if "body" in entry else _OF_FAILURE
    return entry if all(isinstance(entry.get(name), kind) for name, kind in members.items()) else None


def _output(entry: dict[str, Any]) -> RecordOutput:
    number, model_id, attempts = entry["number"], entry["model_id"], entry["attempts"]
    if "body" in entry:
        frame = str(entry.get("frame", ""))  # absent in journals of earlier versions
        return ModelOutput(number, entry["body"], model_id, "realtime", attempts, entry["prefilled"], frame=frame)
    return RecordError(number, entry["kind"], entry["message"], "realtime", entry["retryable"], attempts, model_id)
