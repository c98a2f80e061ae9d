"""Merging small segments: every question keeps its newest answer, whoever reads, writes or is killed meanwhile."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.answer_store.compaction import MergeLimits, merge_small, plan_merges
from bedrock_batch.answer_store.place import LocalPlace, Place, RangeFile
from bedrock_batch.answer_store.questions import digest_prompts
from bedrock_batch.answer_store.removal import list_holdings_of_run, remove
from bedrock_batch.answer_store.segments import MERGED
from bedrock_batch.answer_store.store import AnswerStore
from helpers.answer_stores import FRAME, NOON, KilledPlace, answers_table, ask, stored_answer

# A segment of some answers has about 3,500 bytes, so that a merged one is made of two or three.
LIMITS = MergeLimits(most_small=2, merged_bytes=11_000)
ALL_IN_ONE = MergeLimits(most_small=2)
PROMPTS = "abcdefgh"
PARTS = st.dictionaries(st.sampled_from(PROMPTS), st.text("xyz", max_size=3), min_size=1, max_size=4)


@dataclass
class Kept:
    """A store, and the answers that it must give: the last that was kept for each prompt."""

    place: Place
    count: int = 0
    last: dict[str, str] = field(default_factory=dict)

    def keep(self, texts: dict[str, str]) -> None:
        at = NOON + timedelta(seconds=self.count)
        self.count += 1
        answers = [
            stored_answer(question.tobytes(), text, at, f"run {self.count}")
            for question, text in zip(digest_prompts(texts), texts.values(), strict=True)
        ]
        AnswerStore(self.place).keep(FRAME, answers_table(answers))
        self.last |= texts

    def check(self, place: Place | None = None) -> None:
        expected = {PROMPTS.index(prompt): text for prompt, text in self.last.items()}
        assert ask(AnswerStore(place or self.place), list(PROMPTS)) == expected

    def names(self) -> list[str]:
        return sorted(name for name, _ in self.place.files(FRAME))


def merge(place: Place, limits: MergeLimits = LIMITS) -> None:
    with suppress(KeyboardInterrupt):
        merge_small(place, FRAME, limits)


def filled(root: Path, count: int) -> Kept:
    kept = Kept(LocalPlace(root))
    for number in range(count):
        kept.keep({PROMPTS[number % 8]: f"answer {number}", PROMPTS[number % 3]: f"other {number}"})
    return kept


@given(
    steps=st.lists(
        st.one_of(PARTS, st.tuples(st.one_of(st.none(), st.integers(0, 25)), st.booleans())), min_size=3, max_size=14
    )
)
def test_every_question_keeps_its_newest_answer(
    tmp_path_factory: pytest.TempPathFactory, steps: list[dict[str, str] | tuple[int | None, bool]]
) -> None:
    """An answer that was paid for would be lost or replaced by an older one when segments are merged."""
    kept = Kept(LocalPlace(tmp_path_factory.mktemp("store")))
    for step in steps:
        if isinstance(step, dict):
            kept.keep(step)
        else:
            merge(KilledPlace(kept.place, step[0], may_delete=step[1]))
        kept.check()
    merge(kept.place)
    kept.check()


@given(at=st.integers(0, 12), killed_at=st.one_of(st.none(), st.integers(0, 20)), count=st.integers(3, 7))
def test_a_reader_finds_what_is_merged_while_it_reads(
    tmp_path_factory: pytest.TempPathFactory, at: int, killed_at: int | None, count: int
) -> None:
    """A run would fail, or pay again, because another run merges the segments that it has listed or found."""
    kept = filled(tmp_path_factory.mktemp("store"), count)

    def interfere(call: int) -> None:
        if call == at:
            merge(KilledPlace(kept.place, killed_at))

    kept.check(KilledPlace(kept.place, before=interfere))


@given(at=st.integers(0, 20), killed_at=st.one_of(st.none(), st.integers(0, 20)), more=PARTS)
def test_two_processes_may_merge_at_once(
    tmp_path_factory: pytest.TempPathFactory, at: int, killed_at: int | None, more: dict[str, str]
) -> None:
    """Two runs that end at the same time would delete each other's answers."""
    kept = filled(tmp_path_factory.mktemp("store"), 6)

    def interfere(call: int) -> None:
        if call == at:
            merge(KilledPlace(kept.place, killed_at), ALL_IN_ONE)
            kept.keep(more)

    merge(KilledPlace(kept.place, before=interfere))
    kept.check()
    merge(kept.place)
    kept.check()


def test_many_small_segments_become_one(tmp_path: Path) -> None:
    """A store that thousands of small runs have written to would need thousands of requests at each start."""
    kept = filled(tmp_path, 9)
    assert merge_small(kept.place, FRAME, ALL_IN_ONE) == 9
    (name,) = kept.names()
    assert name.startswith(MERGED)
    for number in range(3):
        kept.keep({"a": f"later {number}"})
    merge(kept.place, ALL_IN_ONE)
    assert len(kept.names()) == 1
    kept.check()


