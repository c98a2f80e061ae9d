"""The markers of other runs: each leads to its ledger for as long as that may hold what the store does not have."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from bedrock_batch.answer_store.markers import Marker
from bedrock_batch.answer_store.place import LocalPlace
from bedrock_batch.answer_store.store import AnswerStore
from bedrock_batch.environment.context import RunContext
from bedrock_batch.ledger.document import JobEntry, LedgerDocument, encode_document
from bedrock_batch.ledger.journal import LabelledAnswer
from bedrock_batch.ledger.local_store import LocalLedgerStore
from bedrock_batch.realtime.open_runs import DEAD_SECONDS, AnswerAdoption, OpenRun, note_collected, note_seen
from bedrock_batch.records import ModelOutput
from helpers.answer_stores import FRAME

RUN = "a" * 16
NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
JOB = {"start": 0, "stop": 9, "records": 9, "left_out": 0, "bytes": 1, "content_digest": "0" * 64, "name": "j"}
CREATED, COLLECTED = (
    {**JOB, "state": state, "arn": "arn", "input_uri": "s3://b/k"} for state in ("created", "collected")
)


class NoClients:
    """Stands where no client is used."""


def is_open(
    tmp_path: Path,
    marker: Marker,
    document: LedgerDocument | None,
    at: datetime = NOON,
    kept: frozenset[int] = frozenset(),
    adopted: bool = True,
    note: Callable[..., None] = note_seen,
) -> bool:
    """Return whether the marker of a run stays open after a later run has looked at it."""
    store = AnswerStore(LocalPlace(tmp_path))
    store.mark(FRAME, marker)
    run = OpenRun(marker, LocalLedgerStore(tmp_path, RUN), document, ((FRAME, marker.name),), set(kept), adopted)
    context = RunContext(NoClients(), now=lambda: at)  # type: ignore[arg-type]
    note(context, store, [run])
    store.segments(FRAME)
    return bool(list(store.markers()))


@pytest.mark.parametrize(
    ("state", "jobs", "kept", "stays"),
    [
        ({"owner": "x"}, [], set(), True),  # a process may be at work
        ({"owner": None}, [], set(), False),
        ({"owner": None}, [CREATED], set(), True),
        ({"owner": None}, [CREATED], {0}, False),
        ({"owner": None}, [COLLECTED], set(), False),
        ({"owner": "x"}, [COLLECTED], set(), True),
        ({"owner": "x", "finished": True}, [CREATED], set(), False),
    ],
)
def test_a_marker_stays_while_its_ledger_may_hold_more(
    tmp_path: Path, state: dict[str, object], jobs: list[dict[str, object]], kept: set[int], stays: bool
) -> None:
    """A run would not find the job of a killed run, or every run would read the ledgers of all runs before it."""
    entries = [JobEntry(index=index, **job) for index, job in enumerate(jobs)]  # type: ignore[arg-type]
    document = LedgerDocument(run_id=RUN, parts={}, beat=3, jobs=entries, **state)  # type: ignore[arg-type]
    marker = Marker(RUN, "s3://b/in/run/ledger.json", FRAME, "m")
    assert is_open(tmp_path, marker, document, NOON, frozenset(kept)) == stays


@pytest.mark.parametrize(("beat", "hours", "stays"), [(3, 0.5, True), (3, 2, False), (2, 2, True)])
def test_a_run_that_was_killed_is_dead_after_an_hour_without_a_beat(
    tmp_path: Path, beat: int, hours: float, stays: bool
) -> None:
    """The journal of a run that was killed and never continued would be read by each later start, for ever."""
    document = LedgerDocument(run_id=RUN, parts={}, owner="x", beat=3, lease=60.0)
    marker = Marker(RUN, "s3://b/in/run/ledger.json", FRAME, "m").seen(beat, NOON.timestamp())
    assert is_open(tmp_path, marker, document, NOON + timedelta(hours=hours)) == stays
    assert DEAD_SECONDS < 2 * 3600


@pytest.mark.parametrize(
    ("location", "stays"), [("s3://b/in/run/ledger.json", False), ("/state/run/ledger.json", True)]
)
def test_a_deleted_ledger_closes_its_marker(tmp_path: Path, location: str, stays: bool) -> None:
    """Each later start would complain of a run that a user has removed, or close that of another machine."""
    assert is_open(tmp_path, Marker(RUN, location, FRAME, "m"), None) == stays


@pytest.mark.parametrize("finished", [True, False])
def test_a_marker_stays_open_until_the_answers_of_its_journal_are_kept(tmp_path: Path, finished: bool) -> None:
    """What a killed run was answered would be paid for again after one start that could not, or need not, read it."""
    marker = Marker(RUN, "s3://b/in/run/ledger.json", FRAME, "m")
    document = LedgerDocument(run_id=RUN, parts={}, beat=3, finished=finished)
    assert is_open(tmp_path, marker, document, adopted=False)


@pytest.mark.parametrize(("beat", "stays"), [(3, False), (4, True)])
def test_a_run_that_went_on_during_a_wait_keeps_its_marker(tmp_path: Path, beat: int, stays: bool) -> None:
    """A run that is started again would become invisible once another run has waited for its earlier jobs."""
    store = LocalLedgerStore(tmp_path, RUN)
    store.claim()
    store.write(encode_document(LedgerDocument(run_id=RUN, parts={}, beat=beat)), None)
    store.release()
    document = LedgerDocument(run_id=RUN, parts={}, beat=3)
    marker = Marker(RUN, store.location, FRAME, "m")
    assert is_open(tmp_path, marker, document, note=note_collected) == stays


@pytest.mark.parametrize(("frame", "kept"), [(FRAME, 1), ("", 0), ("../../../elsewhere", 0), ("a\0/" + "0" * 31, 0)])
def test_an_adopted_answer_stays_in_the_store(tmp_path: Path, frame: str, kept: int) -> None:
    """A damaged line in the ledger of a killed run would make the step write beside its answer store."""
    body = {"content": [{"type": "text", "text": "{}"}], "stop_reason": "end_turn"}
    answer = LabelledAnswer(b"q" * 16, 5, ModelOutput(0, body, "m", "realtime", frame=frame))
    marker = Marker(RUN, "s3://b/in/run/ledger.json", FRAME, "m")
    assert AnswerAdoption(AnswerStore(LocalPlace(tmp_path / "a" / "b")), marker).keep([answer]) == kept
    assert len(list(tmp_path.rglob("*.parquet"))) == kept
