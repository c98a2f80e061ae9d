"""The ledger of a process: which stored documents it treats as its own, and which as another's."""

from __future__ import annotations

import json
import logging
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bedrock_batch.errors import RunError, TakenOverError
from bedrock_batch.ledger.ledger import Ledger
from bedrock_batch.ledger.local_store import LocalLedgerStore
from bedrock_batch.ledger.takeover import open_ledger
from bedrock_batch.records import RecordError


class LossyStore(LocalLedgerStore):
    """A store that writes, and reports a failure while `loses` is set."""

    loses = False

    def write(self, data: bytes, tag: str | None) -> str:
        written = super().write(data, tag)
        if self.loses:
            raise RunError("no response from S3")
        return written


def opened(store: LocalLedgerStore, folder: Path) -> AbstractContextManager[Ledger]:
    return open_ledger(
        store,
        run_id="run",
        parts={},
        folder=folder,
        log=logging.getLogger("test"),
        lease=60.0,
        sleep=lambda seconds: None,
    )


def test_a_write_whose_response_never_came_is_not_taken_for_another_process(tmp_path: Path) -> None:
    """A run would end, and say that another process has taken it over, because S3 was out of reach for a minute."""
    store = LossyStore(tmp_path, "run")
    with opened(store, tmp_path) as ledger:
        store.loses = True
        with pytest.raises(RunError, match="no response"):
            ledger.set_mode("batch")
        store.loses = False
        ledger.finish()
        ledger.finish()
    assert json.loads(Path(store.location).read_text(encoding="utf-8"))["finished"]


def test_a_document_of_another_owner_ends_the_run(tmp_path: Path) -> None:
    """Two processes would go on with one run, and pay for every row twice."""
    store = LocalLedgerStore(tmp_path, "run")
    with opened(store, tmp_path) as ledger:
        path = Path(store.location)
        document = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(document | {"owner": "another"}), encoding="utf-8")
        with pytest.raises(TakenOverError):
            ledger.finish()


def test_a_process_that_has_lost_its_run_does_not_change_what_the_run_takes(tmp_path: Path) -> None:
    """A process that wakes up late would change the numbers of all records of the run that another one continues."""
    store = LocalLedgerStore(tmp_path, "run")
    with opened(store, tmp_path) as ledger:
        ledger.set_taken(b"what the other process takes")
        path = Path(store.location)
        taken = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(taken | {"owner": "another"}), encoding="utf-8")
        with pytest.raises(TakenOverError):
            ledger.set_taken(b"what this process takes")
        path.write_text(json.dumps(taken | {"owner": None}), encoding="utf-8")
    with opened(LocalLedgerStore(tmp_path, "run"), tmp_path) as other:
        assert other.read_taken() == b"what the other process takes"
        other.begin_anew()
    with opened(LocalLedgerStore(tmp_path, "run"), tmp_path) as last:
        assert (last.taken, last.read_taken()) == (None, None)


def test_a_start_that_asked_nothing_decides_nothing(tmp_path: Path) -> None:
    """A run killed before its first request would pay for what other runs have answered by its next start."""
    with opened(LocalLedgerStore(tmp_path, "run"), tmp_path) as ledger:
        ledger.set_taken(b"few answers")
        ledger.set_mode("batch")
    with opened(LocalLedgerStore(tmp_path, "run"), tmp_path) as ledger:
        assert ledger.is_new
        ledger.begin_anew()
        assert (ledger.mode, ledger.taken) == (None, None)
        ledger.journal.keep(RecordError(0, "throttled", "later", "realtime", retryable=True), "first")
    with opened(LocalLedgerStore(tmp_path, "run"), tmp_path) as ledger:
        assert not ledger.is_new  # its line has a number that the next decision would give to another question
