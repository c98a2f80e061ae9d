"""The prompt template: rows become prompts in one pass, and fields that are too long are cut."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING, Any

from bedrock_batch.environment.references import load_json_text
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import InputError
from bedrock_batch.prompts.routing import RoutedRules
from bedrock_batch.prompts.rules import read_rules
from bedrock_batch.text import cell_text, nearest

if TYPE_CHECKING:
    import pyarrow as pa

ROUTED_RULES = "routed_rules"
TRUNCATION_MARKER = "... [TRUNCATED]"
_COLUMNS_TOLD = 12
_IDENTIFIER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


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

    With `rules` the placeholder `{routed_rules}` stands for the rules of the row. A template without it gets them in
    front, provided that the rows have the column that names them.
    """

    def __init__(
        self,
        user_prompt_template: str,
        input_placeholders: Sequence[str] | None = None,
        system_prompt: str = "",
        max_field_length: int = 400_000,
        truncation_enabled: bool = True,
        rules: RoutedRules | None = None,
    ) -> None:
        self.user_prompt_template = user_prompt_template
        self.system_prompt = system_prompt
        self.max_field_length = max_field_length
        self.truncation_enabled = truncation_enabled
        self.rules = rules
        self.truncation = TruncationStats()
        slots = (ROUTED_RULES,) if rules else ()
        # re.split with one group alternates: literal, placeholder, literal, ..., literal
        pieces = _placeholder_pattern(input_placeholders, slots).split(user_prompt_template)
        self._literals, self._names = pieces[::2], pieces[1::2]
        self._has_slot = rules is not None and ROUTED_RULES in self._names
        self.placeholders: tuple[str, ...] = tuple(n for n in dict.fromkeys(self._names) if n not in slots)
        self.unused: tuple[str, ...] = tuple(n for n in input_placeholders or () if n not in {*self._names, *slots})

    @property
    def other_names(self) -> tuple[str, ...]:
        """The names in braces that are no placeholders, since `input_placeholders` does not list them."""
        found = dict.fromkeys(_IDENTIFIER.findall(self.user_prompt_template))
        return tuple(name for name in found if name not in self._names)

    @property
    def beginning(self) -> str:
        """What every prompt begins with; empty if rules of the row come first."""
        return "" if self.rules is not None and not self._has_slot else self._literals[0]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read to render a row."""
        return tuple(dict.fromkeys((*self.placeholders, *((self.rules.column,) if self.rules else ()))))

    def fresh(self) -> PromptTemplate:
        """Return the same template with nothing counted yet."""
        fresh = copy(self)
        fresh.truncation = TruncationStats()
        fresh.rules = self.rules.fresh() if self.rules else None
        return fresh

    def truncation_stats(self) -> dict[str, Any]:
        """Return what was cut so far as JSON values, with the limit and with totals over the fields."""
        cuts = self.truncation.fields
        return {
            **asdict(self.truncation),
            "truncation_enabled": self.truncation_enabled,
            "max_input_field_length": self.max_field_length,
            "truncated_records": self.truncation.records,
            "truncated_fields": {name: cut.records for name, cut in cuts.items()},
            "total_truncations": sum(cut.records for cut in cuts.values()),
            "total_characters_removed": sum(cut.characters_removed for cut in cuts.values()),
        }

    def missing(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Return the names for which `columns` has no column and a prompt reads `[Missing: name]`."""
        needed = self.columns if self._has_slot else self.placeholders
        present = set(columns)
        return tuple(name for name in needed if name not in present)

    def omits_rules(self, columns: Iterable[str]) -> bool:
        """Return whether prompts of rows with these columns hold no rules: there is neither a slot nor the column."""
        return self.rules is not None and not self._has_slot and self.rules.column not in set(columns)

    def is_constant(self, columns: Iterable[str]) -> bool:
        """Return whether rows with these columns all have the same prompt, since it reads none of the columns."""
        return not set(self.columns).intersection(columns)

    def warn_of_columns(self, columns: Iterable[str], place: str, log: logging.Logger) -> None:
        """Warn of each placeholder, and of rules, that the columns in `place` leave without a value, or give twice."""
        columns = tuple(columns)
        for name in self.columns:
            if (count := columns.count(name)) > 1:
                first = columns.index(name) + 1
                log.warning("file=%s has %d columns %r: the first of them counts, column %d", place, count, name, first)
        for name in self.missing(columns):
            guess = nearest(name, columns)
            log.warning(
                "file=%s has no column %r: its prompts read [Missing: %s]%s",
                place,
                name,
                name,
                f"; did you mean {guess!r}?" if guess else "",
            )
        if self.rules is not None and self.omits_rules(columns):
            log.warning(
                "file=%s has no column %r and the template no {routed_rules}: its prompts hold no rules",
                place,
                self.rules.column,
            )

    def log_counts(self, log: logging.Logger, *, truncations: bool) -> None:
        """Log unknown names of rules and, on request, what was cut out of which fields; never their text."""
        for name, cut in self.truncation.fields.items() if truncations else ():
            log.warning(
                "truncated field=%s records=%d characters_removed=%d longest=%d limit=%d",
                name,
                cut.records,
                cut.characters_removed,
                cut.longest,
                self.max_field_length,
            )
        if self.rules is not None:
            self.rules.log_unknown_names(log)

    def render_rows(self, columns: Mapping[str, Sequence[str | None]], count: int) -> list[str]:
        """Return the prompts of `count` rows given as columns of text; an absent column reads `[Missing: name]`."""
        cut_rows: set[int] = set()
        values = {name: self._values(name, columns.get(name), count, cut_rows) for name in self.placeholders}
        self.truncation.records += len(cut_rows)
        pieces: list[Iterable[str]] = []
        if self.rules is not None and not self.omits_rules(columns):
            values[ROUTED_RULES] = self._rule_texts(self.rules, columns.get(self.rules.column), count)
            pieces += [] if self._has_slot else [values[ROUTED_RULES], repeat("\n\n", count)]
        pieces.append(repeat(self._literals[0], count))
        for name, literal in zip(self._names, self._literals[1:], strict=True):
            pieces += (values[name], repeat(literal, count))
        return list(map("".join, zip(*pieces, strict=True)))

    def render(self, row: Mapping[str, Any]) -> str:
        """Return the prompt of one row of Python values."""
        columns = {name: [cell_text(row[name])] for name in self.columns if name in row}
        return self.render_rows(columns, 1)[0]

    def _rule_texts(self, rules: RoutedRules, column: Sequence[str | None] | None, count: int) -> Iterable[str]:
        return repeat(f"[Missing: {rules.column}]", count) if column is None else rules.texts(column)

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


