"""A few rows for the report, where the user asks for them: the text of rows stays out of it otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bedrock_batch.prompts import cell_text
from bedrock_batch.text import printable, shorten

CELL_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One row: where it stands, what became of it, and the text of its fields and of its answer."""

    split: str
    file: str
    row: int
    parse_status: str
    inputs: dict[str, str]
    answer: dict[str, str]


class SampleTaker:
    """Keeps the first rows without a valid answer and the first rows with one, up to `limit` of each."""

    def __init__(self, limit: int, placeholders: Sequence[str], prefix: str) -> None:
        self._limit = limit
        self._placeholders = placeholders
        self._prefix = prefix
        self._taken: dict[bool, list[SampleRow]] = {False: [], True: []}

    def rows(self) -> list[SampleRow]:
        """Return at most `limit` rows: those without a valid answer first, in at most half of the places."""
        bad, good = self._taken[False], self._taken[True]
        places = max(self._limit - len(good), (self._limit + 1) // 2)
        return [*bad[:places], *good[: self._limit - len(bad[:places])]]

    def take(self, split: str, file: str, first_row: int, rows: pa.Table, answers: pa.Table) -> None:
        """Look at some rows of a file, the first of which is `first_row`, and their answers."""
        passed = answers[f"{self._prefix}validation_passed"]
        for is_valid, taken in self._taken.items():
            free = self._limit - len(taken)
            if free <= 0:
                continue
            for index in pc.indices_nonzero(pc.equal(passed, is_valid)).to_pylist()[:free]:
                taken.append(self._sample(split, file, first_row + index, rows, answers, index))

    def _sample(self, split: str, file: str, row: int, rows: pa.Table, answers: pa.Table, index: int) -> SampleRow:
        inputs = {
            name: _text(rows.column(places[0])[index].as_py())
            for name in self._placeholders
            if (places := rows.schema.get_all_field_indices(name))
        }
        shown = [name for name in answers.column_names if name.startswith(self._prefix)]
        answer = {name: _text(value) for name in shown if (value := answers[name][index].as_py()) is not None}
        return SampleRow(split, file, row, answer.get(f"{self._prefix}parse_status", ""), inputs, answer)


def _text(value: Any) -> str:
    return shorten(printable(cell_text(value) or ""), CELL_CHARACTERS)
