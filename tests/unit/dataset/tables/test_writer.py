"""Writing tables: exact bytes, exact types, and never a partial file."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bedrock_batch.dataset.tables import writer as writer_module
from bedrock_batch.dataset.tables.reader import open_table
from bedrock_batch.dataset.tables.writer import TableWriter


def write_batch(path: Path, file_format: str, batch: pa.RecordBatch) -> bytes:
    with TableWriter(path, file_format, batch.schema) as writer:  # type: ignore[arg-type]  # one of the three formats
        writer.write(batch)
    return path.read_bytes()


def write_all(writer: TableWriter, batches: list[pa.RecordBatch]) -> None:
    with writer:
        for batch in batches:
            writer.write(batch)


def one_column(values: list[object], kind: pa.DataType) -> pa.RecordBatch:
    """Return a batch with the values, and a column behind them that keeps an empty cell from being an empty line."""
    return pa.record_batch([pa.array(values, kind), pa.nulls(len(values))], names=["a", "z"])


TEXTS: list[tuple[str, list[object], pa.DataType, list[str]]] = [
    ("text", ["x", " y ", "00123", None, ""], pa.string(), ["x", " y ", "00123", "", '""']),
    ("special", ["a,b", 'q"q', "l\nl", "r\rr", "t\tt", "'"], pa.large_string(),
     ['"a,b"', '"q""q"', '"l\nl"', '"r\rr"', "t\tt", "'"]),
    ("bool", [True, False, None], pa.bool_(), ["True", "False", ""]),
    ("int", [2**63 - 1, -1, None], pa.int64(), ["9223372036854775807", "-1", ""]),
    ("uint", [2**64 - 1], pa.uint64(), ["18446744073709551615"]),
    ("double", [0.1, 1.0, 1e22, 5e-324, float("nan"), float("-inf"), None], pa.float64(),
     ["0.1", "1.0", "1e+22", "5e-324", "nan", "-inf", ""]),
    ("list", [["a", None], [], None], pa.list_(pa.string()), ['"[""a"", null]"', "[]", ""]),
    ("struct", [{"k": "ä", "n": [1]}, None], pa.struct([("k", pa.string()), ("n", pa.list_(pa.int64()))]),
     ['"{""k"": ""ä"", ""n"": [1]}"', ""]),
    ("dates", [datetime.date(1, 1, 1), None], pa.date32(), ["0001-01-01", ""]),
    ("times", [datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)], pa.timestamp("us", "UTC"),
     ["2020-01-02 03:04:05+00:00"]),
    ("decimal", [decimal.Decimal("1.10")], pa.decimal128(5, 2), ["1.10"]),
    ("bytes", [b"x,\xff"], pa.binary(), ['"x,\\xff"']),
    ("null", [None], pa.null(), [""]),
]  # fmt: skip


@pytest.mark.parametrize(("values", "kind", "cells"), [case[1:] for case in TEXTS], ids=[case[0] for case in TEXTS])
def test_csv_cells_are_quoted_only_where_they_must_be(
    tmp_path: Path, values: list[object], kind: pa.DataType, cells: list[str]
) -> None:
    """A cell would differ from the input, or a list appear as Python code that no JSON reader takes."""
    data = write_batch(tmp_path / "data.csv", "csv", one_column(values, kind))
    assert data.decode() == "a,z\n" + "".join(f"{cell},\n" for cell in cells)


def test_dictionary_columns_are_written_as_their_values(tmp_path: Path) -> None:
    """A category would be written as its number."""
    batch = pa.record_batch([pa.array(["x,"]).dictionary_encode(), pa.nulls(1)], names=["a", "z"])
    assert write_batch(tmp_path / "data.csv", "csv", batch) == b'a,z\n"x,",\n'


def test_tsv_quotes_tabs_and_not_commas(tmp_path: Path) -> None:
    """A tab inside a cell would shift the cells behind it."""
    assert write_batch(tmp_path / "data.tsv", "tsv", one_column(["a,b", "a\tb"], pa.string())) == (
        b'a\tz\na,b\t\n"a\tb"\t\n'
    )


def test_a_slice_of_a_batch_writes_its_own_rows(tmp_path: Path) -> None:
    """The rows in front of a slice would be written again."""
    batch = pa.RecordBatch.from_pydict({"a": ["1", "2", '"3', "4"]})
    assert write_batch(tmp_path / "data.csv", "csv", batch.slice(1, 2)) == b'a\n2\n"""3"\n'


