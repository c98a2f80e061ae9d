"""Reading data files: every cell unchanged, and errors that name the file and the row."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bedrock_batch.dataset.tables import byte_source, delimited, parquet
from bedrock_batch.dataset.tables.formats import detect_file_format, find_data_files
from bedrock_batch.dataset.tables.reader import open_table
from bedrock_batch.dataset.tables.writer import TableWriter
from bedrock_batch.errors import InputChangedError, InputError

Row = tuple[object, ...]


def read_rows(path: Path, max_rows: int = 3) -> list[Row]:
    table = open_table(path)
    batches = list(table.batches(max_rows))
    assert all(0 < batch.num_rows <= max_rows for batch in batches)
    assert all(batch.schema.equals(table.schema, check_metadata=True) for batch in batches)
    rows = [row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)]
    assert table.count_rows() == len(rows)
    return rows


def write(tmp_path: Path, data: bytes, name: str = "data.csv", level: int = 1) -> Path:
    path = tmp_path / name
    path.write_bytes(gzip.compress(data, level) if name.endswith(".gz") else data)
    return path


def refusal(path: Path) -> str:
    """Return the message with which counting the rows of a file is refused, without the path that it must name."""
    with pytest.raises(InputError) as caught:
        open_table(path).count_rows()
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("data.csv", "csv"),
        ("data.tsv", "tsv"),
        ("data.parquet", "parquet"),
        ("data.csv.gz", "csv"),
        ("DATA.TSV.GZ", "tsv"),
        ("a.b/c.d.parquet.gz", "parquet"),
    ],
)
def test_the_suffix_names_the_format(name: str, expected: str) -> None:
    """A file with an accepted suffix would be refused or read as another format."""
    assert detect_file_format(name) == expected
    assert detect_file_format(Path(name)) == expected


@pytest.mark.parametrize("name", ["data.json", "data", "data.gz", "csv", "data.csv.bz2", "data.csv."])
def test_other_suffixes_are_refused_with_the_accepted_ones(name: str) -> None:
    """A user with an unsupported file would not learn what to convert it to."""
    with pytest.raises(InputError, match=r"\.csv\[\.gz\], \.tsv"):
        detect_file_format(name)


def test_data_files_come_by_name_and_the_rest_is_told(tmp_path: Path) -> None:
    """Rows would come in a random order, or a file would be ignored without a warning."""
    for name in ("b.csv", "a.parquet", "c.TSV.gz", ".hidden.csv", "notes.txt", "_SUCCESS"):
        (tmp_path / name).write_text("")
    (tmp_path / "set.parquet").mkdir()
    files, ignored = find_data_files(tmp_path)
    assert [path.name for path in files] == ["a.parquet", "b.csv", "c.TSV.gz"]
    assert [path.name for path in ignored] == [".hidden.csv", "_SUCCESS", "notes.txt", "set.parquet"]
    assert find_data_files(tmp_path / "absent") == ([], [])


CELLS: list[tuple[str, bytes, tuple[str, ...], list[Row]]] = [
    ("look-alikes", b"a,b\n00123,1e5\nNA,null\nnan,TRUE\n-0,2020-01-01\n", ("a", "b"),
     [("00123", "1e5"), ("NA", "null"), ("nan", "TRUE"), ("-0", "2020-01-01")]),
    ("big-integer", b"a,b\n123456789012345678901234567890,0.10\n", ("a", "b"),
     [("123456789012345678901234567890", "0.10")]),
    ("null-and-empty", b'a,b\n,""\n"",\n', ("a", "b"), [(None, ""), ("", None)]),
    ("spaces", b'a, b\n 1 ,\t2 \n" ",x\n', ("a", " b"), [(" 1 ", "\t2 "), (" ", "x")]),
    ("line-breaks", b'a,b\r\n"x\r\ny","p\nq"\r\n1,"r\rs"\r\n', ("a", "b"), [("x\r\ny", "p\nq"), ("1", "r\rs")]),
    ("old-mac", b"a,b\r1,2\r3,4", ("a", "b"), [("1", "2"), ("3", "4")]),
    ("quotes", b'a,b\n"say ""hi""",""""\n"a,b","\n"\n', ("a", "b"), [('say "hi"', '"'), ("a,b", "\n")]),
    ("stray-quotes", b'a,b\n5" pipe,x\n"6"" y","z\n"\n7" y,"1\n2"\n', ("a", "b"),
     [('5" pipe', "x"), ('6" y', "z\n"), ('7" y', "1\n2")]),
    ("byte-order-mark", '﻿"ä",b\n﻿1,2\n'.encode(), ("ä", "b"), [("﻿1", "2")]),
    ("unicode", "a,b\né\u2028x,𝄞\n\x85,\u00a0\n".encode(), ("a", "b"), [("é\u2028x", "𝄞"), ("\x85", "\u00a0")]),
    ("zero-byte", b"a,b\n1\x002,\\N\n", ("a", "b"), [("1\x002", "\\N")]),
    ("header-only", b"a,b\n", ("a", "b"), []),
    ("header-without-end", b"a,b", ("a", "b"), []),
    ("same-names", b"a,a,a\n1,2,3\n", ("a", "a", "a"), [("1", "2", "3")]),
    ("nameless", b",b\n1,2\n", ("", "b"), [("1", "2")]),
    ("names-in-quotes", b'"a\nx","b""q"\n1,2\n', ("a\nx", 'b"q'), [("1", "2")]),
    ("empty-lines", b"\n\r\na,b\n\n1,2\n\n\n3,4\n\n", ("a", "b"), [("1", "2"), ("3", "4")]),
    ("one-column", b'\na\n1\n\n""\n\n', ("a",), [("1",), (None,), ("",), (None,)]),
    ("one-column-crlf", b"a\r\n\r\n2\r\n\r\n", ("a",), [(None,), ("2",), (None,)]),
    ("no-line-feed-at-the-end", b'a,b\n1,""', ("a", "b"), [("1", "")]),
]  # fmt: skip


@pytest.mark.parametrize("block", [1 << 22, 7], ids=["one-block", "blocks-of-7"])
@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz"])
@pytest.mark.parametrize(("data", "columns", "rows"), [case[1:] for case in CELLS], ids=[case[0] for case in CELLS])
def test_cells_come_as_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, columns: tuple[str, ...], rows: list[Row], name: str,
    block: int,
) -> None:  # fmt: skip
    """A cell would reach the model and the output changed, depending on its position in the file."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block)
    path = write(tmp_path, data, name)
    assert open_table(path).columns == columns
    assert read_rows(path) == rows


