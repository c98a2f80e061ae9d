"""Reading data files as streams of Arrow record batches, with every cell as it was written."""

from __future__ import annotations

from pathlib import Path

from bedrock_batch.tables.delimited import DelimitedFile
from bedrock_batch.tables.formats import detect_file_format
from bedrock_batch.tables.parquet import ParquetTable
from bedrock_batch.tables.table_file import TableFile


def open_table(path: str | Path) -> TableFile:
    """Open a data file; the format is told by its name.

    Raises InputError when the name names no format, or the file has no header or schema that can be read.
    """
    file_format = detect_file_format(path)
    return ParquetTable(Path(path)) if file_format == "parquet" else DelimitedFile(Path(path), file_format)
