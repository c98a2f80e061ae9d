"""Conversion between pandas frames, Arrow tables and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from bedrock_batch.dataset.tables.formats import FORMATS
from bedrock_batch.dataset.tables.reader import open_table
from bedrock_batch.dataset.tables.writer import TableWriter
from bedrock_batch.errors import InputError
from bedrock_batch.text import printable, value_text

PANDAS_KEY = b"pandas"
CHUNK_ROWS = 8192
CONVERSION_ERRORS = (pa.ArrowException, OverflowError, TypeError, ValueError)


def load_dataframe_with_format(file_path: str | Path) -> tuple[pd.DataFrame, str]:
    """Return the rows of a data file as a frame, and the name of the format.

    The columns are Arrow-backed: text stays text, integers stay exact, and null differs from the empty string.
    """
    table = open_table(file_path)
    return table_to_frame(pa.Table.from_batches(table.batches(), schema=table.schema)), table.format


def save_dataframe_with_format(df: pd.DataFrame, output_path: str | Path, format_str: str) -> Path:
    """Write a frame to a file and return its path, with the suffix of the format added if it is missing.

    A path that ends in the suffix and `.gz` is compressed with gzip. CSV and TSV store the named levels of the index as
    columns; only Parquet stores an index without a name.
    """
    file_format = next((known for known in FORMATS if known == format_str), None)
    if file_format is None:
        raise InputError(f"the format {format_str!r} is not one of {', '.join(FORMATS)}")
    path = Path(output_path)
    if not path.name.lower().endswith((f".{file_format}", f".{file_format}.gz")):
        path = path.with_name(f"{path.name}.{file_format}")
    table = frame_to_table(df if file_format == "parquet" else _without_nameless_index(df))
    with TableWriter(path, file_format, table.schema) as writer:
        for batch in table.to_batches(max_chunksize=CHUNK_ROWS):
            writer.write(batch)
    return path


def _without_nameless_index(df: pd.DataFrame) -> pd.DataFrame:
    nameless = [level for level, name in enumerate(df.index.names) if name is None]
    return df.reset_index(level=nameless, drop=True) if nameless else df


def frame_to_table(df: pd.DataFrame) -> pa.Table:
    """Return a frame as a table: its columns in order, followed by the index unless it is a range.

    Labels become text and may repeat. A column whose values have no common Arrow type becomes text cell by cell:
    missing values stay null, lists and objects become JSON. The metadata let pandas restore the index.
    """
    names = [str(label) for label in df.columns]
    if len(set(names)) == len(names):
        return _convert(df)
    table = _convert(df.set_axis(range(len(names)), axis="columns"))
    described = json.loads(table.schema.metadata[PANDAS_KEY])
    # pandas describes columns by name. If names repeat, only its description of the index is unambiguous.
    described["columns"] = [
        column for column in described["columns"] if column["field_name"] in table.column_names[len(names) :]
    ]
    metadata = {**table.schema.metadata, PANDAS_KEY: json.dumps(described).encode()}
    return table.rename_columns(names + table.column_names[len(names) :]).replace_schema_metadata(metadata)


def _convert(df: pd.DataFrame) -> pa.Table:
    try:
        return pa.Table.from_pandas(df)
    except CONVERSION_ERRORS:
        return pa.Table.from_pandas(df.apply(_as_text_if_mixed))


def _as_text_if_mixed(column: pd.Series[Any]) -> pd.Series[Any]:
    try:
        pa.Array.from_pandas(column)
    except CONVERSION_ERRORS:
        values = [None if _is_missing(value) else printable(value_text(value)) for value in column]
        return pd.Series(values, index=column.index, dtype=object)
    return column


def _is_missing(value: Any) -> bool:
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def table_to_frame(table: pa.Table) -> pd.DataFrame:
    """Return a table as a frame of Arrow-backed columns, whose names may repeat, with the index that pandas stored."""
    frame = pd.DataFrame({position: _to_series(column) for position, column in enumerate(table.columns)})
    frame.columns = pd.Index(table.column_names, dtype=object)
    described = json.loads((table.schema.metadata or {}).get(PANDAS_KEY, b"{}"))
    return _restore_index(frame, described)


def _to_series(column: pa.ChunkedArray) -> pd.Series[Any]:
    # Only pandas can convert the values of its extension types, such as periods and intervals.
    if isinstance(column.type, pa.BaseExtensionType):
        values = column.to_pandas()
    else:
        values = pd.arrays.ArrowExtensionArray(column)
    series: pd.Series[Any] = pd.Series(values)
    return series


def _restore_index(frame: pd.DataFrame, described: dict[str, Any]) -> pd.DataFrame:
    levels = described.get("index_columns", [])
    if len(levels) == 1 and isinstance(levels[0], dict):
        return _restore_range(frame, levels[0])
    names = list(frame.columns)
    if not levels or any(not isinstance(level, str) or names.count(level) != 1 for level in levels):
        return frame
    labels = {column.get("field_name"): column.get("name") for column in described.get("columns", [])}
    indexed: pd.DataFrame = frame.set_index(levels)
    indexed.index.names = [labels.get(level, level) for level in levels]
    return indexed


def _restore_range(frame: pd.DataFrame, level: dict[str, Any]) -> pd.DataFrame:
    rows = range(level.get("start", 0), level.get("stop", 0), level.get("step", 1))
    if len(rows) == len(frame):
        frame.index = pd.RangeIndex(rows.start, rows.stop, rows.step, name=level.get("name"))
    return frame


def append_columns(df: pd.DataFrame, added: pa.Table) -> pd.DataFrame:
    """Return a frame with columns appended row by row; its own columns and its index do not change."""
    columns = table_to_frame(added).set_axis(df.index, axis="index")
    joined: pd.DataFrame = pd.concat([df, columns], axis="columns")
    return joined
