"""Arrow columns as the cells of CSV and TSV lines."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as types

from bedrock_batch.text import printable

TEXT = pa.large_string()


def render_lines(columns: list[pa.Array], delimiter: str) -> pa.Array:
    """Return one line of text per row, line feed included, quoted where and only where it must be."""
    cells = [quote(column, delimiter) for column in columns]
    ends = pa.scalar("\n", TEXT)
    last = pc.binary_join_element_wise(cells[-1], ends, pa.scalar("", TEXT))
    return pc.binary_join_element_wise(*cells[:-1], last, pa.scalar(delimiter, TEXT)) if len(cells) > 1 else last


def quote(column: pa.Array, delimiter: str) -> pa.Array:
    """Return the cells of a column: null is nothing at all, the empty string is a pair of quotes."""
    cells = text_of(column)
    special = pc.fill_null(pc.match_substring_regex(cells, f'["{delimiter}\r\n]|^$'), False)
    if not pc.any(special).as_py():
        return pc.fill_null(cells, "")
    doubled = pc.replace_substring(cells, '"', '""')
    mark = pa.scalar('"', TEXT)
    quoted = pc.binary_join_element_wise(mark, doubled, mark, pa.scalar("", TEXT))
    return pc.fill_null(pc.if_else(special, quoted, cells), "")


def text_of(column: pa.Array) -> pa.Array:
    """Return a column as text, null where it is null.

    Numbers and truth values are written as Python writes them, times as ISO 8601, nested values as JSON.
    """
    kind = column.type
    if types.is_dictionary(kind):
        return text_of(column.dictionary_decode())
    if types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind) or types.is_integer(kind):
        return column.cast(TEXT)
    if types.is_boolean(kind):
        return pc.if_else(column, pa.scalar("True", TEXT), pa.scalar("False", TEXT))
    # Only pandas' own reading of an extension type (a period, an interval) knows what its values mean.
    values = list(column.to_pandas()) if isinstance(kind, pa.BaseExtensionType) else column.to_pylist()
    present = column.is_valid().to_pylist()
    return pa.array([value_text(value) if known else None for value, known in zip(values, present, strict=True)], TEXT)


def value_text(value: Any) -> str:
    """Return the text of a Python value that is not missing."""
    match value:
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case dict() | list() | tuple():
            return printable(json.dumps(value, ensure_ascii=False, default=_json_value))
        case _:
            return printable(str(value))


def _json_value(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value_text(value)
