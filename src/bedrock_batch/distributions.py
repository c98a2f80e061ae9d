"""What the answers of a split are like: labels, numbers and lengths by field, and tokens; and how splits differ.

Texts that a model wrote freely are counted by their length. Values are kept only where the schema lists them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Kind = Literal["labels", "number", "length", "items"]
SAMPLE_VALUES = 4000
BINS = 12
LEAST_DISTANCE = 0.1
"""Splits that differ by less are not marked, however many rows they have."""
_DEPTH = 3
_EDGES = tuple(step * 10.0**power for power in range(-3, 7) for step in (1, 2, 5))


@dataclass(slots=True)
class Histogram:
    """Counts of values between the edges 1, 2, 5, 10, 20, 50, ..., with their number, sum, least and greatest."""

    count: int = 0
    total: float = 0.0
    least: float = math.inf
    greatest: float = -math.inf
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, value: float) -> None:
        self.add_all(np.asarray([value], dtype=float))

    def add_all(self, values: np.ndarray[Any, Any]) -> None:
        """Count values, which are finite."""
        if not len(values):
            return
        self.count += len(values)
        self.total += float(values.sum())
        self.least = min(self.least, float(values.min()))
        self.greatest = max(self.greatest, float(values.max()))
        places, counts = np.unique(np.searchsorted(_EDGES, values, side="right"), return_counts=True)
        self.buckets.update(dict(zip(places.tolist(), counts.tolist(), strict=True)))

    def merge(self, other: Histogram) -> None:
        """Add another's counts to these."""
        self.count += other.count
        self.total += other.total
        self.least, self.greatest = min(self.least, other.least), max(self.greatest, other.greatest)
        self.buckets.update(other.buckets)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, with a row for each bucket from the first to the last that holds a value."""
        if not self.count:
            return {"count": 0, "buckets": []}
        edges = (0.0, *_EDGES, math.inf)
        span = range(min(self.buckets), max(self.buckets) + 1)
        return {
            "count": self.count,
            "mean": round(self.total / self.count, 4),
            "least": self.least,
            "greatest": self.greatest,
            "buckets": [{"from": edges[place], "count": self.buckets.get(place, 0)} for place in span],
        }


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A field of the schema that can be counted: its path, and the values that the schema lists."""

    path: tuple[str, ...]
    kind: Kind
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return ".".join(self.path)


def field_specs(schema: Mapping[str, Any] | None, path: tuple[str, ...] = ()) -> tuple[FieldSpec, ...]:
    """Return the fields of a schema that can be counted, those of its objects included."""
    properties = (schema or {}).get("properties")
    specs: list[FieldSpec] = []
    for name, part in properties.items() if isinstance(properties, Mapping) else ():
        if isinstance(part, Mapping):
            specs += _specs_of(part, (*path, name))
    return tuple(specs)


def _specs_of(part: Mapping[str, Any], path: tuple[str, ...]) -> tuple[FieldSpec, ...]:
    kind = _single_type(part)
    if labels := _labels(part):
        return (FieldSpec(path, "labels", labels),)
    match kind:
        case "boolean":
            return (FieldSpec(path, "labels", ("true", "false")),)
        case "integer" | "number":
            return (FieldSpec(path, "number"),)
        case "string":
            return (FieldSpec(path, "length"),)
        case "array":
            items = part.get("items")
            return (FieldSpec(path, "items", _labels(items) if isinstance(items, Mapping) else ()),)
        case "object" if len(path) < _DEPTH:
            return field_specs(part, path)
        case _:
            return ()


def _single_type(part: Mapping[str, Any]) -> str | None:
    kinds = part.get("type")
    named = [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if kind not in (None, "null")]
    return named[0] if len(named) == 1 else None


def _labels(part: Mapping[str, Any]) -> tuple[str, ...]:
    values = part.get("enum", [part["const"]] if "const" in part else [])
    return tuple(_label(value) for value in values if value is not None) if isinstance(values, list) else ()


