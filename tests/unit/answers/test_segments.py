"""Answer segments on disk: each row once, in row order, whatever the order of arrival."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.answers.segments import SegmentCursor, SegmentStore

SCHEMA = pa.schema([("number", pa.int64()), ("text", pa.string())])


def rows(start: int, stop: int) -> pa.RecordBatch:
    numbers = list(range(start, stop))
    return pa.RecordBatch.from_pydict({"number": numbers, "text": [str(n) for n in numbers]}, schema=SCHEMA)


def fill(store: SegmentStore, *ranges: tuple[int, int]) -> SegmentStore:
    for start, stop in ranges:
        store.write(start, rows(start, stop))
    return store


def test_segments_are_read_in_row_order(tmp_path: Path) -> None:
    """The rows of the job that ends first would come first in the output."""
    store = fill(SegmentStore(tmp_path, SCHEMA), (20, 30), (0, 10), (10, 20))
    table = SegmentCursor(store).take(30)
    assert table["number"].to_pylist() == list(range(30))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.lists(st.integers(0, 7), max_size=40))
def test_any_takes_over_any_segments_give_the_rows_in_order(lengths: list[int], takes: list[int]) -> None:
    """A file whose row batches do not match the jobs would get rows of another file."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store, start = SegmentStore(Path(folder), SCHEMA), 0
        for length in lengths:
            store.write(start, rows(start, start + length))
            start += length
        cursor, reached = SegmentCursor(store), 0
        for take in takes:
            if reached + take > start:
                break
            assert cursor.take(take)["number"].to_pylist() == list(range(reached, reached + take))
            reached += take
        assert cursor.take(start - reached)["number"].to_pylist() == list(range(reached, start))


@pytest.mark.parametrize(("start", "stop"), [(5, 6), (0, 1), (9, 12), (0, 30), (12, 18)], ids=str)
def test_a_row_cannot_be_stored_twice(tmp_path: Path, start: int, stop: int) -> None:
    """Two jobs that answer one row would shift all later rows."""
    store = fill(SegmentStore(tmp_path, SCHEMA), (0, 10), (15, 20))
    with pytest.raises(ValueError, match=f"rows {start} to {stop} are stored already"):
        store.write(start, rows(start, stop))
    fill(store, (10, 15))
    assert store.missing(20) == []


def test_missing_rows_are_told(tmp_path: Path) -> None:
    """A missing job would go unnoticed until an output is too short."""
    store = SegmentStore(tmp_path, SCHEMA)
    assert store.missing(0) == []
    assert store.missing(5) == [range(5)]
    fill(store, (10, 20), (30, 40))
    assert store.missing(45) == [range(10), range(20, 30), range(40, 45)]


def test_taking_more_rows_than_there_are_is_an_error(tmp_path: Path) -> None:
    """An output would be too short without an error."""
    cursor = SegmentCursor(fill(SegmentStore(tmp_path, SCHEMA), (0, 3)))
    with pytest.raises(LookupError, match="2 rows have no answer segment"):
        cursor.take(5)


def test_no_rows_are_an_empty_table_with_all_columns(tmp_path: Path) -> None:
    """An empty input file would have no output columns."""
    assert SegmentCursor(SegmentStore(tmp_path, SCHEMA)).take(0).schema == SCHEMA
