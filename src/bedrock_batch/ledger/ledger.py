"""The ledger of a run while a process works on it; `takeover` opens it."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bedrock_batch.errors import TakenOverError
from bedrock_batch.ledger.document import JobEntry, LedgerDocument, encode_document, parse_document
from bedrock_batch.ledger.fence import Fence
from bedrock_batch.ledger.identity import changed_parts
from bedrock_batch.ledger.job_questions import JobQuestions, questions_name
from bedrock_batch.ledger.journal import AnswerJournal
from bedrock_batch.ledger.store import ChangedError, LedgerStore, MissingError


class Ledger:
    """What a run has begun and what it was answered; every change is stored before the run acts upon it.

    Methods may be called from several threads. Only one process works on a run: see `takeover.open_ledger`. Everything
    that is paid for passes `fence` first. `journal` keeps the real-time answers, in `folder`.
    """

    def __init__(
        self,
        store: LedgerStore,
        document: LedgerDocument,
        tag: str | None,
        lease: float,
        clocks: Sequence[Callable[[], float]],
        folder: Path,
    ) -> None:
        self._store = store
        self._document = document
        self._tag = tag
        self._owner = document.owner
        self._lock = threading.RLock()
        self._lost: TakenOverError | None = None
        self.fence = Fence(self._prove, clocks, None if store.is_exclusive else lease)
        self.journal = AnswerJournal(store, document.owner or "", folder, self.fence)

    @property
    def run_id(self) -> str:
        return self._document.run_id

    @property
    def mode(self) -> str | None:
        """The mode in which the run was begun, None before the decision."""
        return self._document.mode

    @property
    def location(self) -> str:
        """The location of the document."""
        return self._store.location

    @property
    def absolute_location(self) -> str:
        """The location of the document for other processes, which may have another working folder."""
        return self.location if "://" in self.location else str(Path(self.location).absolute())

    @property
    def jobs(self) -> list[JobEntry]:
        """The jobs known so far, in the order of their rows."""
        # Without the lock, which a write that hangs may hold: entries are replaced and never changed.
        return [entry.model_copy() for entry in tuple(self._document.jobs)]

    def job(self, index: int) -> JobEntry | None:
        """Return the entry of a job, or None."""
        with self._lock:
            jobs = self._document.jobs
            return jobs[index].model_copy() if index < len(jobs) else None

    def put_job(self, entry: JobEntry) -> None:
        """Store the entry of a job; jobs are added in order."""
        with self._lock:
            if entry.index < len(self._document.jobs):
                self._document.jobs[entry.index] = entry.model_copy()
            else:
                self._document.jobs.append(entry.model_copy())
            self.store()

    def change_job(self, index: int, **changes: Any) -> None:
        """Store some changes of a job."""
        with self._lock:
            self.put_job(self._document.jobs[index].model_copy(update=changes))

    def set_mode(self, mode: str) -> None:
        """Store the mode in which the run is begun."""
        with self._lock:
            self._document = self._document.model_copy(update={"mode": mode})
            self.store()

    def keep_questions(self, index: int, content_digest: str, questions: JobQuestions) -> None:
        """Store which questions a job asks, for other runs."""
        self._store.write_file(questions_name(index, content_digest), questions.encode())

    @property
    def taken(self) -> str | None:
        """The name of the file that `set_taken` stored, None without one."""
        return self._document.taken

    def read_taken(self) -> bytes | None:
        """Return the content of the file that `set_taken` stored, or None if it is missing."""
        return None if self.taken is None else self._store.read_file(self.taken)

    def set_taken(self, data: bytes) -> None:
        """Store which answers the run takes from the answer store.

        The file is named by its content, and the document names the file. A process that has lost the run can therefore
        not change what the run takes.
        """
        name = f"taken-{hashlib.sha256(data).hexdigest()[:32]}.json"
        if name == self.taken:
            return
        self._store.write_file(name, data)
        with self._lock:
            self._document = self._document.model_copy(update={"taken": name})
            self.store()

    def begin_anew(self) -> None:
        """Forget what a start has decided that asked nothing: the mode, and which answers the run takes."""
        if self.mode is None and self.taken is None:
            return
        with self._lock:
            self._document = self._document.model_copy(update={"mode": None, "taken": None})
            self.store()

    @property
    def is_new(self) -> bool:
        """Whether the run has not begun to ask: it has planned no job, and an earlier start was answered nothing."""
        return not self._document.jobs and self.journal.is_empty

    @property
    def finished(self) -> bool:
        """Whether every row has its answer or its error, also in an earlier start."""
        return self._document.finished

    def finish(self) -> None:
        """Store that every row has its answer or its error."""
        with self._lock:
            self._document = self._document.model_copy(update={"finished": True})
            self.store()

    def release(self) -> None:
        """Store that no process works on the run, and close the ledger."""
        try:
            with self._lock:
                self._document = self._document.model_copy(update={"owner": None})
                self.store()
        finally:
            self.close()

    def close(self) -> None:
        """Let no thread of this process pay for anything or store anything: a thread may outlive its run."""
        self.fence.close()
        self._lost = self._lost or TakenOverError(f"this process does not work on run {self.run_id} any more")

    def log_changes(self, name: str, log: logging.Logger) -> None:
        """Log how this run differs from the last run with that name, and store it as the last run."""
        note, run_id, parts = f"last-run-{name}.json", self.run_id, self._document.parts
        try:
            last = json.loads(self._store.read_note(note) or b"{}")
            changed = changed_parts(last["parts"], parts)
        except (ValueError, KeyError, AttributeError, TypeError):
            changed, last = (), {}
        if last and last.get("run_id") != run_id:
            reason = f"{', '.join(changed)} changed" if changed else "BEDROCK_BATCH_RESUME=false"
            log.info("run_id=%s does not continue run %s: %s", run_id, last.get("run_id"), reason)
        self._store.write_note(note, json.dumps({"run_id": run_id, "parts": parts}).encode("ascii"))

    def store(self) -> None:
        """Write the document; TakenOverError if another process has taken over the run."""
        with self._lock:
            if self._lost is not None:
                raise self._lost
            readings = self.fence.read_clocks()
            self._document.beat += 1
            try:
                self._tag = self._write(encode_document(self._document))
            except ChangedError as error:
                self._lost = TakenOverError(
                    f"another process has taken over run {self.run_id} ({error}): this one stops, and leaves it to it"
                )
                raise self._lost from error
            except MissingError as error:
                self._lost = TakenOverError(
                    f"the ledger of run {self.run_id} was deleted while the run went on ({error}): this process stops, "
                    "since it cannot know who works on the run. Restore the ledger and start the step again; without "
                    "it, what the run was answered is paid for again"
                )
                raise self._lost from error
            self.fence.held_since(readings)

    def _write(self, data: bytes) -> str:
        """Write the document and return its tag.

        An earlier write of this process that seemed to fail may have succeeded. The owner in the stored document shows
        that, and the document is then replaced.
        """
        try:
            return self._store.write(data, self._tag)
        except ChangedError:
            found = self._store.read()
            if found is None or parse_document(found[0], self.location).owner != self._owner:
                raise
            return self._store.write(data, found[1])

    def _prove(self) -> None:
        """Prove that this process holds the run, by its lock or by writing the document."""
        if self._store.is_exclusive:
            with self._lock:
                if self._lost is None and not self._store.holds():
                    self._lost = TakenOverError(
                        f"the lock of run {self.run_id} beside {self.location} was removed or replaced: this process "
                        "stops, since another one may work on the run. Start the step again once no other runs"
                    )
                if self._lost is not None:
                    raise self._lost
            return
        with self._lock:
            if not self.fence.is_proved():
                self.store()
