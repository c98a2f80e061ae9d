"""The answers of a split counted by field: labels, numbers, lengths and tokens, with the drift between splits.

Free text is counted by its length only. Values appear by name only if the schema lists them or they are labels.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bedrock_batch.histogram import Histogram
from bedrock_batch.outputs.countable_fields import FieldSpec, label_of
from bedrock_batch.outputs.drift import is_drift, ks_distance, label_distance

SAMPLE_VALUES = 4000
BINS = 12


@dataclass(slots=True)
class FieldFigures:
    """The figures of one field over the rows of a split.

    `count` is the number of values, `nulls` that of rows without one. `sample` holds at most SAMPLE_VALUES numbers,
    drawn uniformly from all numbers with a fixed seed (reservoir sampling); `seen` is how many it was drawn from.
    """

    count: int = 0
    nulls: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    total: float = 0.0
    sample: np.ndarray[Any, Any] = field(default_factory=lambda: np.empty(0))
    seen: int = 0

    def add_labels(self, column: pa.ChunkedArray) -> None:
        """Count each value of a column by its label."""
        for item in pc.value_counts(column).to_pylist():
            if item["values"] is not None:
                self.labels[label_of(item["values"])] += item["counts"]

    def add_numbers(self, column: pa.ChunkedArray, random: np.random.Generator) -> None:
        """Add the numbers of a column to the sum, and some of them to the sample."""
        # Integers above 2^53 are rounded to the nearest double.
        values = column.drop_null().cast(pa.float64(), safe=False).to_numpy()
        with np.errstate(over="ignore"):
            self.total += float(values.sum())
        free = SAMPLE_VALUES - len(self.sample)
        if free > 0:
            self.sample = np.concatenate([self.sample, values[:free]])
            self.seen += len(values[:free])
            values = values[free:]
        if len(values):
            places = random.integers(0, np.arange(self.seen, self.seen + len(values)) + 1)
            kept = places < SAMPLE_VALUES
            self.sample[places[kept]] = values[kept]
            self.seen += len(values)


class Distributions:
    """The figures of the fields and tokens of a split."""

    def __init__(self, specs: Sequence[FieldSpec] = ()) -> None:
        self.specs = tuple(specs)
        self.fields = {spec: FieldFigures() for spec in self.specs}
        self.input_tokens = Histogram()
        self.output_tokens = Histogram()
        self._random = np.random.default_rng(20261124)

    def add(self, columns: pa.Table, prefix: str) -> None:
        """Count some rows by their output columns; a row without a valid answer counts for its tokens only."""
        for name, histogram in (("_input_tokens", self.input_tokens), ("_output_tokens", self.output_tokens)):
            histogram.add_all(columns[name].drop_null().to_numpy())
        answered = columns.filter(columns[f"{prefix}validation_passed"])
        for spec, figures in self.fields.items():
            column = _column(answered, spec.column or f"{prefix}{spec.path[0]}", spec.path[1:])
            if column is not None:
                self._add_field(spec, figures, column)

    def _add_field(self, spec: FieldSpec, figures: FieldFigures, column: pa.ChunkedArray) -> None:
        figures.count += len(column) - column.null_count
        figures.nulls += column.null_count
        kind = column.type
        match spec.kind:
            case "labels":
                figures.add_labels(column)
            case "number" if pa.types.is_integer(kind) or pa.types.is_floating(kind):
                figures.add_numbers(column, self._random)
            case "length" if pa.types.is_string(kind):
                figures.add_numbers(pc.utf8_length(column), self._random)
            case "items" if pa.types.is_list(kind) and spec.labels:
                figures.add_labels(pc.list_flatten(column))
            case "items" if pa.types.is_list(kind):
                figures.add_numbers(pc.list_value_length(column), self._random)
            case _:
                pass


def _column(table: pa.Table, name: str, path: tuple[str, ...]) -> pa.ChunkedArray | None:
    if name not in table.column_names:
        return None
    column = table[name]
    for step in path:
        if not pa.types.is_struct(column.type) or column.type.get_field_index(step) < 0:
            return None
        column = pc.struct_field(column, step)
    return column


def describe_fields(splits: Mapping[str, Distributions]) -> list[dict[str, Any]]:
    """Return the figures of each field over all splits as JSON values, with the drift of each split from the first."""
    if not splits:
        return []
    first = next(iter(splits.values()))
    return [
        described
        for spec in first.specs
        if (described := _describe(spec, {name: each.fields[spec] for name, each in splits.items()})) is not None
    ]


def _describe(spec: FieldSpec, figures: Mapping[str, FieldFigures]) -> dict[str, Any] | None:
    if not any(each.count or each.nulls for each in figures.values()):
        return None
    is_labels = spec.kind == "labels" or bool(spec.labels)
    described = {"field": spec.name, "kind": "labels" if is_labels else spec.kind}
    if is_labels:
        return described | _describe_labels(spec, figures)
    return described | describe_numbers(figures)


def _describe_labels(spec: FieldSpec, figures: Mapping[str, FieldFigures]) -> dict[str, Any]:
    names = [*spec.labels, *sorted({label for each in figures.values() for label in each.labels} - {*spec.labels})]
    return {
        "labels": names,
        "splits": {
            split: {"count": each.count, "nulls": each.nulls, "counts": [each.labels[name] for name in names]}
            for split, each in figures.items()
        },
        "drift": _drift(figures, lambda one, two: label_distance(one.labels, two.labels), len(names)),
    }


@np.errstate(over="ignore", invalid="ignore")  # differences of huge numbers: a figure that overflows is None
def describe_numbers(figures: Mapping[str, FieldFigures]) -> dict[str, Any]:
    """Return the figures of a field of numbers by split, over common bins."""
    known = [each.sample for each in figures.values() if len(each.sample)]
    everything = np.concatenate(known) if known else np.empty(0)
    edges = _bin_edges(everything) if len(everything) else np.empty(0)
    return {
        "edges": [round(float(edge), 6) for edge in edges],
        "splits": {split: _number_figures(each, edges) for split, each in figures.items()},
        "drift": _drift(figures, lambda one, two: ks_distance(one.sample, two.sample), 2),
    }


def _bin_edges(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the edges of BINS bins of equal width that cover the values.

    Values too close together for doubles to divide, such as two adjacent ids of 16 digits, get wider bins.
    """
    low, high = float(values.min()), float(values.max())
    room = 2 * BINS * max(np.spacing(abs(low)), np.spacing(abs(high)))
    if high - low < room:
        low, high = low - max(0.5, room), high + max(0.5, room)
    if math.isinf(high - low):
        return np.linspace(low / 2, high / 2, BINS + 1) * 2
    return np.linspace(low, high, BINS + 1)


