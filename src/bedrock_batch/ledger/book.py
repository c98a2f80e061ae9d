"""One run's ledger while a process works on it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from uuid import uuid4

from bedrock_batch.errors import RunError
from bedrock_batch.ledger.document import JobEntry, LedgerDocument, parse_document
from bedrock_batch.ledger.identity import changed_parts
from bedrock_batch.ledger.journal import AnswerJournal
from bedrock_batch.ledger.store import ChangedError, LedgerStore

BEATS_PER_LEASE = 3


class Ledger:
    """What a run has begun and been given; every change is stored before it is acted upon.

    From several threads. Only one process works on a run: see `open_ledger`.
    """

    def __init__(self, store: LedgerStore, document: LedgerDocument, tag: str | None, journal: AnswerJournal) -> None:
        self._store = store
        self._document = document
        self._tag = tag
        self._lock = threading.RLock()
        self.journal = journal

    @property
    def run_id(self) -> str:
        return self._document.run_id

    @property
    def mode(self) -> str | None:
        """The mode that the run was begun in, None before it was decided."""
        return self._document.mode

    @property
    def where(self) -> str:
        """The place of the document."""
        return self._store.where

    @property
    def jobs(self) -> list[JobEntry]:
        """The jobs known so far, in the order of their rows."""
        with self._lock:
            return [entry.model_copy() for entry in self._document.jobs]

    def job(self, index: int) -> JobEntry | None:
        """Return what is known of a job, or None."""
        with self._lock:
            jobs = self._document.jobs
            return jobs[index].model_copy() if index < len(jobs) else None

    def put_job(self, entry: JobEntry) -> None:
        """Store the state of a job; jobs are added in order."""
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
        """Store the mode that the run is begun in."""
        with self._lock:
            self._document = self._document.model_copy(update={"mode": mode})
            self.store()

    def finish(self) -> None:
        """Store that every row has its outcome."""
        with self._lock:
            self._document = self._document.model_copy(update={"finished": True})
            self.store()

    def leave(self) -> None:
        """Store that no process works on the run any more."""
        with self._lock:
            self._document = self._document.model_copy(update={"owner": None})
            self.store()

    def tell_of_new_run(self, name: str, log: logging.Logger) -> None:
        """Say in the log in what this run differs from the last one of that name, and keep it as the last one."""
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
        """Write the document; RunError when another process has taken the run over."""
        with self._lock:
            self._document.beat += 1
            try:
                self._tag = self._store.write(_encode(self._document), self._tag)
            except ChangedError as error:
                raise RunError(
                    f"another process has taken over run {self.run_id} ({error}): this one stops, and leaves it to it"
                ) from error


@contextmanager
def open_ledger(
    store: LedgerStore,
    *,
    run_id: str,
    parts: Mapping[str, str],
    folder: Path,
    log: logging.Logger,
    lease: float,
    sleep: Callable[[float], object],
) -> Iterator[Ledger]:
    """Yield the ledger of a run, claimed for this process until the end of the block.

    A run whose owner is alive is not taken: RunError says so. Where the store cannot be locked, an owner counts as
    alive when its document changes within `lease` seconds; the owner writes it three times in that time. `folder` is
    for files that last as long as the block.
    """
    store.claim()
    try:
        document, tag = _take_over(store, run_id, parts, log, lease, sleep)
        journal = AnswerJournal(store, document.owner or "", folder)
        ledger = Ledger(store, document, tag, journal)
        kept = journal.load(failures=document.finished)
        if kept or document.jobs:
            log.info("run_id=%s continues: jobs=%d realtime_answers=%d", run_id, len(document.jobs), kept)
        with nullcontext() if store.sure else _beating(ledger, lease, log):
            yield ledger
    finally:
        store.release()


def _take_over(
    store: LedgerStore,
    run_id: str,
    parts: Mapping[str, str],
    log: logging.Logger,
    lease: float,
    sleep: Callable[[float], object],
) -> tuple[LedgerDocument, str]:
    """Return the run's document with this process as its owner, and its tag."""
    found = store.read()
    document = LedgerDocument(run_id=run_id, parts=dict(parts))
    if found is not None:
        document = parse_document(found[0], store.where)
        if document.owner is not None and not store.sure:
            log.info("run_id=%s has an owner; this start waits %g s to see whether it is alive", run_id, lease)
            found = _see_owner_dead(store, found, document.owner, lease, sleep)
            document = parse_document(found[0], store.where)
    document.owner = uuid4().hex
    document.beat += 1
    try:
        tag = store.write(_encode(document), found[1] if found else None)
    except ChangedError as error:
        raise RunError(f"another process has just begun run {run_id} ({error}): wait until it ends") from error
    return document, tag


def _see_owner_dead(
    store: LedgerStore, found: tuple[bytes, str], owner: str, lease: float, sleep: Callable[[float], object]
) -> tuple[bytes, str]:
    """Return the document once it has not changed for a lease; RunError when its owner is alive."""
    sleep(lease)
    later = store.read()
    if later is None or later[1] == found[1]:
        return found
    if parse_document(later[0], store.where).owner is None:
        return later
    raise RunError(
        f"another process (owner {owner}) works on this run: {store.where} changed within {lease:g} s. Wait until it "
        "ends, or stop it and start again; to run beside it and pay again, set BEDROCK_BATCH_RESUME=false"
    )


@contextmanager
def _beating(ledger: Ledger, lease: float, log: logging.Logger) -> Iterator[None]:
    """Write the document three times in a lease, until the end of the block, in a thread of its own."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(lease / BEATS_PER_LEASE):
            try:
                ledger.store()
            except RunError as error:
                # The run itself notices at its next write, which comes before anything that is paid for.
                log.warning("ledger=%s beat=failed: %s", ledger.where, error)

    thread = threading.Thread(target=beat, name="ledger", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        try:
            ledger.leave()
        except RunError as error:
            log.warning("ledger=%s leave=failed: %s", ledger.where, error)


def _encode(document: LedgerDocument) -> bytes:
    return document.model_dump_json(indent=1).encode("utf-8")
