"""The output files of splits, written from the answers, and the figures that are counted on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bedrock_batch.distributions import Distributions, field_specs
from bedrock_batch.processor import BedrockProcessor
from bedrock_batch.samples import SampleRow, SampleTaker
from bedrock_batch.segments import SegmentCursor, SegmentStore
from bedrock_batch.splits import Split, SplitRows, unite_by_format
from bedrock_batch.summary import Figures
from bedrock_batch.tables.formats import FileFormat
from bedrock_batch.tables.table_file import TableFile
from bedrock_batch.tables.writer import TableWriter


@dataclass(slots=True)
class SplitResult:
    """What came of a split: its figures, those of each file by name, and the files written."""

    name: str
    figures: Figures = field(default_factory=Figures)
    files: dict[str, Figures] = field(default_factory=dict)
    outputs: list[Path] = field(default_factory=list)
    distributions: Distributions = field(default_factory=Distributions)

    def as_dict(self) -> dict[str, Any]:
        return {
            "split_name": self.name,
            **self.figures.as_dict(),
            "files": [{"file": name, **figures.as_dict()} for name, figures in self.files.items()],
            "outputs": [str(path) for path in self.outputs],
        }


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run: its id and the place of its ledger, which a run without rows lacks, and its splits."""

    run_id: str | None
    ledger: str | None
    splits: list[SplitResult]
    samples: list[SampleRow] = field(default_factory=list)


def process_splits(splits: tuple[Split, ...], processor: BedrockProcessor) -> RunResult:
    """Answer the rows of all splits as one run and write their output files."""
    source = SplitRows(splits)
    if not source.count:
        with tempfile.TemporaryDirectory() as folder:
            store = SegmentStore(Path(folder), processor.columns.arrow_schema)
            return RunResult(None, None, write_splits(splits, store, processor))
    samples = SampleTaker(
        processor.settings.report_samples, processor.template.placeholders, processor.settings.output_column_prefix
    )
    with processor.begin(source) as run:
        store = processor.answer(source, run)
        results = write_splits(splits, store, processor, samples)
        processor.finish(run)
        return RunResult(run.ledger.run_id, run.ledger.where, results, samples.rows())


def write_splits(
    splits: tuple[Split, ...], store: SegmentStore, processor: BedrockProcessor, samples: SampleTaker | None = None
) -> list[SplitResult]:
    """Write the output files of the splits from the answers' columns and return their figures."""
    cursor = SegmentCursor(store)
    return [_write_split(split, cursor, processor, samples) for split in splits]


def _write_split(
    split: Split, cursor: SegmentCursor, processor: BedrockProcessor, samples: SampleTaker | None
) -> SplitResult:
    schema = processor.schema.wire_schema() if processor.schema else None
    result = SplitResult(split.name, distributions=Distributions(field_specs(schema)))
    schemas = unite_by_format(split, [])
    with ExitStack() as stack:
        writers = {
            kind: stack.enter_context(_open_writer(split, kind, schema, processor)) for kind, schema in schemas.items()
        }
        for file in split.files:
            answers = _looked_at(cursor, result, file, processor, samples)
            figures = _write_file(file, schemas[file.format], writers[file.format], answers, processor)
            result.files[file.path.name] = figures
            result.figures.merge(figures)
    result.outputs = [writer.path for writer in writers.values()]
    return result


def _open_writer(split: Split, kind: FileFormat, schema: pa.Schema, processor: BedrockProcessor) -> TableWriter:
    answers = processor.public_columns(processor.columns.arrow_schema.empty_table())
    path = split.output_folder / f"{split.stem}.{kind}"
    return TableWriter(path, kind, _join_columns(schema.empty_table(), answers).schema)


TakeAnswers = Callable[[pa.RecordBatch], pa.Table]


def _looked_at(
    cursor: SegmentCursor,
    result: SplitResult,
    file: TableFile,
    processor: BedrockProcessor,
    samples: SampleTaker | None,
) -> TakeAnswers:
    """Return a function that gives the answers to the next rows of a file, counted for the report on the way."""
    prefix, row = processor.settings.output_column_prefix, 1 + (file.part[0] if file.part else 0)

    def take(batch: pa.RecordBatch) -> pa.Table:
        nonlocal row
        answers = cursor.take(batch.num_rows)
        result.distributions.add(answers, prefix)
        if samples is not None:
            samples.take(result.name, file.path.name, row, pa.Table.from_batches([batch]), answers)
        row += batch.num_rows
        return answers

    return take


def _write_file(
    file: TableFile, schema: pa.Schema, writer: TableWriter, take: TakeAnswers, processor: BedrockProcessor
) -> Figures:
    figures = Figures()
    prefix = processor.settings.output_column_prefix
    first_row = 1 + (file.part[0] if file.part else 0)
    for batch in file.batches():
        answers = take(batch)
        figures.add(answers, prefix, file.path.name, first_row + figures.total)
        rows = _join_columns(_align(batch, schema), processor.public_columns(answers))
        if processor.settings.skip_error_records:
            rows = rows.filter(pc.equal(answers[f"{prefix}status"], "success"))
        for part in rows.combine_chunks().to_batches():
            writer.write(part)
    return figures


def _align(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """Return a batch as a table of another schema of the same columns; a column that it lacks is null."""
    table = pa.Table.from_batches([batch])
    if batch.schema.equals(schema):
        return table.replace_schema_metadata(schema.metadata)
    columns = [
        table[name].cast(kind) if name in table.column_names else pa.nulls(table.num_rows, kind)
        for name, kind in zip(schema.names, schema.types, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _join_columns(rows: pa.Table, answers: pa.Table) -> pa.Table:
    """Return `rows` with the columns of `answers` behind their own."""
    fields = [*rows.schema, *answers.schema]
    schema = pa.schema(fields, metadata=rows.schema.metadata)
    return pa.Table.from_arrays([*rows.columns, *answers.columns], schema=schema)