def _label(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(slots=True)
class FieldFigures:
    """One field over the rows of a split: values, rows without one, counts of labels, and a sample of numbers.

    The sample is uniform over all values, drawn with a fixed seed.
    """

    count: int = 0
    nulls: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    total: float = 0.0
    sample: np.ndarray[Any, Any] = field(default_factory=lambda: np.empty(0))
    seen: int = 0

    def add_labels(self, column: pa.ChunkedArray) -> None:
        for item in pc.value_counts(column).to_pylist():
            if item["values"] is not None:
                self.labels[_label(item["values"])] += item["counts"]

    def add_numbers(self, column: pa.ChunkedArray, random: np.random.Generator) -> None:
        values = column.drop_null().cast(pa.float64()).to_numpy()
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
    """The figures of a split's fields and tokens."""

    def __init__(self, specs: Sequence[FieldSpec] = ()) -> None:
        self.specs = tuple(specs)
        self.fields = {spec: FieldFigures() for spec in self.specs}
        self.input_tokens = Histogram()
        self.output_tokens = Histogram()
        self._random = np.random.default_rng(20261124)

    def add(self, columns: pa.Table, prefix: str) -> None:
        """Count the output columns of some rows; rows without a valid answer count for their tokens only."""
        for name, histogram in (("_input_tokens", self.input_tokens), ("_output_tokens", self.output_tokens)):
            histogram.add_all(columns[name].drop_null().to_numpy())
        answered = columns.filter(columns[f"{prefix}validation_passed"])
        for spec, figures in self.fields.items():
            column = _column(answered, f"{prefix}{spec.path[0]}", spec.path[1:])
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
    """Return the figures of each field over all splits as JSON values, with how far each split is from the first."""
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
    return described | _describe_numbers(figures)


def _describe_labels(spec: FieldSpec, figures: Mapping[str, FieldFigures]) -> dict[str, Any]:
    names = [*spec.labels, *sorted({label for each in figures.values() for label in each.labels} - {*spec.labels})]
    return {
        "labels": names,
        "splits": {
            split: {"count": each.count, "nulls": each.nulls, "counts": [each.labels[name] for name in names]}
            for split, each in figures.items()
        },
        "drift": _drift(figures, lambda one, two: _label_distance(one.labels, two.labels), len(names)),
    }


def _describe_numbers(figures: Mapping[str, FieldFigures]) -> dict[str, Any]:
    known = [each.sample for each in figures.values() if len(each.sample)]
    everything = np.concatenate(known) if known else np.empty(0)
    edges = np.histogram_bin_edges(everything, bins=BINS) if len(everything) else np.empty(0)
    return {
        "edges": [round(float(edge), 6) for edge in edges],
        "splits": {split: _number_figures(each, edges) for split, each in figures.items()},
        "drift": _drift(figures, lambda one, two: ks_distance(one.sample, two.sample), 2),
    }


def _number_figures(each: FieldFigures, edges: np.ndarray[Any, Any]) -> dict[str, Any]:
    base: dict[str, Any] = {"count": each.count, "nulls": each.nulls}
    if not len(each.sample):
        return base
    low, middle, high = np.quantile(each.sample, (0.1, 0.5, 0.9))
    return {
        **base,
        "mean": round(each.total / each.count, 6),
        "p10": round(float(low), 6),
        "median": round(float(middle), 6),
        "p90": round(float(high), 6),
        "counts": np.histogram(each.sample, bins=edges)[0].tolist(),
    }


def _drift(figures: Mapping[str, FieldFigures], distance: Any, kinds: int) -> dict[str, dict[str, Any]]:
    """Return how far each split is from the first, and whether that is more than chance makes of so many rows."""
    (_, first), *others = figures.items()
    found = {}
    for split, each in others:
        if first.count and each.count:
            apart = distance(first, each)
            chance = chance_distance(min(first.count, SAMPLE_VALUES), min(each.count, SAMPLE_VALUES), kinds)
            found[split] = {"distance": round(apart, 4), "drift": bool(apart > max(LEAST_DISTANCE, chance))}
    return found


def chance_distance(one: int, two: int, kinds: int) -> float:
    """Return the distance that two samples of one population exceed in about one case in a hundred.

    It is the critical value of the Kolmogorov-Smirnov test at 1 %, widened by the number of labels: the sum of
    differences of many small shares is larger by chance.
    """
    return 1.63 * math.sqrt((one + two) / (one * two)) * math.sqrt(max(1.0, (kinds - 1) / 2))


def _label_distance(one: Counter[str], two: Counter[str]) -> float:
    """Return the total variation distance of two counts of labels: 0 for equal shares, 1 for no label in common."""
    all_one, all_two = sum(one.values()) or 1, sum(two.values()) or 1
    return sum(abs(one[name] / all_one - two[name] / all_two) for name in one.keys() | two.keys()) / 2


def ks_distance(one: np.ndarray[Any, Any], two: np.ndarray[Any, Any]) -> float:
    """Return the greatest difference between two distribution functions (Kolmogorov-Smirnov)."""
    if not len(one) or not len(two):
        return 0.0
    one, two = np.sort(one), np.sort(two)
    points = np.concatenate([one, two])
    shares = (np.searchsorted(each, points, side="right") / len(each) for each in (one, two))
    return float(np.abs(np.subtract(*shares)).max())
