"""Kept real-time answers: read in bulk by a restart, merged into few objects, and never taken from damaged ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bedrock_batch.aws.s3 import S3Storage
from bedrock_batch.errors import RunError
from bedrock_batch.ledger.document import LedgerDocument, parse_document
from bedrock_batch.ledger.fence import Fence
from bedrock_batch.ledger.journal import AnswerJournal
from bedrock_batch.ledger.local_store import LocalLedgerStore
from bedrock_batch.ledger.s3_store import S3LedgerStore
from bedrock_batch.records import ModelOutput
from local_bedrock import Behaviour, LocalBedrock

BUCKET = "kept-answers"
OPEN = Fence(lambda: None, (), None)


@pytest.fixture
def local() -> Iterator[LocalBedrock]:
    with LocalBedrock(Behaviour()) as server:
        server.create_bucket(BUCKET)
        yield server


def store_in(local: LocalBedrock) -> S3LedgerStore:
    return S3LedgerStore(S3Storage(local.client("s3")), f"s3://{BUCKET}/in", "run", lambda _: None)


def answer(number: int) -> ModelOutput:
    return ModelOutput(number, {"content": [{"text": f"answer {number}"}]}, "model", "realtime")


def keep(store: S3LedgerStore, tmp_path: Path, numbers: range, owner: str = "owner") -> None:
    journal = AnswerJournal(store, owner, tmp_path, OPEN)
    for number in numbers:
        journal.keep(answer(number), "first")


def keys(local: LocalBedrock) -> list[str]:
    pages = local.client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="in/run/answers/")
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def check_all_there(store: S3LedgerStore, tmp_path: Path, count: int) -> None:
    journal = AnswerJournal(store, "reader", tmp_path, OPEN)
    assert journal.load(failures=False) == count
    assert [journal.find(number, "first") for number in range(count)] == [answer(number) for number in range(count)]


def test_a_restart_merges_many_small_objects(tmp_path: Path, local: LocalBedrock) -> None:
    """Each restart would spend half a minute on reading 700 answers one by one."""
    store = store_in(local)
    keep(store, tmp_path, range(300))
    assert len(keys(local)) == 300
    check_all_there(store, tmp_path, 300)
    before = local.count("S3.GetObject")
    check_all_there(store, tmp_path, 300)
    assert local.count("S3.GetObject") == before + 1
    keep(store, tmp_path, range(300, 310), "later")
    before = local.count("S3.GetObject")
    check_all_there(store, tmp_path, 310)
    assert local.count("S3.GetObject") == before + 11
    assert local.count("S3.DeleteObject") == 0


@pytest.mark.parametrize("moment", ["before-call", "after-call"])
def test_a_merge_that_is_cut_off_anywhere_loses_nothing(tmp_path: Path, local: LocalBedrock, moment: str) -> None:
    """A process that is killed during a merge would lose answers that were paid for."""
    store = store_in(local)
    keep(store, tmp_path, range(66))

    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    client = local.client("s3")
    event = f"{moment}.s3.PutObject"
    client.meta.events.register(event, kill)
    dying = S3LedgerStore(S3Storage(client), f"s3://{BUCKET}/in", "run", lambda _: None)
    with pytest.raises(Killed):
        AnswerJournal(dying, "dying", tmp_path, OPEN).load(failures=False)
    client.meta.events.unregister(event, kill)  # the next start uses the same client
    check_all_there(store, tmp_path, 66)
    check_all_there(store, tmp_path, 66)


@pytest.mark.parametrize(
    "line",
    [
        b"garbage\n",
        b"{}\n",
        b"[]\n",
        b'{"number": "7", "purpose": "first", "attempts": 1, "model_id": "m", "body": {}, "prefilled": false}\n',
        b'{"number": 7, "purpose": "first", "attempts": 1, "model_id": "m", "body": [], "prefilled": false}\n',
        b'{"number": 7, "purpose": "first", "attempts": 1, "model_id": "m", "kind": "x", "retryable": true}\n',
        b'{"number": 7}\n',
        b"\xff\xfe\n",
    ],
)
def test_a_damaged_line_is_said_to_be_that(tmp_path: Path, line: bytes) -> None:
    """The row would be paid for again without a word, or the start would end in a traceback."""
    store = LocalLedgerStore(tmp_path, "run")
    store.claim()
    AnswerJournal(store, "owner", tmp_path, OPEN).keep(answer(1), "first")
    path = tmp_path / "run" / "answers" / "owner.jsonl"
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(RunError, match="damaged") as caught:
        AnswerJournal(store, "reader", tmp_path, OPEN).load(failures=False)
    assert str(path) in str(caught.value)
    assert "line 2" in str(caught.value)
    store.release()


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_line_that_a_kill_cut_short_is_no_damage(tmp_path: Path, cut: int) -> None:
    """A run that was killed while it wrote could not be continued."""
    store = LocalLedgerStore(tmp_path, "run")
    store.claim()
    journal = AnswerJournal(store, "owner", tmp_path, OPEN)
    journal.keep(answer(1), "first")
    path = tmp_path / "run" / "answers" / "owner.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:cut])
    (path.parent / "z-later.jsonl").write_bytes(whole.replace(b'"number":1', b'"number":2'))
    reader = AnswerJournal(store, "reader", tmp_path, OPEN)
    assert reader.load(failures=False) == 2
    assert reader.find(1, "first") == answer(1)
    store.release()


@pytest.mark.parametrize("time", ["yesterday", "2026-13-45T00:00:00", ""])
def test_a_bad_time_in_the_ledger_is_damage(time: str) -> None:
    """The start would end in a traceback that names no ledger."""
    job = {"index": 0, "start": 0, "stop": 1, "records": 1, "left_out": 0, "bytes": 1, "content_digest": "x"}
    job |= {"name": "n", "input_uri": "s3://b/k", "state": "ended", "submit_time": time}
    document = LedgerDocument(run_id="run", parts={}).model_dump() | {"jobs": [job]}
    with pytest.raises(RunError, match="damaged"):
        parse_document(json.dumps(document).encode(), "s3://b/in/run/ledger.json")
