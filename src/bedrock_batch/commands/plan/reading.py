"""Reads and renders every row once: collects the sizes for jobs and estimate, and the prompts worth showing."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bedrock_batch.costs.estimate import PromptSize
from bedrock_batch.dataset.splits import Split
from bedrock_batch.dataset.tables.table_file import TableFile
from bedrock_batch.prompts.routing import RoutingCounts
from bedrock_batch.prompts.template import PromptTemplate, text_column
from bedrock_batch.realtime.bedrock_processor import BedrockProcessor
from bedrock_batch.realtime.reuse.answer_lookup import Mask
from bedrock_batch.records import record_id

# How many prompts the service counts: enough to see their spread, few enough to take seconds.
SAMPLE_PROMPTS = 12
_SEED = 20261124


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """A rendered prompt and the place of its row; `missing` and `truncated` name fields."""

    why: str
    split: str
    file: str
    row: int
    prompt: str
    missing: tuple[str, ...] = ()
    truncated: tuple[str, ...] = ()


@dataclass(slots=True)
class FilePlan:
    """A data file of a split.

    `missing` names placeholders without a column, `repeated` those with several; with `omits_rules` no prompt has
    rules.
    """

    split: str
    path: Path
    format: str
    rows: int
    missing: tuple[str, ...]
    columns: tuple[str, ...]
    omits_rules: bool = False
    repeated: tuple[str, ...] = ()


@dataclass(slots=True)
class Reading:
    """The figures of all rendered rows of a run.

    `line_sizes` holds the bytes of each record's line in a job file. `line_sizes` and `prompt_size` count the records
    that are asked, which are fewer than `rows` if equal prompts share an answer, or if `reused_rows` have an answer in
    the answer store. `sample` holds some of their prompts, drawn at random with a fixed seed. `null_cells` counts empty
    cells by placeholder.
    """

    prompt_size: PromptSize = field(default_factory=PromptSize)
    files: list[FilePlan] = field(default_factory=list)
    line_sizes: array[int] = field(default_factory=lambda: array("q"))
    sample: list[str] = field(default_factory=list)
    first: ShownPrompt | None = None
    longest: ShownPrompt | None = None
    odd: ShownPrompt | None = None
    distinct: int = 0
    null_cells: dict[str, int] = field(default_factory=dict)
    truncated_records: int = 0
    routing: RoutingCounts | None = None
    rows: int = 0
    reused_rows: int = 0

    @property
    def shown(self) -> tuple[ShownPrompt, ...]:
        """The prompts worth showing: the first, the longest, and one with a missing or truncated field."""
        return tuple(prompt for prompt in (self.first, self.longest, self.odd) if prompt is not None)


def read_prompts(splits: Sequence[Split], processor: BedrockProcessor, known: Mask | None = None) -> Reading:
    """Read and render every row of the splits and return their figures; `known` questions are not asked."""
    reading, template = Reading(), processor.template.fresh()
    builder = _ReadingBuilder(reading, processor, template, known)
    for split in splits:
        for file in split.files:
            missing = template.missing(file.columns)
            repeated = tuple(name for name in template.columns if file.columns.count(name) > 1)
            described = (split.name, file.path, file.format, file.count_rows(), missing, file.columns)
            reading.files.append(FilePlan(*described, template.omits_rules(file.columns), repeated))
            for row, prompt, cells in _rendered(file, template):
                builder.add(split.name, file.path.name, row, prompt, missing, cells)
    reading.distinct = len(builder.seen)
    reading.truncated_records = template.truncation.records
    reading.routing = template.rules.counts if template.rules else None
    return reading


def _rendered(file: TableFile, template: PromptTemplate) -> Iterator[tuple[int, str, Mapping[str, str | None]]]:
    """Yield the number (from 1), the prompt and the placeholders' cells of each row of a file."""
    position = 0
    for batch in file.batches():
        found = {name: batch.schema.get_all_field_indices(name) for name in template.columns}
        columns = {name: text_column(batch.column(places[0])) for name, places in found.items() if places}
        numbers = file.row_numbers(position, position + batch.num_rows)
        for index, prompt in enumerate(template.render_rows(columns, batch.num_rows)):
            cells = {name: columns[name][index] for name in template.placeholders if name in columns}
            yield numbers[index], prompt, cells
        position += batch.num_rows


class _ReadingBuilder:
    """Adds rendered prompts to a reading, one by one."""

    def __init__(
        self, reading: Reading, processor: BedrockProcessor, template: PromptTemplate, known: Mask | None
    ) -> None:
        self.seen: set[int] = set()
        self._known = b"" if known is None else known.tobytes()
        self._known_prompts: set[int] = set()
        self._reading = reading
        self._model_input = processor.model_input
        self._shares = processor.settings.deduplicate_prompts
        self._limit = template.max_field_length if template.truncation_enabled else None
        self._random = random.Random(_SEED)  # noqa: S311 - a sample, no secret
        self._longest = -1

    def add(
        self,
        split: str,
        file: str,
        row: int,
        prompt: str,
        missing: tuple[str, ...],
        cells: Mapping[str, str | None],
    ) -> None:
        reading = self._reading
        number = reading.rows
        reading.rows += 1
        self._count(number, prompt)
        empty = tuple(name for name, cell in cells.items() if not cell)
        for name in empty:
            reading.null_cells[name] = reading.null_cells.get(name, 0) + 1
        truncated = tuple(name for name, cell in cells.items() if cell and self._limit and len(cell) > self._limit)
        shown = (split, file, row, prompt, (*missing, *empty), truncated)
        if number == 0:
            reading.first = ShownPrompt("first", *shown)
        if len(prompt) > self._longest:
            self._longest = len(prompt)
            reading.longest = ShownPrompt("longest", *shown)
        if reading.odd is None and (missing or empty or truncated):
            reading.odd = ShownPrompt("with a missing or truncated field", *shown)

    def _count(self, number: int, prompt: str) -> None:
        """Count a row as reused, as one that shares an answer, or as a record that is asked."""
        reading, digest = self._reading, hash(prompt)
        is_new = digest not in self.seen
        if self._has_answer(len(self.seen) if self._shares else number, digest, is_new):
            reading.reused_rows += 1
        elif is_new or not self._shares:
            self._sample(reading.prompt_size.records, prompt)
            reading.line_sizes.append(len(self._model_input.jsonl_line(record_id(reading.prompt_size.records), prompt)))
            reading.prompt_size.add(prompt)
        self.seen.add(digest)

    def _has_answer(self, question: int, digest: int, is_new: bool) -> bool:
        if self._shares and not is_new:
            return digest in self._known_prompts
        is_known = question < len(self._known) and bool(self._known[question])
        if is_known and self._shares:
            self._known_prompts.add(digest)
        return is_known

    def _sample(self, number: int, prompt: str) -> None:
        """Keep a uniform sample of the prompts so far (reservoir sampling)."""
        sample = self._reading.sample
        if len(sample) < SAMPLE_PROMPTS:
            sample.append(prompt)
        elif (place := self._random.randrange(number + 1)) < SAMPLE_PROMPTS:
            sample[place] = prompt
