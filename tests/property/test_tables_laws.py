"""Laws of reading and writing tables."""

from __future__ import annotations

import contextlib
import csv
import io
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedrock_batch.dataset.frames import frame_to_table, table_to_frame
from bedrock_batch.dataset.tables import delimited
from bedrock_batch.dataset.tables.reader import open_table
from bedrock_batch.dataset.tables.row_ends import RowEnd, find_last_row_end
from bedrock_batch.dataset.tables.writer import TableWriter
from bedrock_batch.errors import InputError

Cell = str | None

TRICKY = st.text(st.sampled_from(list("\",\t\r\n'\\ aä\ufeff\x00|")), max_size=6)
CELL = st.none() | TRICKY | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Return a text table with any cells and any column names, which may repeat."""
    width = draw(st.integers(1, 4))
    names = draw(st.lists(TRICKY.filter(lambda name: "\x00" not in name), min_size=width, max_size=width))
    rows = draw(st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=8))
    columns = [pa.array([row[index] for row in rows], pa.string()) for index in range(width)]
    return pa.Table.from_arrays(columns, schema=pa.schema([pa.field(name, pa.string()) for name in names]))


def rows_of(table: pa.Table) -> list[tuple[Cell, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def write_table(path: Path, file_format: str, table: pa.Table) -> None:
    with TableWriter(path, file_format, table.schema) as writer:  # type: ignore[arg-type]  # one of the three formats
        for batch in table.to_batches(max_chunksize=3):
            writer.write(batch)


@settings(deadline=None)
@given(table=tables(), file_format=st.sampled_from(["csv", "tsv", "parquet"]), block=st.sampled_from([3, 17, 1 << 20]))
def test_what_is_written_is_read_back(table: pa.Table, file_format: str, block: int) -> None:
    """A cell of an input would change on its way to the output."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "BLOCK_BYTES", block)
        path = Path(folder) / f"data.{file_format}"
        write_table(path, file_format, table)
        found = open_table(path)
        assert found.columns == tuple(table.column_names)
        assert found.count_rows() == table.num_rows
        assert rows_of(pa.Table.from_batches(found.batches(2), schema=found.schema)) == rows_of(table)


@settings(deadline=None)
@given(table=tables(), file_format=st.sampled_from(["csv", "tsv"]))
def test_other_readers_find_the_same_cells(table: pa.Table, file_format: str) -> None:
    """Only our own reader could read the output; Python's csv module represents all others."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        write_table(path, file_format, table)
        text = path.read_bytes().decode().replace("\x00", "\x01")  # Python 3.10 refuses NUL bytes
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter={"csv": ",", "tsv": "\t"}[file_format]))
    expected = [[(cell or "").replace("\x00", "\x01") for cell in row] for row in rows_of(table)]
    assert [row or [""] for row in rows[1:]] == expected


def find_by_walking(data: bytes, delimiter: str) -> RowEnd:
    """Return what `find_last_row_end` returns, found byte by byte."""
    end, position, state = 0, 0, "start"
    while position < len(data):
        byte = data[position : position + 1]
        if state == "quoted":
            if byte == b'"':
                doubled = data[position + 1 : position + 2] == b'"'
                position += doubled
                state = "quoted" if doubled else "cell"
        elif byte == b'"' and state == "start":
            state = "quoted"
        elif byte in b"\r\n":
            state = "start"
            end = position + 1 if byte == b"\n" or position + 1 < len(data) else end
        else:
            state = "start" if byte == delimiter.encode() else "cell"
        position += 1
    return RowEnd(end, state == "quoted")


@settings(max_examples=500)
@given(
    pieces=st.lists(st.sampled_from(['"', '""', ",", "\t", "\r", "\n", "\r\n", "a", "ä", ',"', '",']), max_size=30),
    delimiter=st.sampled_from([",", "\t"]),
)
def test_row_ends_are_where_a_parser_finds_them(pieces: list[str], delimiter: str) -> None:
    """A block would end in the middle of a row, and the row would be read as two."""
    data = "".join(pieces).encode()
    assert find_last_row_end(data, delimiter) == find_by_walking(data, delimiter)


@settings(deadline=None)
@given(data=st.binary(max_size=60) | st.text('",\n\r aä', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """A damaged file would end the run with an error that does not name it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            table = open_table(path)
            assert table.count_rows() == sum(batch.num_rows for batch in table.batches(3))


@settings(deadline=None)
@given(data=st.binary(max_size=60), start=st.sampled_from([b"", b"\x1f\x8b\x08\x00", b"PAR1"]))
def test_any_bytes_under_any_suffix_are_read_or_refused(data: bytes, start: bytes) -> None:
    """A damaged compressed or binary file would end the run with an error that does not name it."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("data.csv.gz", "data.parquet", "data.parquet.gz"):
            path = Path(folder) / name
            path.write_bytes(start + data + start)
            with pytest.raises(InputError, match="data"):
                open_table(path).count_rows()


@settings(deadline=None)
@given(table=tables())
def test_a_frame_holds_what_the_table_holds(table: pa.Table) -> None:
    """A notebook user would get other cells than a run of the step."""
    again = frame_to_table(table_to_frame(table))
    assert again.column_names == table.column_names
    assert rows_of(again) == rows_of(table)