def _placeholder_pattern(names: Sequence[str] | None, slots: Sequence[str]) -> re.Pattern[str]:
    if not names:
        return _IDENTIFIER
    return re.compile(r"\{(" + "|".join(map(re.escape, dict.fromkeys([*names, *slots]))) + r")\}")


def describe_nearest(names: Sequence[str], columns: Sequence[str]) -> str:
    """Return which columns the names of a template may mean, as the end of a sentence about them."""
    guesses = [f"{guess!r} for {name!r}" for name in names if (guess := nearest(name, columns))]
    if guesses:
        return f"did you mean {', '.join(guesses)}? Correct the template or the header"
    more = ", ..." if len(columns) > _COLUMNS_TOLD else ""
    return f"name one of its columns ({', '.join(map(repr, columns[:_COLUMNS_TOLD]))}{more})"


def truncate_text(text: str, limit: int) -> str:
    """Return `text` cut to `limit` characters, the marker included."""
    if len(text) <= limit:
        return text
    return text[: max(0, limit - len(TRUNCATION_MARKER))] + TRUNCATION_MARKER[:limit]


def text_column(array: pa.Array | pa.ChunkedArray) -> list[str | None]:
    """Return an Arrow column as text, as `cell_text` does; Arrow itself writes integers."""
    import pyarrow as pa  # loaded when there is a table: `--help` must answer at once

    from bedrock_batch.arrow_values import python_values

    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if pa.types.is_integer(array.type):
        array, kind = array.cast(pa.string()), pa.string()
    values = python_values(array)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return values
    return [cell_text(value) for value in values]


def made_template(input_placeholders: Sequence[str]) -> str:
    """Return the template of a rule set that has none: the routed rules, then the placeholders by name."""
    fields = [f"{name}: {{{name}}}" for name in dict.fromkeys(input_placeholders) if name != ROUTED_RULES]
    record = "\n\n## Record\n\n" + "\n".join(fields) if fields else ""
    return f"## Rules\n\n{{{ROUTED_RULES}}}{record}"


def template_of(settings: Settings, schema: Mapping[str, Any] | None = None) -> PromptTemplate:
    """Return the template that the settings describe.

    A rule set without `user_prompt_template` gets one that is made. Since nobody has described the answer in it, the
    system prompt then ends with `schema`.
    """
    names = load_json_text(settings.input_placeholders or "[]", "BEDROCK_INPUT_PLACEHOLDERS")
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise InputError("BEDROCK_INPUT_PLACEHOLDERS must be a JSON list of column names")
    rules = _rules_of(settings)
    text, system = settings.user_prompt_template, settings.system_prompt
    made = made_template(names) if rules else ""
    text = text if text.strip() else made
    if not text.strip():
        raise InputError("there is no user_prompt_template: give prompts.json or BEDROCK_USER_PROMPT_TEMPLATE")
    if text == made and schema is not None:
        system = "\n\n".join(filter(None, (system, _answer_format(schema))))
    return PromptTemplate(
        text, names or None, system, settings.max_input_field_length, settings.truncation_enabled, rules
    )


def _rules_of(settings: Settings) -> RoutedRules | None:
    if not settings.rules.strip():
        return None
    rules = read_rules(load_json_text(settings.rules, "BEDROCK_RULES"), "BEDROCK_RULES")
    return RoutedRules(rules, settings.routed_rules_column)


def _answer_format(schema: Mapping[str, Any]) -> str:
    text = json.dumps(schema, ensure_ascii=False)
    return (
        f"## Answer format\n\nAnswer with one JSON object that satisfies this JSON Schema, and nothing else:\n\n{text}"
    )
