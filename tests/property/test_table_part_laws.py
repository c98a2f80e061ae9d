"""Laws of table parts: what several instances read of one file."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.dataset.tables.reader import open_table
from bedrock_batch.dataset.tables.table_file import TablePart, TablePick

ROWS = 23


@pytest.fixture(scope="module", params=["csv", "parquet"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("parts") / f"rows.{request.param}"
    ids = [str(number) for number in range(ROWS)]
    if request.param == "csv":
        target.write_text("id\n" + "".join(f"{each}\n" for each in ids))
    else:
        nested = pa.array([{"words": [each]} for each in ids])
        coded = pa.array(ids).dictionary_encode()
        pq.write_table(pa.table({"id": ids, "nested": nested, "coded": coded}), target, row_group_size=4)
    return target


@given(cuts=st.lists(st.integers(0, ROWS), max_size=5), max_rows=st.integers(1, 30))
def test_the_parts_of_a_file_are_its_rows_in_order(path: Path, cuts: list[int], max_rows: int) -> None:
    """A row at the boundary of two instances' shares would be lost, or paid for by both."""
    whole = open_table(path)
    edges = [0, *sorted(cuts), ROWS]
    parts = [TablePart(whole, start, stop) for start, stop in itertools.pairwise(edges)]
    assert [part.count_rows() for part in parts] == [stop - start for start, stop in itertools.pairwise(edges)]
    batches = [batch for part in parts for batch in part.batches(max_rows)]
    assert all(1 <= batch.num_rows <= max_rows for batch in batches)
    assert [row["id"] for batch in batches for row in batch.to_pylist()] == [str(number) for number in range(ROWS)]


@given(
    wanted=st.sets(st.integers(0, ROWS - 5)),
    start=st.integers(0, 4),
    max_rows=st.integers(1, 30),
)
def test_a_pick_of_a_part_has_the_picked_rows_with_their_numbers(
    path: Path, wanted: set[int], start: int, max_rows: int
) -> None:
    """A sample would show other rows than those drawn, or an example of an error would name the wrong row."""
    rows = np.array(sorted(wanted), np.int64)
    pick = TablePick(TablePart(open_table(path), start, ROWS), rows)
    assert pick.count_rows() == len(wanted)
    batches = list(pick.batches(max_rows))
    assert all(1 <= batch.num_rows <= max_rows and batch.schema.equals(pick.schema) for batch in batches)
    ids = [row["id"] for batch in batches for row in batch.to_pylist()]
    assert ids == [str(start + row) for row in sorted(wanted)]
    assert [number - 1 for number in pick.row_numbers(0, len(ids))] == [int(each) for each in ids]
