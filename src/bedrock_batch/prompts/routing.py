"""Routing: from the rule names in a record's cell to the blocks of these rules in its prompt."""

from __future__ import annotations

import json
import logging
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from bedrock_batch.prompts.rules import Rule, rule_block
from bedrock_batch.text import cell_text, printable, shorten

NO_RULES = "No rule was selected for this record."
_UNKNOWN = "There is no rule of this name in the rule set."
_NAME_CHARACTERS = 200
# Records are routed to few different selections; this many texts of a few thousand characters are held at most.
_SELECTIONS_HELD = 2048


@dataclass(slots=True)
class RoutingCounts:
    """The records that were routed, and those of them that name no rule or a rule that does not exist."""

    records: int = 0
    records_without_rules: int = 0
    records_with_unknown_names: int = 0
    unknown_names: int = 0
    """Summed over the records."""


@dataclass(frozen=True, slots=True)
class _Selection:
    """The rules of one cell as text, and how many names it holds, known and unknown ones."""

    text: str
    names: int
    unknown: int


class RoutedRules:
    """The rules of a run by name, and the column in which each record names those that it is routed to.

    Not for use from several threads at once: it counts.
    """

    def __init__(self, rules: Sequence[Rule], column: str) -> None:
        self.column = column
        self.counts = RoutingCounts()
        self._blocks = {rule["rule_name"]: rule_block(rule) for rule in rules}
        self._select = lru_cache(_SELECTIONS_HELD)(self._selection)

    def fresh(self) -> RoutedRules:
        """Return the same rules with nothing counted yet."""
        fresh = RoutedRules((), self.column)
        fresh._blocks = self._blocks
        return fresh

    def identity(self) -> list[Any]:
        """Return what decides the text of a record's rules beside the record itself, as JSON values."""
        return [self.column, self._blocks]

    def texts(self, cells: Sequence[str | None]) -> list[str]:
        """Return the text of the rules that each cell names."""
        selections = list(map(self._select, cells))
        unknown = [selection.unknown for selection in selections if selection.unknown]
        self.counts.records += len(selections)
        self.counts.records_without_rules += sum(not selection.names for selection in selections)
        self.counts.records_with_unknown_names += len(unknown)
        self.counts.unknown_names += sum(unknown)
        return [selection.text for selection in selections]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures of the routing as JSON values."""
        return {"column": self.column, "rules": len(self._blocks), **asdict(self.counts)}

    def log_unknown_names(self, log: logging.Logger) -> None:
        """Log how many records named rules that do not exist; never the names, which are text of rows."""
        if self.counts.unknown_names:
            log.warning(
                "routed_rules column=%s records=%d with_unknown_names=%d unknown_names=%d: their prompts say that the "
                "rule set has no such rule",
                self.column,
                self.counts.records,
                self.counts.records_with_unknown_names,
                self.counts.unknown_names,
            )

    def _selection(self, cell: str | None) -> _Selection:
        names = selected_names(cell, self._blocks)
        text = "\n\n".join(self._blocks.get(name) or _unknown_block(name) for name in names) or NO_RULES
        return _Selection(text, len(names), sum(name not in self._blocks for name in names))


def selected_names(cell: str | None, known: Container[str]) -> tuple[str, ...]:
    """Return the names in a cell, each once, in its order.

    The cell is a JSON list, one known name (which may hold a comma), or names with commas between.
    """
    text = (cell or "").strip()
    if text in known:
        return (text,)
    listed = _json_list(text)
    stripped = (name.strip() for name in (text.split(",") if listed is None else listed))
    return tuple(dict.fromkeys(name for name in stripped if name))


def _json_list(text: str) -> list[str] | None:
    """Return the items of a JSON list as texts, None for any other text."""
    if not text.startswith("["):
        return None
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return [cell_text(item) or "" for item in items]


def _unknown_block(name: str) -> str:
    return f"### {shorten(printable(name), _NAME_CHARACTERS)}\n{_UNKNOWN}"
