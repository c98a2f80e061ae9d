"""The prompt template: loading it, and rendering rows into prompts in one pass."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bedrock_batch.errors import InputError
from bedrock_batch.json_files import read_json_file

if TYPE_CHECKING:
    import pyarrow as pa

PROMPTS_FILE = "prompts.json"
TRUNCATION_MARKER = "... [TRUNCATED]"
_IDENTIFIER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def load_prompt_templates(templates_path: str | Path, log: logging.Logger | None = None) -> dict[str, Any]:
    """Return `system_prompt`, `user_prompt_template` and `input_placeholders` of a folder's `prompts.json`.

    Only `user_prompt_template` is required. InputError names the file and what is wrong with it.
    """
    folder = Path(templates_path)
    path = folder if folder.is_file() else folder / PROMPTS_FILE
    if not path.is_file():
        found = sorted(entry.name for entry in folder.iterdir())[:10] if folder.is_dir() else ["no such folder"]
        raise InputError(f"no {PROMPTS_FILE} in {folder} (found: {', '.join(found) or 'nothing'})")
    templates = check_prompt_templates(read_json_file(path), str(path))
    if log:
        log.info("Loaded %s with %d input placeholders", path.name, len(templates["input_placeholders"]))
    return templates


def check_prompt_templates(content: Any, source: str) -> dict[str, Any]:
    """Return the three fields of a template with their defaults; InputError names `source` and the field."""
    if not isinstance(content, dict):
        raise InputError(f"{source}: expected a JSON object with user_prompt_template")
    user, system = content.get("user_prompt_template"), content.get("system_prompt") or ""
    placeholders = content.get("input_placeholders") or []
    if not isinstance(user, str) or not user.strip():
        raise InputError(f"{source}: user_prompt_template is missing or empty; it must be a text with {{placeholder}}s")
    if not isinstance(system, str):
        raise InputError(f"{source}: system_prompt must be a text")
    if not isinstance(placeholders, list) or not all(isinstance(name, str) and name for name in placeholders):
        raise InputError(f"{source}: input_placeholders must be a list of column names")
    return {"system_prompt": system, "user_prompt_template": user, "input_placeholders": placeholders}


@dataclass(slots=True)
class FieldTruncation:
    """How often one field was cut: records, characters removed in all, and the longest value before the cut."""

    records: int = 0
    characters_removed: int = 0
    longest: int = 0


@dataclass(slots=True)
class TruncationStats:
    """What was cut so far: records with at least one cut field, and the figures of each field."""

    records: int = 0
    fields: dict[str, FieldTruncation] = field(default_factory=dict)

    def add(self, name: str, length: int, removed: int) -> None:
        figures = self.fields.setdefault(name, FieldTruncation())
        figures.records += 1
        figures.characters_removed += removed
        figures.longest = max(figures.longest, length)


class PromptTemplate:
    """A template cut once into literals and placeholders; text that comes from a row is never read as a template.

    With `input_placeholders` only those names in braces are placeholders, else every `{identifier}`. Any other
    `{...}`, such as a JSON example, stays as it is. Not for use from several threads at once: it counts `truncation`.
    """

    def __init__(
        self,
        user_prompt_template: str,
        input_placeholders: Sequence[str] | None = None,
        system_prompt: str = "",
        max_field_length: int = 400_000,
        truncation_enabled: bool = True,
    ) -> None:
        self.user_prompt_template = user_prompt_template
        self.system_prompt = system_prompt
        self.max_field_length = max_field_length
        self.truncation_enabled = truncation_enabled
        self.truncation = TruncationStats()
        # re.split with one group alternates: literal, placeholder, literal, ..., literal
        pieces = _placeholder_pattern(input_placeholders).split(user_prompt_template)
        self._literals, self._names = pieces[::2], pieces[1::2]
        self.placeholders: tuple[str, ...] = tuple(dict.fromkeys(self._names))
        self.unused: tuple[str, ...] = tuple(n for n in input_placeholders or () if n not in self.placeholders)

    def missing(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Return the placeholders for which `columns` has no column."""
        present = set(columns)
        return tuple(name for name in self.placeholders if name not in present)

    def render_rows(self, columns: Mapping[str, Sequence[str | None]], count: int) -> list[str]:
        """Return the prompts of `count` rows given as columns of text; an absent column reads `[Missing: name]`."""
        cut_rows: set[int] = set()
        values = {name: self._values(name, columns.get(name), count, cut_rows) for name in self.placeholders}
        self.truncation.records += len(cut_rows)
        pieces: list[Iterable[str]] = [repeat(self._literals[0], count)]
        for name, literal in zip(self._names, self._literals[1:], strict=True):
            pieces += (values[name], repeat(literal, count))
        return list(map("".join, zip(*pieces, strict=True)))

    def render(self, row: Mapping[str, Any]) -> str:
        """Return the prompt of one row of Python values."""
        columns = {name: [cell_text(row[name])] for name in self.placeholders if name in row}
        return self.render_rows(columns, 1)[0]

    def _values(self, name: str, column: Sequence[str | None] | None, count: int, cut_rows: set[int]) -> Iterable[str]:
        if column is None:
            return repeat(f"[Missing: {name}]", count)
        values = [value or "" for value in column]
        if self.truncation_enabled and max(map(len, values), default=0) > self.max_field_length:
            self._truncate(name, values, cut_rows)
        return values

    def _truncate(self, name: str, values: list[str], cut_rows: set[int]) -> None:
        for index, value in enumerate(values):
            if len(value) > self.max_field_length:
                values[index] = truncate_text(value, self.max_field_length)
                cut_rows.add(index)
                self.truncation.add(name, len(value), len(value) - self.max_field_length)


def _placeholder_pattern(names: Sequence[str] | None) -> re.Pattern[str]:
    if not names:
        return _IDENTIFIER
    return re.compile(r"\{(" + "|".join(map(re.escape, dict.fromkeys(names))) + r")\}")


def truncate_text(text: str, limit: int) -> str:
    """Return `text` cut to `limit` characters, the marker included."""
    if len(text) <= limit:
        return text
    return text[: max(0, limit - len(TRUNCATION_MARKER))] + TRUNCATION_MARKER[:limit]


def cell_text(value: Any) -> str | None:
    """Return the text of one cell: None for every kind of null, JSON text for lists and mappings, else `str`."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, (dict, list, tuple)) or _is_array(value):
        return json.dumps(_plain(value), ensure_ascii=False)
    return None if _is_null(value) else str(value)


def _is_array(value: Any) -> bool:
    """Tell a NumPy array from a scalar, without importing NumPy."""
    dimensions: int = getattr(value, "ndim", 0)
    return dimensions > 0


def _is_null(value: Any) -> bool:
    """Tell NaN, NaT and pandas' NA from values, without importing pandas."""
    if type(value).__name__ == "NAType":
        return True
    return bool(value != value)


def _plain(value: Any) -> Any:
    """Return a nested value as JSON can write it: nulls of every kind as null, other values as text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if _is_array(value):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    return cell_text(value)


def text_column(array: pa.Array | pa.ChunkedArray) -> list[str | None]:
    """Return an Arrow column as text; columns of strings are taken as they are."""
    import pyarrow as pa  # loaded when there is a table: `--help` must answer at once

    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    values: list[Any] = array.to_pylist()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return values
    return [cell_text(value) for value in values]