def test_tsv_is_read_by_tabs_with_the_same_quotes(tmp_path: Path) -> None:
    """Commas inside the cells of a TSV file would split them."""
    path = write(tmp_path, b'a\tb\n1,2\t"x\ty"\n\t""\n', "data.tsv")
    assert read_rows(path) == [("1,2", "x\ty"), (None, "")]


def test_a_cell_larger_than_many_blocks_is_one_cell(tmp_path: Path) -> None:
    """A document of 10 MB in a cell would end the run, as Arrow's own reader does."""
    long = 'line, "quoted"\n' * 700_000
    quoted = long.replace('"', '""')
    path = write(tmp_path, f'a,b\n1,"{quoted}"\n2,{"y" * 5_000_000}\n3,z\n'.encode())
    assert read_rows(path) == [("1", long), ("2", "y" * 5_000_000), ("3", "z")]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\n\r\n", "is empty", id="only-line-breaks"),
        pytest.param(b"a,b\n1,2\n\n1,2,SECRET\n", "row 3 (the header is row 1) has 3 cells", id="too-many"),
        pytest.param(b"a,b\n1,2\nSECRET\n", "row 3 (the header is row 1) has 1 cells", id="too-few"),
        pytest.param(b'a,b\n1,2\n"SECRET,2\n3,4\n', "row 3 (the header is row 1) has a quote that is never", id="open"),
        pytest.param(b'a,b\n1,2\n1,"SECRET\n', "row 3 (the header is row 1) has a quote that is never", id="open-last"),
        pytest.param(b'"a,b\n1,2\n', "row 1 (the header is row 1) has a quote that is never", id="open-header"),
        pytest.param(b"a,b\n1,2\n1,SECRET\xff\n", "column 'b' of row 3 (the header is row 1) is not", id="not-utf8"),
        pytest.param("a,b\nä,1\n".encode("latin-1"), "column 'a' of row 2 (the header is row 1) is not", id="latin"),
        pytest.param(b"a,\xff\n1,2\n", "the header is not valid UTF-8", id="not-utf8-header"),
        pytest.param("a,b\n1,2\n".encode("utf-16"), "the header ", id="utf-16"),
    ],
)
@pytest.mark.parametrize("block", [1 << 22, 5], ids=["one-block", "blocks-of-5"])
def test_what_is_wrong_is_named_with_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, expected: str, block: int
) -> None:
    """A user would search a large file for the row, or find the row's text in a log."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block)
    message = refusal(write(tmp_path, data))
    assert message.startswith(expected)
    assert "SECRET" not in message


def test_the_row_number_counts_over_blocks(tmp_path: Path) -> None:
    """The number would be that within a block of 4 MiB, which no editor shows."""
    rows = b"12345678,12345678\n" * 600_000
    assert refusal(write(tmp_path, b"a,b\n" + rows + b"1\n")).startswith("row 600002 ")
    assert "row 600002 " in refusal(write(tmp_path, b"a,b\n" + rows + b"1,\xff\n"))


def test_a_row_without_an_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quote that was never closed near the start of a large file would take all memory."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1024)
    monkeypatch.setattr(delimited, "MAX_ROW_BYTES", 4096)
    path = write(tmp_path, b'a,b\n1,2\n3,"' + b"x\n" * 5000)
    assert refusal(path).startswith("row 3 (the header is row 1) is larger than 4.0 KiB")


@pytest.mark.parametrize("name", ["data.csv.gz", "data.parquet.gz"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-9],
        lambda data: data[:-8] + bytes(8),
        lambda data: b"a,b\n1,2\n",
        lambda data: data + b"junk",
    ],
    ids=["cut-off", "checksum", "not-gzip", "junk-behind"],
)
def test_damaged_gzip_is_named(tmp_path: Path, name: str, damage: object) -> None:
    """A truncated copy of a file would lose its last rows without an error."""
    path = write(tmp_path, b"a,b\n" + b"1,2\n" * 1000, name)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]  # a lambda of the table above
    assert "damaged or cut off" in refusal(path)


def test_gzip_in_several_members_or_with_padding_is_read_to_its_end(tmp_path: Path) -> None:
    """Files that were concatenated after compression would lose all but the first part."""
    path = write(tmp_path, b"a,b\n1,2\n", "data.csv.gz")
    path.write_bytes(path.read_bytes() + gzip.compress(b"3,4\n") + bytes(64))
    assert read_rows(path) == [("1", "2"), ("3", "4")]


@pytest.mark.parametrize("name", ["data.csv.gz", "data.parquet.gz"])
def test_gzip_that_unpacks_to_an_absurd_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A small file could fill the disk or keep the step busy for days."""
    monkeypatch.setattr(byte_source, "FREE_BYTES", 1 << 20)
    message = refusal(write(tmp_path, b"a,b\n" + b"0" * 8_000_000, name, level=9))
    assert "of gzip unpack to more than" in message


