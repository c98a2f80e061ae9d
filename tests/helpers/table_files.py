"""Rows of a data set as files: written in every format, and read back from the outputs of a step."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bedrock_batch.dataset.tables.formats import detect_file_format
from bedrock_batch.dataset.tables.reader import open_table

# Text that every layer between a cell and an answer must preserve: line separators, quotes, braces, other scripts.
_AWKWARD = ("plain", 'with "quotes", commas', "a\u2028b\u0085c", "{text} and {id}", "line\nbreak", "Grüße 東京")


def make_rows(count: int, start: int = 0) -> list[dict[str, str]]:
    """Return rows with a distinct text and an id whose leading zeros a number would lose."""
    return [
        {"id": f"{number:06d}", "text": f"message {number}: {_AWKWARD[number % len(_AWKWARD)]}"}
        for number in range(start, start + count)
    ]


def write_table(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = detect_file_format(path)
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
        return
    delimiter = "\t" if kind == "tsv" else ","
    lines = [delimiter.join(rows[0]), *(delimiter.join(_quoted(cell) for cell in row.values()) for row in rows)]
    data = ("\n".join(lines) + "\n").encode("utf-8")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def read_outputs(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the output files by split, with every value as text."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.rglob("*_processed_data*.*")):
        split = path.name.split("_processed_data")[0]
        for batch in open_table(path).batches():
            rows.setdefault(split, []).extend(
                {name: None if value is None else str(value) for name, value in row.items()}
                for row in batch.to_pylist()
            )
    return rows
