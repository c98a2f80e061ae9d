"""Forgetting answers: what is named is gone, everything else stays, whenever the process is killed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.answer_store.place import LocalPlace
from bedrock_batch.answer_store.questions import digest_prompts
from bedrock_batch.answer_store.removal import list_holdings, list_holdings_of_run, remove
from bedrock_batch.answer_store.store import AnswerStore
from bedrock_batch.errors import RunError
from helpers.answer_stores import FRAME, NOON, KilledPlace, answers_table, ask, stored_answer

RUNS = ("a" * 16, "b" * 16, "c" * 16)
PROMPTS = "stuvw"


def keep_runs(store: AnswerStore, segments: list[list[tuple[str, str]]]) -> dict[tuple[str, str], str]:
    """Keep segments of answers by run and prompt; return the text of the last answer of each."""
    last: dict[tuple[str, str], str] = {}
    for index, answers in enumerate(segments):
        kept: list[dict[str, Any]] = []
        for number, (run_id, prompt) in enumerate(dict.fromkeys(answers)):
            at, text = NOON + timedelta(seconds=10 * index, milliseconds=number), f"{index} {number}"
            kept.append(stored_answer(digest_prompts([prompt])[0].tobytes(), text, at, run_id))
            last[run_id, prompt] = text
        store.keep(FRAME, answers_table(kept))
    return last


def texts_of(segments: list[list[tuple[str, str]]], wanted: str) -> set[str]:
    return {
        f"{index} {number}"
        for index, answers in enumerate(segments)
        for number, (run_id, _) in enumerate(dict.fromkeys(answers))
        if run_id == wanted
    }


def newest(last: dict[tuple[str, str], str], without: str) -> dict[int, str]:
    found = {}
    for position, prompt in enumerate(PROMPTS):
        texts = [text for (run_id, asked), text in last.items() if asked == prompt and run_id != without]
        if texts:
            found[position] = max(texts, key=lambda text: [int(part) for part in text.split()])
    return found


@given(
    segments=st.lists(
        st.lists(st.tuples(st.sampled_from(RUNS), st.sampled_from(PROMPTS)), min_size=1, max_size=6), max_size=4
    ),
    killed_at=st.integers(0, 12),
)
def test_a_run_is_forgotten_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, segments: list[list[tuple[str, str]]], killed_at: int
) -> None:
    """Forgetting one run would lose what others have paid for, or leave answers that must be gone."""
    place = LocalPlace(tmp_path_factory.mktemp("store"))
    store = AnswerStore(place)
    last = keep_runs(store, segments)
    forgotten, killed = RUNS[0], KilledPlace(place, killed_at)
    try:
        for holding in list(list_holdings_of_run(killed, forgotten)):
            remove(killed, holding, forgotten)
    except KeyboardInterrupt:
        between = ask(store, list(PROMPTS))
        own = texts_of(segments, forgotten)  # may hide an older answer of another run until the end
        assert all(between.get(position) in {text, *own} for position, text in newest(last, forgotten).items())
    for holding in list(list_holdings_of_run(place, forgotten)):
        remove(place, holding, forgotten)
    assert list(list_holdings_of_run(place, forgotten)) == []
    assert ask(store, list(PROMPTS)) == newest(last, forgotten)


def test_a_model_is_forgotten_with_links_and_damaged_files(tmp_path: Path) -> None:
    """Files of a model would stay because they are damaged, are no segments, or were never completed."""
    place = LocalPlace(tmp_path)
    store = AnswerStore(place)
    digest = digest_prompts(["a"])[0].tobytes()
    other = "b.model-v1:0/" + "1" * 32
    for frame in (FRAME, other):
        store.keep(frame, answers_table([stored_answer(digest, "text")]))
    store.link(FRAME, other)
    folder = tmp_path / "answers" / FRAME
    (folder / ("0" * 32 + ".parquet")).write_bytes(b"damaged")
    (folder / ".x.parquet.part").write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    found: list[Any] = list(list_holdings(place, "a.model-v1:0"))
    assert sorted((holding.forgotten is None, holding.forgotten or 0) for holding in found) == [
        (False, 0),
        (False, 0),
        (False, 1),
        (True, 0),
    ]
    for holding in found:
        remove(place, holding, None)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert ask(store, ["a"], other) == {0: "text"}


def test_a_damaged_segment_is_named_when_a_run_is_forgotten(tmp_path: Path) -> None:
    """A user would believe that a run is forgotten, although a file may still hold its answers."""
    place = LocalPlace(tmp_path)
    AnswerStore(place).keep(FRAME, answers_table([stored_answer(digest_prompts(["a"])[0].tobytes(), "text")]))
    (path,) = (tmp_path / "answers" / FRAME).iterdir()
    path.write_bytes(b"damaged")
    with pytest.raises(RunError, match=path.name):
        list(list_holdings_of_run(place, RUNS[0]))
