"""Arrow columns as the cells of CSV and TSV lines."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as types

from bedrock_batch.arrow_values import python_values
from bedrock_batch.text import printable, value_text

TEXT = pa.large_string()


def render_lines(columns: list[pa.Array], delimiter: str) -> pa.Array:
    """Return one line of text per row, with its line feed; only cells that need quotes have them."""
    cells = [quote(column, delimiter) for column in columns]
    ends = pa.scalar("\n", TEXT)
    last = pc.binary_join_element_wise(cells[-1], ends, pa.scalar("", TEXT))
    return pc.binary_join_element_wise(*cells[:-1], last, pa.scalar(delimiter, TEXT)) if len(cells) > 1 else last


def quote(column: pa.Array, delimiter: str) -> pa.Array:
    """Return the cells of a column: null as nothing at all, the empty string as a pair of quotes."""
    cells = text_of(column)
    special = pc.fill_null(pc.match_substring_regex(cells, f'["{delimiter}\r\n]|^$'), False)
    if not pc.any(special).as_py():
        return pc.fill_null(cells, "")
    doubled = pc.replace_substring(cells, '"', '""')
    mark = pa.scalar('"', TEXT)
    quoted = pc.binary_join_element_wise(mark, doubled, mark, pa.scalar("", TEXT))
    return pc.fill_null(pc.if_else(special, quoted, cells), "")


def escape_formulas(table: pa.Table) -> pa.Table:
    """Return a table with an apostrophe before each text that a spreadsheet would take for a formula.

    Such text begins with =, +, -, @, a tab or a carriage return
    (https://owasp.org/www-community/attacks/CSV_Injection). Columns of other types hold no formulas.
    """
    for position, field in enumerate(table.schema):
        if types.is_string(field.type) or types.is_large_string(field.type):
            column = pc.replace_substring_regex(table.column(position), r"^([=+\-@\t\r])", r"'\1")
            table = table.set_column(position, field, column)
    return table


def text_of(column: pa.Array) -> pa.Array:
    """Return a column as text; null stays null.

    Numbers and booleans are written as Python writes them, times as ISO 8601, nested values as JSON.
    """
    kind = column.type
    if types.is_dictionary(kind):
        return text_of(column.dictionary_decode())
    if types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind) or types.is_integer(kind):
        return column.cast(TEXT)
    if types.is_boolean(kind):
        return pc.if_else(column, pa.scalar("True", TEXT), pa.scalar("False", TEXT))
    # Only pandas can convert the values of its extension types, such as periods and intervals.
    values = list(column.to_pandas()) if isinstance(kind, pa.BaseExtensionType) else python_values(column)
    present = column.is_valid().to_pylist()
    pairs = zip(values, present, strict=True)
    return pa.array([printable(value_text(value)) if known else None for value, known in pairs], TEXT)
