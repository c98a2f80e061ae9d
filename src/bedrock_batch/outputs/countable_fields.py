"""The fields of a response schema whose answers can be counted, and how each is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal["labels", "number", "length", "items"]
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A field of the schema that can be counted: its path, how it is counted, and the values that the schema lists.

    `column` is the output column of the field, or of the object around it, if a setting renames that.
    """

    path: tuple[str, ...]
    kind: Kind
    labels: tuple[str, ...] = ()
    column: str = ""

    @property
    def name(self) -> str:
        """The path with dots, under the name of the column if that is renamed."""
        return ".".join((self.column or self.path[0], *self.path[1:]))


def field_specs(schema: Mapping[str, Any] | None, column_map: Mapping[str, str] | None = None) -> tuple[FieldSpec, ...]:
    """Return the fields of a schema that can be counted, including those of nested objects.

    A field without a single type, such as one with `anyOf`, is not counted. `column_map` has the new names of columns.
    """
    renamed = column_map or {}
    return tuple(replace(spec, column=renamed.get(spec.path[0], "")) for spec in _specs_in(schema, ()))


def _specs_in(schema: Mapping[str, Any] | None, path: tuple[str, ...]) -> tuple[FieldSpec, ...]:
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
            return _specs_in(part, path)
        case _:
            return ()


def _single_type(part: Mapping[str, Any]) -> str | None:
    kinds = part.get("type")
    named = [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if kind not in (None, "null")]
    return named[0] if len(named) == 1 else None


def _labels(part: Mapping[str, Any]) -> tuple[str, ...]:
    values = part.get("enum", [part["const"]] if "const" in part else [])
    return tuple(label_of(value) for value in values if value is not None) if isinstance(values, list) else ()


def label_of(value: Any) -> str:
    """Return a value as the summary names it; booleans are written as in JSON."""
    return str(value).lower() if isinstance(value, bool) else str(value)