def test_a_reader_that_is_given_up_can_be_started_again(tmp_path: Path) -> None:
    """A second pass over the rows (count, then process) would start in the middle or fail."""
    path = write(tmp_path, b"a,b\n" + b"1,2\n" * 10)
    table = open_table(path)
    first = next(table.batches(4))
    assert first.num_rows == 4
    assert [batch.num_rows for batch in table.batches(4)] == [4, 4, 2]


RICH_SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("text", pa.large_string(), metadata={"unit": "words"}),
        pa.field("when", pa.timestamp("us", tz="Europe/Berlin")),
        pa.field("price", pa.decimal128(38, 10)),
        pa.field("kind", pa.dictionary(pa.int32(), pa.string())),
        pa.field("tags", pa.list_(pa.struct([pa.field("a", pa.int8()), pa.field("b", pa.binary())]))),
        pa.field("map", pa.map_(pa.string(), pa.float32())),
        pa.field("id", pa.uint64()),
        pa.field("nothing", pa.null()),
    ],
    metadata={b"origin": b"warehouse"},
)


def rich_table(count: int) -> pa.Table:
    columns = [
        pa.array(range(count), pa.int64()),
        pa.array(
            [None if row % 3 == 0 else "" if row % 3 == 1 else "ünï\n" for row in range(count)], pa.large_string()
        ),
        pa.array([row * 1_000_001 for row in range(count)], pa.timestamp("us", tz="Europe/Berlin")),
        pa.array([None] * count, pa.decimal128(38, 10)),
        pa.array([f"kind {row % 4}" for row in range(count)]).dictionary_encode(),
        pa.array(
            [[{"a": 1, "b": b"\xff"}, None] if row % 2 else None for row in range(count)], RICH_SCHEMA.field(5).type
        ),
        pa.array([[("k", 0.5)]] * count, RICH_SCHEMA.field(6).type),
        pa.array([2**64 - 1] * count, pa.uint64()),
        pa.nulls(count),
    ]
    return pa.Table.from_arrays(columns, schema=RICH_SCHEMA)


