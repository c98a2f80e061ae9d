"""Arrow columns as Python values, also where Python has no value for what a column holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as types

# What pyarrow raises for a date beyond the year 9999, an unknown time zone and a struct with two fields of one name.
_NO_PYTHON_VALUE = (ValueError, OverflowError, LookupError, pa.ArrowException)


def python_values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return the values of a column as Python objects, and dates, times and durations that Python lacks as text.

    A struct with two fields of one name becomes a list of pairs.
    """
    try:
        values: list[Any] = column.to_pylist()
    except _NO_PYTHON_VALUE:
        return [python_value(scalar) for scalar in column]
    return values


def python_value(scalar: pa.Scalar) -> Any:
    """Return one value as `python_values` does."""
    try:
        return scalar.as_py()
    except _NO_PYTHON_VALUE:
        return _replacement(scalar)


def _replacement(scalar: pa.Scalar) -> Any:
    kind = scalar.type
    if types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        return python_value(scalar.value)
    if types.is_struct(kind):
        fields = [(kind.field(index).name, python_value(scalar[index])) for index in range(kind.num_fields)]
        return dict(fields) if len(dict(fields)) == len(fields) else fields
    if types.is_map(kind):
        return [(python_value(entry[0]), python_value(entry[1])) for entry in scalar.values]
    if types.is_duration(kind):
        return str(np.timedelta64(scalar.value, kind.unit))
    if types.is_temporal(kind):
        return _moment_text(scalar)
    return [python_value(item) for item in scalar.values]


def _moment_text(scalar: pa.Scalar) -> str:
    """Return a date or time in the form of `str(datetime)`; one with a time zone is in UTC, as Arrow stores it."""
    kind = scalar.type
    unit: Any = "D" if types.is_date32(kind) else "ms" if types.is_date64(kind) else kind.unit
    text = str(np.datetime64(scalar.value, unit)).replace("T", " ")
    return f"{text}+00:00" if getattr(kind, "tz", None) else text
