"""Markers lead to the ledgers of open runs, and never stand in the way of the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bedrock_batch.answer_store.compaction import MergeLimits
from bedrock_batch.answer_store.markers import Marker, parse_marker
from bedrock_batch.answer_store.place import LocalPlace
from bedrock_batch.answer_store.questions import digest_prompts
from bedrock_batch.answer_store.removal import list_holdings_of_run, remove
from bedrock_batch.answer_store.store import AnswerStore
from helpers.answer_stores import FRAME, KilledPlace, answers_table, stored_answer

RUN, NESTED = "a" * 16, "b" * 16
MARKER = Marker(RUN, "s3://bucket/in/" + RUN + "/ledger.json", FRAME, "us.a.model-v1:0")


@pytest.mark.parametrize(
    "marker",
    [MARKER, Marker(RUN, "/state/ledger.json", FRAME, "", NESTED), MARKER.seen(beat=7, seen_at=12.5, kept=[3, 1])],
)
def test_a_marker_is_read_as_it_was_written(marker: Marker) -> None:
    """A run would look for the ledger of a killed run at another place."""
    assert parse_marker(marker.encode()) == marker


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"[" * 100_000,
        json.dumps({**json.loads(MARKER.encode()), "schema_version": 2}).encode(),
        json.dumps({**json.loads(MARKER.encode()), "frame": "../.."}).encode(),
        json.dumps({**json.loads(MARKER.encode()), "ledger": 7}).encode(),
        json.dumps({**json.loads(MARKER.encode()), "beat": "x"}).encode(),
        json.dumps({**json.loads(MARKER.encode()), "beat": float("inf")}).encode(),
        json.dumps({**json.loads(MARKER.encode()), "beat": 1, "seen_at": 10**400}).encode(),
        json.dumps({**json.loads(MARKER.encode()), "kept": [float("inf")]}).encode(),
    ],
)
def test_a_damaged_marker_is_none(data: bytes) -> None:
    """One marker of a newer version of the step would end every run of an older one."""
    assert parse_marker(data) is None


@pytest.mark.parametrize("may_delete", [True, False])
def test_a_marker_is_seen_until_it_is_closed(tmp_path: Path, may_delete: bool) -> None:
    """A run without the right to delete would send all later runs to its ledger, for ever."""
    place = KilledPlace(LocalPlace(tmp_path), may_delete=may_delete)
    AnswerStore(place).mark(FRAME, MARKER)
    store = AnswerStore(place)
    assert store.segments(FRAME) == []
    assert list(store.markers()) == [(FRAME, MARKER.name, MARKER)]
    store.unmark(FRAME, MARKER.name)
    assert list(store.markers()) == []
    later = AnswerStore(place)
    assert later.segments(FRAME) == []
    assert list(later.markers()) == []


def test_a_marker_under_another_name_is_not_followed(tmp_path: Path) -> None:
    """A damaged marker would make the step write a file of another name."""
    place = LocalPlace(tmp_path)
    place.write(FRAME, f"open-{NESTED}.json", MARKER.encode())
    store = AnswerStore(place)
    store.segments(FRAME)
    assert list(store.markers()) == [(FRAME, f"open-{NESTED}.json", None)]


def test_a_merge_removes_closed_markers_and_leaves_open_ones(tmp_path: Path) -> None:
    """The markers of runs that may not delete would pile up, or a merge would hide what a killed run has paid for."""
    place = LocalPlace(tmp_path)
    store = AnswerStore(place, MergeLimits(most_small=1))
    for text in "xyz":
        store.keep(FRAME, answers_table([stored_answer(digest_prompts([text])[0].tobytes(), text)]))
    store.mark(FRAME, MARKER)
    place.write(FRAME, f"open-{NESTED}.json", b"")
    store.segments(FRAME)
    assert store.compact() == 3
    assert sorted(name for name, _ in place.files(FRAME) if name.startswith("open-")) == [MARKER.name]


def test_a_run_is_forgotten_with_its_markers(tmp_path: Path) -> None:
    """The answers of a forgotten run would come back out of its ledger."""
    place = LocalPlace(tmp_path)
    store = AnswerStore(place)
    nested = Marker(RUN, MARKER.ledger, FRAME, MARKER.model_id, NESTED)
    other = Marker(NESTED, MARKER.ledger, FRAME, MARKER.model_id)
    for marker in (MARKER, nested, other):
        store.mark(FRAME, marker)
    for holding in list(list_holdings_of_run(place, RUN)):
        remove(place, holding, RUN)
    assert [name for name, _ in place.files(FRAME)] == [other.name]