@pytest.mark.parametrize("name", ["data.parquet", "data.parquet.gz"])
@pytest.mark.parametrize("count", [0, 1, 25])
def test_parquet_keeps_its_schema_and_values(tmp_path: Path, name: str, count: int) -> None:
    """Types, nullability, nested columns or metadata of the input would be lost in the output."""
    plain = tmp_path / "plain.parquet"
    pq.write_table(rich_table(count), plain, row_group_size=10)
    path = write(tmp_path, plain.read_bytes(), name)
    table = open_table(path)
    assert table.schema.equals(pq.read_schema(plain), check_metadata=True)
    assert table.schema.remove_metadata().equals(RICH_SCHEMA.remove_metadata())
    assert table.schema.metadata[b"origin"] == b"warehouse"
    assert not table.schema.field(0).nullable
    rows = read_rows(path, max_rows=7)
    assert rows == list(zip(*(column.to_pylist() for column in rich_table(count).columns), strict=True))


def test_parquet_batches_are_small_where_rows_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row group of long documents would be in memory at once."""
    monkeypatch.setattr(parquet, "BATCH_BYTES", 100_000)
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"a": [f"{row:010d}" * 1000 for row in range(100)]}), path, use_dictionary=False)
    assert max(batch.num_rows for batch in open_table(path).batches(1000)) <= 10


def damaged_parquet(tmp_path: Path, damage: str) -> Path:
    path = tmp_path / "data.parquet"
    table = pa.table({"a": [f"{row} " * 20 for row in range(2000)]})
    pq.write_table(table, path, use_dictionary=False, compression="snappy")
    data = path.read_bytes()
    match damage:
        case "cut-off":
            path.write_bytes(data[: len(data) // 2])
        case "page":
            path.write_bytes(data[:200] + bytes(8000) + data[8200:])
        case "text":
            path.write_text("a,b\n1,2\n")
        case "empty":
            path.write_bytes(b"")
        case "encrypted":
            path.write_bytes(data[:-4] + b"PARE")
        case "no-columns":
            pq.write_table(pa.table({}), path)
    return path


@pytest.mark.parametrize("damage", ["cut-off", "page", "text", "empty", "encrypted", "no-columns"])
def test_parquet_that_cannot_be_read_is_named(tmp_path: Path, damage: str) -> None:
    """A damaged file would end the run with Arrow's words, or after some rows had been paid for."""
    assert refusal(damaged_parquet(tmp_path, damage))


def test_parquet_text_that_is_not_utf8_is_found_by_its_row(tmp_path: Path) -> None:
    """Rows before the bad one would be paid for, and then the run would end."""
    values = pa.array([b"good"] * 1000 + [b"SECRET\xff", b"good"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), len(values), values.buffers())
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"a": text, "n": range(1002)}), path, row_group_size=300)
    message = refusal(path)
    assert message.startswith("column 'a', row 1001: ")
    assert "SECRET" not in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that another process removed would end the run without its name."""
    for name in ("data.csv", "data.csv.gz", "data.parquet", "data.parquet.gz"):
        assert refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_no_row_of_a_file_that_changed_is_handed_out(tmp_path: Path, name: str) -> None:
    """A long real-time run would pay for all rows of the wrong file before it noticed."""
    path = tmp_path / name
    rows = pa.RecordBatch.from_pydict({"a": ["1", "2", "3", "4"]})
    with TableWriter(path, detect_file_format(path), rows.schema) as writer:
        writer.write(rows)
    batches = open_table(path).batches(max_rows=2)
    assert next(batches).num_rows == 2
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputChangedError, match="written to"):
        next(batches)