def test_large_batches_are_rendered_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of long answers would be copied in memory as a whole."""
    monkeypatch.setattr(writer_module, "RENDER_BYTES", 100)
    rows = [f"{row:020d}" for row in range(50)]
    data = write_batch(tmp_path / "data.csv", "csv", pa.RecordBatch.from_pydict({"a": rows}))
    assert data.decode().split() == ["a", *rows]


@pytest.mark.parametrize("file_format", ["csv", "tsv", "parquet"])
def test_nothing_appears_before_the_end_and_nothing_is_left(tmp_path: Path, file_format: str) -> None:
    """A reader, or SageMaker's upload, would take a partial file for a complete one."""
    path = tmp_path / "new" / f"data.{file_format}"
    batch = pa.RecordBatch.from_pydict({"a": ["1"]})
    with TableWriter(path, file_format, batch.schema) as writer:  # type: ignore[arg-type]  # one of the three formats
        writer.write(batch)
        assert not path.exists()
        assert all(entry.name.startswith(".") for entry in path.parent.iterdir())
    assert writer.rows == 1
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_an_error_leaves_the_old_file_as_it_was(tmp_path: Path, file_format: str) -> None:
    """A run that fails while it writes would destroy the output of the run before."""
    path = tmp_path / "data"
    path.write_text("old")
    batch = pa.RecordBatch.from_pydict({"a": ["1"]})
    wrong = pa.RecordBatch.from_pydict({"a": [1]})
    writer = TableWriter(path, file_format, batch.schema)  # type: ignore[arg-type]  # one of the three formats
    with pytest.raises(TypeError, match="types"):
        write_all(writer, [batch, wrong])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_schema_that_parquet_cannot_hold_leaves_nothing(tmp_path: Path) -> None:
    """A hidden file would stay in the output folder and be uploaded."""
    with pytest.raises(pa.ArrowException):
        write_batch(tmp_path / "data", "parquet", pa.record_batch([pa.array([{}], pa.struct([]))], names=["a"]))
    assert list(tmp_path.iterdir()) == []


def test_the_part_of_a_killed_run_is_replaced(tmp_path: Path) -> None:
    """The unfinished file of a run that was killed would stay in the output folder for ever."""
    (tmp_path / ".data.csv.part").write_text("half")
    assert write_batch(tmp_path / "data.csv", "csv", pa.RecordBatch.from_pydict({"a": ["1"]})) == b"a\n1\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.csv"]


@pytest.mark.parametrize(("file_format", "expected"), [("csv", b"a,a\n"), ("tsv", b"a\ta\n")])
def test_a_table_without_rows_has_its_header(tmp_path: Path, file_format: str, expected: bytes) -> None:
    """An empty split would have no output, or one without columns."""
    schema = pa.schema([("a", pa.string()), ("a", pa.int64())])
    assert write_batch(tmp_path / "data", file_format, pa.RecordBatch.from_pylist([], schema=schema)) == expected


def test_parquet_keeps_the_schema_that_was_given(tmp_path: Path) -> None:
    """Nullability, field metadata or the metadata of the input would be lost, or types be guessed from the data."""
    schema = pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False, metadata={"k": "v"}),
            pa.field("kind", pa.dictionary(pa.int32(), pa.string())),
            pa.field("tags", pa.list_(pa.string())),
            pa.field("id", pa.float64()),
        ],
        metadata={"origin": "warehouse"},
    )
    path = tmp_path / "data.parquet"
    with TableWriter(path, "parquet", schema) as writer:
        for kinds in (["x", "y"], ["z", None]):
            nulls = [pa.nulls(2, field.type) for field in (schema.field(2), schema.field(3))]
            arrays = [pa.array([1, 2]), pa.array(kinds).dictionary_encode(), *nulls]
            writer.write(pa.RecordBatch.from_arrays(arrays, names=schema.names))
    stored = pq.ParquetFile(path)
    assert stored.schema_arrow.remove_metadata().equals(schema.remove_metadata())
    assert not stored.schema_arrow.field(0).nullable
    assert stored.schema_arrow.field(0).metadata[b"k"] == b"v"
    assert stored.schema_arrow.metadata[b"origin"] == b"warehouse"
    assert stored.read().column(1).to_pylist() == ["x", "y", "z", None]
    assert stored.num_row_groups == 1


def test_small_batches_become_row_groups_of_a_useful_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row group per ten rows makes a Parquet file large and slow; one for all rows takes all memory."""
    monkeypatch.setattr(writer_module, "ROW_GROUP_ROWS", 25)
    batch = pa.RecordBatch.from_pydict({"a": list(range(10))})
    path = tmp_path / "data.parquet"
    with TableWriter(path, "parquet", batch.schema) as writer:
        for _ in range(7):
            writer.write(batch)
    metadata = pq.ParquetFile(path).metadata
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [30, 30, 10]


@pytest.mark.parametrize("file_format", ["csv", "tsv", "parquet"])
def test_a_gzipped_output_holds_the_same_rows_and_the_same_bytes_each_time(tmp_path: Path, file_format: Any) -> None:
    """A compressed input would come out uncompressed, or every run would give another file."""
    batch = pa.RecordBatch.from_pydict({"a": ["x", None, "1\n2"], "b": ["", "z", "é"]})
    for name in ("one", "two"):
        with TableWriter(tmp_path / f"{name}.{file_format}.gz", file_format, batch.schema) as writer:
            writer.write(batch)
    one, two = ((tmp_path / f"{name}.{file_format}.gz").read_bytes() for name in ("one", "two"))
    assert one == two
    assert one[:2] == b"\x1f\x8b"
    table = open_table(tmp_path / f"one.{file_format}.gz")
    assert [row for part in table.batches() for row in part.to_pylist()] == batch.to_pylist()
