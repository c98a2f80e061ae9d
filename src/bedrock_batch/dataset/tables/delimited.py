"""Reading CSV and TSV files in blocks of complete rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from bedrock_batch.dataset.tables.byte_source import ByteSource, open_source
from bedrock_batch.dataset.tables.file_identity import UnchangedFile
from bedrock_batch.dataset.tables.formats import DELIMITERS, FileFormat
from bedrock_batch.dataset.tables.row_ends import find_last_row_end
from bedrock_batch.dataset.tables.table_file import TableFile
from bedrock_batch.errors import InputError
from bedrock_batch.text import human_bytes

BLOCK_BYTES = 4 << 20
MAX_ROW_BYTES = 128 << 20
HEADER_BYTES = 1 << 16
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DELIMITER_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}


class DelimitedFile(TableFile):
    """A CSV or TSV file. Every cell is text; an empty cell is null, a quoted empty cell is the empty string.

    Quotes, doubled quotes and line breaks inside quotes follow RFC 4180. Empty lines are skipped, except in a file with
    one column, where each is a row whose cell is null.
    """

    def __init__(self, path: Path, file_format: FileFormat) -> None:
        unchanged = UnchangedFile(path)
        self._delimiter = DELIMITERS[file_format]
        names = read_header(path, self._delimiter)
        super().__init__(path, file_format, pa.schema([pa.field(name, pa.string()) for name in names]), unchanged)

    def _batches(self, max_rows: int) -> Iterator[pa.RecordBatch]:
        for batch in self._checked_batches():
            for start in range(0, batch.num_rows, max_rows):
                yield batch.slice(start, max_rows)

    def _checked_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches, parsing one block of bytes at a time."""
        row = 0  # the number of rows read so far, the header included
        with open_source(self.path) as source:
            try:
                for block in _split_at_rows(source, self._delimiter):
                    table = self._parse(block, row)
                    rows = table.slice(1) if row == 0 else table
                    row += table.num_rows
                    for batch in rows.to_batches():
                        yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)
            except _EndlessRowError as error:
                raise InputError(f"{self.path}: row {row + 1} (the header is row 1) {error}") from None

    def _parse(self, block: bytes, row: int) -> pa.Table:
        """Return the rows of a block after `row` earlier rows; the columns are named by their position."""
        names = [str(index) for index in range(len(self.schema))]
        refused: list[pa_csv.InvalidRow] = []

        def note(invalid: pa_csv.InvalidRow) -> str:
            refused.append(invalid)
            return "error"

        if not block or (len(names) > 1 and not block.strip(b"\r\n")):
            return pa.table({name: pa.array([], pa.string()) for name in names})
        try:
            return pa_csv.read_csv(
                # Arrow drops a byte order mark, which is part of the text if it begins the first cell of a block.
                pa.BufferReader(BYTE_ORDER_MARK + block if block.startswith(BYTE_ORDER_MARK) else block),
                # Only with one thread does Arrow number the rows that it refuses.
                pa_csv.ReadOptions(use_threads=False, block_size=len(block) + len(BYTE_ORDER_MARK), column_names=names),
                pa_csv.ParseOptions(
                    delimiter=self._delimiter,
                    newlines_in_values=True,
                    ignore_empty_lines=len(names) > 1,
                    invalid_row_handler=note,
                ),
                pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            raise InputError(f"{self.path}: {self._explain(str(error), refused, row)}") from None

    def _explain(self, reason: str, refused: list[pa_csv.InvalidRow], row: int) -> str:
        """Return what is wrong with a row, without the text of the row, which Arrow's message quotes."""
        if refused:
            invalid = refused[0]
            return (
                f"row {row + invalid.number} (the header is row 1) has {invalid.actual_columns} cells where the "
                f"header has {invalid.expected_columns}; "
                f"quote the cells that hold quotes or {DELIMITER_NAMES[self._delimiter]}"
            )
        if "invalid UTF8" in reason:
            return f"{self._place(reason, row)} is not valid UTF-8; save the file as UTF-8"
        return f"cannot be read as {self.format} after row {row} (the header is row 1)"

    def _place(self, reason: str, row: int) -> str:
        column = re.search(r"CSV column #(\d+)", reason)
        number = re.search(r"Row #(\d+)", reason)
        name = f"column {self.columns[int(column[1])]!r}" if column else "a cell"
        return f"{name} of row {row + int(number[1])} (the header is row 1)" if number else f"{name} after row {row}"


class _EndlessRowError(Exception):
    """A row does not end, or not within `MAX_ROW_BYTES`; the message completes a sentence about the row."""


def _split_at_rows(source: ByteSource, delimiter: str) -> Iterator[bytes]:
    """Yield the bytes of a file in blocks of complete rows."""
    data = _read_start(source)
    while more := source.read(max(BLOCK_BYTES, len(data))):
        data += more
        end = find_last_row_end(data, delimiter).offset
        if end:
            yield data[:end]
            data = data[end:]
        elif len(data) > MAX_ROW_BYTES:
            limit = human_bytes(MAX_ROW_BYTES)
            raise _EndlessRowError(
                f"is larger than {limit}; look for a quote that is never closed, or shorten the cell"
            )
    last = find_last_row_end(data, delimiter)
    if not last.in_quotes:
        yield data
        return
    yield data[: last.offset]
    raise _EndlessRowError("has a quote that is never closed; close it, or double it if it is part of the text")


def _read_start(source: ByteSource) -> bytes:
    """Return the first bytes, without a byte order mark and the empty lines before the header."""
    data = source.read(BLOCK_BYTES).removeprefix(BYTE_ORDER_MARK).lstrip(b"\r\n")
    while not data and (more := source.read(BLOCK_BYTES)):
        data = more.lstrip(b"\r\n")
    return data


def read_header(path: Path, delimiter: str) -> list[str]:
    """Return the cells of the first row that is not empty; raise InputError if there is no usable one."""
    try:
        with open_source(path) as source:
            text = io.TextIOWrapper(
                io.BufferedReader(_RawSource(source), HEADER_BYTES),
                encoding="utf-8-sig",
                errors="surrogateescape",
                newline="",
            )
            names = next((row for row in csv.reader(text, delimiter=delimiter) if row), None)
    except csv.Error as error:
        raise InputError(f"{path}: the header cannot be read ({error})") from None
    if names is None:
        raise InputError(f"{path}: is empty; a header and rows are needed")
    if any("\udc80" <= character <= "\udcff" for name in names for character in name):
        raise InputError(f"{path}: the header is not valid UTF-8; save the file as UTF-8")
    return names


def find_delimiter(path: Path, names: Collection[str], unlike: str) -> str | None:
    """Return the delimiter by which the header of a file has one of the names, None if no other than `unlike` does."""
    for delimiter in DELIMITER_NAMES:
        if delimiter == unlike:
            continue
        try:
            header = read_header(path, delimiter)
        except InputError:
            continue
        if set(names).intersection(name.strip() for name in header):
            return delimiter
    return None


class _RawSource(io.RawIOBase):
    """Adapts a `ByteSource` to the io module."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
