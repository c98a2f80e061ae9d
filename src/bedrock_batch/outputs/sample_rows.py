"""Sample rows for the report, kept only if the user asks for them: the report is otherwise free of row text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bedrock_batch.arrow_values import python_value
from bedrock_batch.text import cell_text, printable, shorten

CELL_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One row: its place, its parse status, and the text of its input fields and output columns."""

    split: str
    file: str
    row: int
    parse_status: str
    inputs: dict[str, str]
    answer: dict[str, str]


class SampleCollector:
    """Keeps the first rows without a valid answer and the first rows with one, up to `limit` of each.

    A row is shown with its cells of `placeholders` and of the output columns `shown`.
    """

    def __init__(self, limit: int, placeholders: Sequence[str], shown: Sequence[str], prefix: str) -> None:
        self._limit = limit
        self._placeholders = placeholders
        self._shown = shown
        self._prefix = prefix
        self._taken: dict[bool, list[SampleRow]] = {False: [], True: []}

    def rows(self) -> list[SampleRow]:
        """Return at most `limit` rows: first those without a valid answer, which take half of the places at most."""
        bad, good = self._taken[False], self._taken[True]
        places = max(self._limit - len(good), (self._limit + 1) // 2)
        return [*bad[:places], *good[: self._limit - len(bad[:places])]]

    def take(self, split: str, file: str, numbers: Sequence[int], rows: pa.Table, answers: pa.Table) -> None:
        """Keep rows worth showing; `numbers` are those of the rows in their file."""
        # Without a schema, any JSON object is a valid answer.
        json_only = pc.equal(answers[f"{self._prefix}parse_status"], "json_only")
        passed = pc.or_(answers[f"{self._prefix}validation_passed"], json_only)
        for is_valid, taken in self._taken.items():
            free = self._limit - len(taken)
            if free <= 0:
                continue
            for index in pc.indices_nonzero(pc.equal(passed, is_valid)).to_pylist()[:free]:
                taken.append(self._sample(split, file, numbers[index], rows, answers, index))

    def _sample(self, split: str, file: str, row: int, rows: pa.Table, answers: pa.Table, index: int) -> SampleRow:
        inputs = {
            name: _text(python_value(rows.column(places[0])[index]))
            for name in self._placeholders
            if (places := rows.schema.get_all_field_indices(name))
        }
        answer = {name: _text(value) for name in self._shown if (value := answers[name][index].as_py()) is not None}
        return SampleRow(split, file, row, answer.get(f"{self._prefix}parse_status", ""), inputs, answer)


def _text(value: Any) -> str:
    return shorten(printable(cell_text(value) or ""), CELL_CHARACTERS)