def test_without_the_right_to_delete_nothing_is_merged_twice(tmp_path: Path) -> None:
    """Each run would write another copy of all answers, and read every copy."""
    kept = filled(tmp_path, 9)
    place = KilledPlace(kept.place, may_delete=False)
    merge(place, ALL_IN_ONE)
    assert len(kept.names()) == 10
    before = kept.names()
    place.calls.clear()
    merge(place, ALL_IN_ONE)
    assert kept.names() == before
    assert (place.calls.count("delete"), place.calls.count("write")) == (1, 0)
    reader = KilledPlace(kept.place)
    kept.check(reader)
    assert reader.calls.count("open") == 2, "one segment is looked through and then read"
    for number in range(3):
        kept.keep({"a": f"later {number}"})
    place.calls.clear()
    merge(place, ALL_IN_ONE)
    assert len(kept.names()) == len(before) + 4
    assert place.calls.count("open") == 4, "what is merged already is not read again"
    kept.check()
    merge(kept.place, ALL_IN_ONE)
    assert len(kept.names()) == 2, "who may delete cleans up"
    kept.check()


def test_a_few_segments_stay_as_they_are(tmp_path: Path) -> None:
    """Each run would rewrite the store, although nobody gains by it."""
    kept = filled(tmp_path, 2)
    before = kept.names()
    merge(kept.place)
    assert kept.names() == before


def test_a_run_is_forgotten_in_merged_segments(tmp_path: Path) -> None:
    """Answers of a run would survive `--forget` in the segment into which they were merged."""
    kept = Kept(LocalPlace(tmp_path))
    for prompt in "abc":
        kept.keep({prompt: f"answer {prompt}"})
    merge(KilledPlace(kept.place, may_delete=False), ALL_IN_ONE)
    for holding in list(list_holdings_of_run(kept.place, "run 2")):
        remove(kept.place, holding, "run 2")
    assert list(list_holdings_of_run(kept.place, "run 2")) == []
    del kept.last["b"]
    kept.check()


def test_an_answer_that_is_gone_for_good_is_left_out(tmp_path: Path) -> None:
    """A run would look for a deleted answer for ever, or end, although it can ask again."""
    kept = filled(tmp_path, 1)
    store = AnswerStore(kept.place)
    found = store.find(store.segments(FRAME), digest_prompts("a"))
    (name,) = kept.names()
    kept.place.delete(FRAME, name)
    assert list(store.read(found, found.known.nonzero()[0])) == []


class RangedPlace(LocalPlace):
    """A folder whose files are fetched in parts when they are read, as large objects of S3 are."""

    def open(self, folder: str, name: str, size: int) -> RangeFile:
        return RangeFile(lambda start, count: self.read(folder, name)[start : start + count], size)


def test_a_large_segment_that_moves_while_it_is_read_gives_each_answer_once(tmp_path: Path) -> None:
    """A row would get two answers, or none, if its segment is merged while a run fetches parts of it."""
    store = AnswerStore(RangedPlace(tmp_path))
    questions = digest_prompts(map(str, range(20_000)))
    store.keep(FRAME, answers_table([stored_answer(question.tobytes(), "text") for question in questions]))
    found = store.find(store.segments(FRAME), questions)
    store.keep(FRAME, answers_table([stored_answer(question.tobytes(), "text") for question in digest_prompts("ab")]))
    read: list[int] = []
    for positions, _ in store.read(found, np.arange(20_000)):
        read += positions.tolist()
        merge_small(LocalPlace(tmp_path), FRAME, MergeLimits(most_small=1))
    assert sorted(read) == list(range(20_000))
    assert [name for _, name, _ in store.segments(FRAME) if not name.startswith(MERGED)] == []


@given(
    sizes=st.dictionaries(st.text("abc", min_size=1, max_size=6), st.integers(1, 1500), max_size=40),
    limits=st.builds(
        MergeLimits,
        most_small=st.integers(1, 8),
        small_bytes=st.just(1000),
        merged_bytes=st.integers(1, 4000),
        most_files=st.integers(2, 30),
    ),
)
def test_merges_keep_their_limits(sizes: dict[str, int], limits: MergeLimits) -> None:
    """A merge would need more memory than a run has, or rewrite large segments again and again."""
    groups = plan_merges(sizes, limits)
    merged = [name for group in groups for name in group]
    assert len(merged) == len(set(merged)) <= limits.most_files
    assert all(sizes[name] < limits.small_bytes for name in merged)
    assert all(len(group) > 1 and sum(sizes[name] for name in group) <= limits.merged_bytes for group in groups)
    if not limits.is_crowded(sizes.values()):
        assert groups == []


def test_answers_that_compress_well_do_not_fill_the_memory(tmp_path: Path) -> None:
    """A merge of many small files would hold answers of any size in memory at once."""
    kept = Kept(LocalPlace(tmp_path))
    for prompt in PROMPTS:
        kept.keep({prompt: prompt * 100_000})
    merge(kept.place, MergeLimits(most_small=2, raw_bytes=300_000))
    sizes = [len(kept.place.read(FRAME, name)) for name in kept.names()]
    assert len(sizes) in (2, 3)
    before = kept.names()
    merge(kept.place, MergeLimits(most_small=1, raw_bytes=300_000))
    assert kept.names() == before, "full segments are not merged again"
    kept.check()