def _number_figures(each: FieldFigures, edges: np.ndarray[Any, Any]) -> dict[str, Any]:
    base: dict[str, Any] = {"count": each.count, "nulls": each.nulls}
    if not len(each.sample):
        return base
    low, middle, high = np.quantile(each.sample, (0.1, 0.5, 0.9))
    return {
        **base,
        "mean": _finite(each.total / each.count),
        "p10": _finite(low),
        "median": _finite(middle),
        "p90": _finite(high),
        "counts": np.histogram(each.sample, bins=edges)[0].tolist(),
    }


def _finite(value: float) -> float | None:
    """Return a figure as a JSON number, or None if a sum or difference of huge numbers overflowed."""
    return round(float(value), 6) if math.isfinite(value) else None


def _drift(
    figures: Mapping[str, FieldFigures], distance: Callable[[FieldFigures, FieldFigures], float], kinds: int
) -> dict[str, dict[str, Any]]:
    """Return the distance of each split from the first, and whether it is more than chance explains."""
    (_, first), *others = figures.items()
    found = {}
    for split, each in others:
        if first.count and each.count:
            apart = distance(first, each)
            sizes = (min(first.count, SAMPLE_VALUES), min(each.count, SAMPLE_VALUES))
            found[split] = {"distance": round(apart, 4), "drift": is_drift(apart, *sizes, kinds)}
    return found
