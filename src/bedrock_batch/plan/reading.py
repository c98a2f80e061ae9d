"""Every row read and rendered once: the sizes that jobs and estimates are made of, and prompts worth showing."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bedrock_batch.estimate import PromptMeter
from bedrock_batch.processor import BedrockProcessor
from bedrock_batch.prompts import PromptTemplate, text_column
from bedrock_batch.records import record_id
from bedrock_batch.splits import Split
from bedrock_batch.tables.table_file import TableFile
from bedrock_batch.templates import template_of

# Prompts whose tokens are counted by the service: enough to see their spread, few enough to take seconds.
SAMPLE_PROMPTS = 12
_SEED = 20261124


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """A rendered prompt and where its row stands; `missing` and `truncated` are names of its fields."""

    why: str
    split: str
    file: str
    row: int
    prompt: str
    missing: tuple[str, ...] = ()
    truncated: tuple[str, ...] = ()


@dataclass(slots=True)
class FilePlan:
    """A data file of a split: its rows, and the placeholders that it has no column for."""

    split: str
    path: Path
    format: str
    rows: int
    missing: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(slots=True)
class Reading:
    """What all rows of a run are like once they are rendered.

    `line_sizes` are the bytes of the lines in a job's file, one for each record that is asked: where equal prompts
    share an answer these, and `meter`, are fewer than `rows`. `sample` are some prompts, chosen at random with a fixed
    seed. `null_cells` counts empty cells by placeholder.
    """

    meter: PromptMeter = field(default_factory=PromptMeter)
    files: list[FilePlan] = field(default_factory=list)
    line_sizes: array[int] = field(default_factory=lambda: array("q"))
    sample: list[str] = field(default_factory=list)
    first: ShownPrompt | None = None
    longest: ShownPrompt | None = None
    odd: ShownPrompt | None = None
    distinct: int = 0
    null_cells: dict[str, int] = field(default_factory=dict)
    truncated_records: int = 0
    rows: int = 0

    @property
    def shown(self) -> tuple[ShownPrompt, ...]:
        """The prompts worth showing: the first, the longest, and one with a missing or truncated field."""
        return tuple(prompt for prompt in (self.first, self.longest, self.odd) if prompt is not None)


def read_prompts(splits: Sequence[Split], processor: BedrockProcessor) -> Reading:
    """Read and render every row of the splits and return what they are like."""
    reading, template = Reading(), template_of(processor.settings)
    taker = _Taker(reading, processor, template)
    for split in splits:
        for file in split.files:
            missing = template.missing(file.columns)
            reading.files.append(FilePlan(split.name, file.path, file.format, file.count_rows(), missing, file.columns))
            for row, prompt, cells in _rendered(file, template):
                taker.take(split.name, file.path.name, row, prompt, missing, cells)
    reading.distinct = len(taker.seen)
    reading.truncated_records = template.truncation.records
    return reading


def _rendered(file: TableFile, template: PromptTemplate) -> Iterator[tuple[int, str, Mapping[str, str | None]]]:
    """Yield the number (from 1), the prompt and the placeholders' cells of each row of a file."""
    row = 1 + (file.part[0] if file.part else 0)
    for batch in file.batches():
        found = {name: batch.schema.get_all_field_indices(name) for name in template.placeholders}
        columns = {name: text_column(batch.column(places[0])) for name, places in found.items() if places}
        for index, prompt in enumerate(template.render_rows(columns, batch.num_rows)):
            yield row, prompt, {name: column[index] for name, column in columns.items()}
            row += 1


class _Taker:
    """Takes the prompts one by one into a reading."""

    def __init__(self, reading: Reading, processor: BedrockProcessor, template: PromptTemplate) -> None:
        self.seen: set[int] = set()
        self._reading = reading
        self._model_input = processor.model_input
        self._shares = processor.settings.deduplicate_prompts
        self._limit = template.max_field_length if template.truncation_enabled else None
        self._random = random.Random(_SEED)  # noqa: S311 - a sample, no secret
        self._longest = -1

    def take(
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
        mark = hash(prompt)
        if not self._shares or mark not in self.seen:
            reading.line_sizes.append(len(self._model_input.jsonl_line(record_id(reading.meter.records), prompt)))
            reading.meter.add(prompt)
        self.seen.add(mark)
        self._sample(number, prompt)
        empty = tuple(name for name, cell in cells.items() if not cell)
        for name in empty:
            reading.null_cells[name] = reading.null_cells.get(name, 0) + 1
        cut = tuple(name for name, cell in cells.items() if cell and self._limit and len(cell) > self._limit)
        where = (split, file, row, prompt, (*missing, *empty), cut)
        if number == 0:
            reading.first = ShownPrompt("first", *where)
        if len(prompt) > self._longest:
            self._longest = len(prompt)
            reading.longest = ShownPrompt("longest", *where)
        if reading.odd is None and (missing or empty or cut):
            reading.odd = ShownPrompt("with a missing or truncated field", *where)

    def _sample(self, number: int, prompt: str) -> None:
        """Keep a sample in which every prompt so far stands with the same chance."""
        sample = self._reading.sample
        if len(sample) < SAMPLE_PROMPTS:
            sample.append(prompt)
        elif (place := self._random.randrange(number + 1)) < SAMPLE_PROMPTS:
            sample[place] = prompt
