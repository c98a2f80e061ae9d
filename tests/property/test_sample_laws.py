"""Laws of samples: which rows a sample holds, and what appended rows change in it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.dataset.sample import draw_sample, share_out
from bedrock_batch.dataset.splits import Split, open_split

LOG = logging.getLogger("samples")
TEXTS = st.lists(st.sampled_from(["a", "b", "c", "Grüße", ""]) | st.text("xyz", max_size=3), max_size=12)


def make_splits(folder: Path, splits: Sequence[Sequence[str]]) -> list[Split]:
    """Write the texts of each split into two files; the id of a row says how it was written."""
    made = []
    for number, texts in enumerate(splits):
        inputs = folder / str(number)
        inputs.mkdir()
        rows = [f'{number}-{row},"{text}"\n' for row, text in enumerate(texts)]
        for name, part in (("a.csv", rows[:4]), ("b.csv", rows[4:])):
            (inputs / name).write_text("id,text\n" + "".join(part), encoding="utf-8")
        made.append(open_split(str(number), inputs, folder / "out", LOG))
    return made


def drawn(splits: Sequence[Sequence[str]], count: int, way: str = "hash") -> list[str]:
    """Return the ids of the rows in a sample, in the order in which they are read."""
    with tempfile.TemporaryDirectory() as folder:
        sample = draw_sample(make_splits(Path(folder), splits), count, ["text"], way)
        ids = [
            row["id"]
            for split in sample.splits
            for file in split.files
            for batch in file.batches(3)
            for row in batch.to_pylist()
        ]
        assert sum(split.count for split in sample.splits) == sample.records == len(ids)
        assert sample.of_records == sum(map(len, splits))
        return ids


@given(sizes=st.lists(st.integers(0, 50), max_size=5), count=st.integers(0, 120))
def test_the_shares_are_equal_as_far_as_the_splits_allow(sizes: list[int], count: int) -> None:
    """A small split would be missing from a sample, or the sample would be smaller than asked for."""
    shares = share_out(sizes, count)
    assert sum(shares) == min(count, sum(sizes))
    assert all(share <= size for share, size in zip(shares, sizes, strict=True))
    largest = max(shares, default=0)
    assert all(share in (size, largest, largest - 1) for share, size in zip(shares, sizes, strict=True))


@given(
    splits=st.lists(TEXTS, min_size=1, max_size=3),
    more=st.lists(TEXTS, min_size=3, max_size=3),
    count=st.integers(1, 20),
)
def test_appended_rows_only_add_to_a_sample_or_take_places_in_it(
    splits: list[list[str]], more: list[list[str]], count: int
) -> None:
    """A user who adds rows would look at other answers than before, and pay for other rows."""
    before = drawn(splits, count)
    grown = [[*texts, *added] for texts, added in zip(splits, more, strict=False)]
    after = drawn(grown, count)
    appended = {
        f"{number}-{row}" for number, texts in enumerate(splits) for row in range(len(texts), len(grown[number]))
    }
    assert set(after) <= set(before) | appended
    for number in range(len(splits)):
        mine = {each for each in before if each.startswith(f"{number}-")}
        if len([each for each in after if each.startswith(f"{number}-")]) == len(mine):
            taken = appended & {each for each in after if each.startswith(f"{number}-")}
            assert len(mine - set(after)) == len(taken), "one row leaves for each appended one that comes"


@given(splits=st.lists(TEXTS, min_size=1, max_size=3), count=st.integers(1, 20))
def test_a_sample_is_the_same_each_time_and_in_the_order_of_the_rows(splits: list[list[str]], count: int) -> None:
    """A second start would ask other rows, and the outputs would not be in the order of the inputs."""
    ids = drawn(splits, count)
    assert ids == drawn(splits, count)
    assert ids == sorted(ids, key=lambda each: tuple(map(int, each.split("-"))))
    assert len(set(ids)) == len(ids)


@given(splits=st.lists(TEXTS, min_size=1, max_size=3), count=st.integers(1, 20))
def test_a_limit_takes_the_first_rows_of_each_split(splits: list[list[str]], count: int) -> None:
    """A user would get other rows than those at the top of the file."""
    shares = share_out([len(texts) for texts in splits], count)
    assert drawn(splits, count, "first") == [f"{n}-{row}" for n, share in enumerate(shares) for row in range(share)]


def test_equal_rows_are_drawn_one_by_one() -> None:
    """Of a file with one frequent row, a sample would hold that row alone, or never."""
    rows = ["same"] * 50 + [f"other {number}" for number in range(50)]
    same = sum(rows[int(each.split("-")[1])] == "same" for each in drawn([rows], 40))
    assert 10 <= same <= 30
