"""Costs that must grow linearly: shapes of data for which careless code takes quadratic time or much memory."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import bench_run
from bench_data import SCHEMA, write_rows
from bench_run import RunFigures, local_bedrock, run_step


def measure_shapes(folder: Path) -> dict[str, RunFigures]:
    """Return the time and memory of a batch run for each shape of data."""
    figures: dict[str, RunFigures] = {}
    for name, (write, schema) in SHAPES.items():
        root = folder / name.replace(" ", "-").replace(",", "")
        write(root / "input" / "data" / "train")
        bench_run.lay_out(root, schema)
        with local_bedrock(root, schema=schema) as environ:
            figures[name] = run_step(root, environ, BEDROCK_BATCH_MODE="batch")
    return figures


def _rows(count: int) -> Callable[[Path], object]:
    return lambda folder: write_rows(folder / "rows.parquet", count, 1024)


def _many_columns(folder: Path) -> None:
    _write_csv(folder / "wide.csv", 10_000, {f"column_{number}": "some text" for number in range(200)})


def _many_files(folder: Path) -> None:
    for number in range(2_000):
        _write_csv(folder / f"part-{number:05d}.csv", 10, {}, first=number * 10)


def _long_fields(folder: Path) -> None:
    _write_csv(folder / "long.csv", 200, {}, review="long word " * 40_000)


def _write_csv(path: Path, rows: int, more: Mapping[str, str], *, first: int = 0, review: str = "fine " * 190) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "product", "number", "review", *more])
        for number in range(first, first + rows):
            writer.writerow([f"{number:08d}", f"product {number % 97}", number, f"{review}{number}", *more.values()])


def _wide_schema() -> dict[str, Any]:
    fields = {f"field_{number}": {"type": ("string", "integer", "number")[number % 3]} for number in range(100)}
    return {"type": "object", "properties": fields, "required": list(fields)}


SHAPES: dict[str, tuple[Callable[[Path], object], dict[str, Any]]] = {
    "2,000 rows": (_rows(2_000), SCHEMA),
    "20,000 rows": (_rows(20_000), SCHEMA),
    "200,000 rows": (_rows(200_000), SCHEMA),
    "10,000 rows, 200 more columns": (_many_columns, SCHEMA),
    "2,000 files of 10 rows": (_many_files, SCHEMA),
    "200 rows, fields of 400,000 characters": (_long_fields, SCHEMA),
    "20,000 rows, a schema of 100 fields": (_rows(20_000), _wide_schema()),
}
