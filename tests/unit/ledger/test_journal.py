"""The journal of real-time answers: what a later start reads of the answers of earlier ones."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest

from bedrock_batch.ledger.fence import Fence
from bedrock_batch.ledger.journal import AnswerJournal, LabelledAnswer, labelled_answers
from bedrock_batch.ledger.local_store import LocalLedgerStore
from bedrock_batch.records import ModelOutput, RecordError

FAILURE = RecordError(7, "timeout", "no answer in time", "realtime")
OPEN = Fence(lambda: None, (), None)
ANSWER = ModelOutput(7, {"content": []}, "model", "realtime")


@pytest.mark.parametrize("owners", [("first", "second"), ("zzz-first", "aaa-second")])
def test_an_answer_stands_before_the_failure_of_an_earlier_start(tmp_path: Path, owners: tuple[str, str]) -> None:
    """A user who writes the outputs of a finished run again would find a row failed that was answered and paid for."""
    store = LocalLedgerStore(tmp_path, "run")
    store.claim()
    for owner, output in zip(owners, (FAILURE, ANSWER), strict=True):
        AnswerJournal(store, owner, tmp_path, OPEN).keep(output, "first")
    journal = AnswerJournal(store, "third", tmp_path, OPEN)
    assert journal.load(failures=True) == 1
    assert journal.find(7, "first") == ANSWER
    store.release()


def test_a_line_that_a_full_disk_cut_does_not_spoil_the_next(tmp_path: Path) -> None:
    """Once the disk has room again, half a line in front of an answer would make all kept answers unreadable."""
    store = LocalLedgerStore(tmp_path, "run")
    store.claim()
    journal = AnswerJournal(store, "first", tmp_path, OPEN)
    journal.keep(ANSWER, "first")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = sum(path.stat().st_size for path in tmp_path.rglob("first.jsonl"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            journal.keep(ANSWER, "salvage")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    journal.keep(ANSWER, "salvage")
    assert AnswerJournal(store, "second", tmp_path, OPEN).load(failures=True) == 2
    store.release()


# A line as version 1 of the journal has it, which says nothing of the question.
EARLIER_LINE = (
    b'{"number":8,"purpose":"first","attempts":1,"model_id":"model","check":3632233996,'
    b'"body":{"content":[]},"prefilled":false,"frame":"a.model/00000000000000000000000000000000"}\n'
)


def test_other_runs_read_the_answers_that_say_what_they_answer(tmp_path: Path) -> None:
    """A run would be given the answers of a killed run under no question, or fail at a line that it cannot read."""
    store = LocalLedgerStore(tmp_path, "run")
    store.claim()
    journal = AnswerJournal(store, "first", tmp_path, OPEN)
    journal.label = lambda output, purpose: {"question": "00ff", "at": 5}
    journal.keep(ANSWER, "first")
    journal.keep(FAILURE, "salvage")
    path = next(tmp_path.rglob("first.jsonl"))
    path.write_bytes(path.read_bytes() + EARLIER_LINE + b"{}\nhalf a li")
    assert list(labelled_answers(store)) == [LabelledAnswer(b"\x00\xff", 5, ANSWER)]
    store.release()


def test_a_journal_of_an_earlier_version_is_continued(tmp_path: Path) -> None:
    """An upgrade in the middle of a run would pay again for what was answered before."""
    store = LocalLedgerStore(tmp_path, "run")
    store.claim()
    store.append_answers("earlier-00000001.jsonl", EARLIER_LINE)
    journal = AnswerJournal(store, "later", tmp_path, OPEN)
    assert journal.load(failures=False) == 1
    assert journal.find(8, "first", 3632233996) is not None
    store.release()
