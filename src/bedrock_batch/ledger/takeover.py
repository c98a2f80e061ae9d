"""Taking over the ledger of a run: one process at a time, shown alive by its heartbeat."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from uuid import uuid4

from bedrock_batch.errors import RunError, TakenOverError
from bedrock_batch.ledger.document import LedgerDocument, encode_document, parse_document
from bedrock_batch.ledger.ledger import Ledger
from bedrock_batch.ledger.store import ChangedError, LedgerStore

HEARTBEATS_PER_LEASE = 3
# An interrupted run waits this long for a write that is under way; any other run waits until the write ends.
RELEASE_SECONDS = 1.5


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
    clocks: Sequence[Callable[[], float]] = (time.monotonic, time.time),
) -> Iterator[Ledger]:
    """Hold the ledger of a run for this process until the end of the block.

    RunError if the owner of the run is alive. In a store without locks, an owner is alive if its document changes
    within `lease` seconds, or within the owner's own lease if that is longer; an owner writes it three times in a
    lease. `folder` is for files that last as long as the block. `clocks` are the clocks of the fence, in seconds.
    """
    store.claim()
    try:
        document, tag = _take_over(store, run_id, parts, log, lease, sleep)
        ledger = Ledger(store, document, tag, lease, clocks, folder)
        kept = ledger.journal.load(failures=document.finished)
        if kept or document.jobs:
            log.info("run_id=%s continues: jobs=%d realtime_answers=%d", run_id, len(document.jobs), kept)
        with nullcontext() if store.is_exclusive else _heartbeat(ledger, lease, log):
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
    """Return the document of the run with this process as its owner, and its tag."""
    found = store.read()
    document = LedgerDocument(run_id=run_id, parts=dict(parts))
    if found is not None:
        document = parse_document(found[0], store.location)
        if document.owner is not None and not store.is_exclusive:
            wait = max(lease, document.lease or 0.0)  # the owner may have been started with a longer lease
            log.info("run_id=%s has an owner; this start waits %g s to see whether it is alive", run_id, wait)
            found = _see_owner_dead(store, found, document.owner, wait, sleep)
            document = parse_document(found[0], store.location)
    document.owner = uuid4().hex
    document.lease = lease
    document.beat += 1
    try:
        tag = store.write(encode_document(document), found[1] if found else None)
    except ChangedError as error:
        raise RunError(f"another process has just begun run {run_id} ({error}): wait until it ends") from error
    return document, tag


def _see_owner_dead(
    store: LedgerStore, found: tuple[bytes, str], owner: str, lease: float, sleep: Callable[[float], object]
) -> tuple[bytes, str]:
    """Return the document once it has not changed for a lease; RunError if its owner is alive."""
    sleep(lease)
    later = store.read()
    if later is None or later[1] == found[1]:
        return found
    if parse_document(later[0], store.location).owner is None:
        return later
    raise RunError(
        f"another process (owner {owner}) works on this run: {store.location} changed within {lease:g} s. Wait until "
        "it ends, or stop it and start again; to run beside it and pay again, set BEDROCK_BATCH_RESUME=false"
    )


@contextmanager
def _heartbeat(ledger: Ledger, lease: float, log: logging.Logger) -> Iterator[None]:
    """Write the document three times in a lease, in a thread, until the end of the block."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(lease / HEARTBEATS_PER_LEASE):
            try:
                ledger.store()
            except TakenOverError as error:
                log.warning("ledger=%s heartbeat=failed: %s", ledger.location, error)
                return  # from here on the fence lets nothing pass
            except RunError as error:  # it may be temporary; if it is not, the fence closes
                log.warning("ledger=%s heartbeat=failed: %s", ledger.location, error)

    thread = threading.Thread(target=beat, name="ledger", daemon=True)
    patience = None
    try:
        thread.start()
        yield
    except KeyboardInterrupt:
        patience = RELEASE_SECONDS
        raise
    finally:
        stop.set()
        if thread.is_alive():
            thread.join(patience)
        if thread.is_alive():
            ledger.close()
            log.warning(
                "ledger=%s release=skipped: a write of it hangs; the next start waits %g s", ledger.location, lease
            )
        else:
            _release(ledger, log)


def _release(ledger: Ledger, log: logging.Logger) -> None:
    try:
        ledger.release()
    except RunError as error:
        log.warning("ledger=%s release=failed: %s", ledger.location, error)
