"""Opening a data file with the reader of its format."""

from __future__ import annotations

from pathlib import Path

from bedrock_batch.dataset.tables.delimited import DelimitedFile
from bedrock_batch.dataset.tables.formats import detect_file_format
from bedrock_batch.dataset.tables.parquet import ParquetTable
from bedrock_batch.dataset.tables.table_file import TableFile


def open_table(path: str | Path) -> TableFile:
    """Open a data file in the format that its name tells.

    Raise InputError if the name tells no format or the file has no readable header or schema.
    """
    file_format = detect_file_format(path)
    return ParquetTable(Path(path)) if file_format == "parquet" else DelimitedFile(Path(path), file_format)
