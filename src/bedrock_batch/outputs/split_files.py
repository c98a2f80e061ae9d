"""Writes the output files of the splits from the answers, and counts the figures on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bedrock_batch.answers.segments import SegmentCursor, SegmentStore
from bedrock_batch.dataset.splits import Split, SplitRows, unite_by_format
from bedrock_batch.dataset.tables.cells import escape_formulas
from bedrock_batch.dataset.tables.formats import FileFormat, is_gzipped
from bedrock_batch.dataset.tables.table_file import TableFile
from bedrock_batch.dataset.tables.writer import TableWriter
from bedrock_batch.environment.container.paths import make_output_folder
from bedrock_batch.errors import BedrockBatchError, InputError
from bedrock_batch.outputs.countable_fields import field_specs
from bedrock_batch.outputs.distributions import Distributions
from bedrock_batch.outputs.figures import Figures
from bedrock_batch.outputs.observers import Observers
from bedrock_batch.outputs.sample_rows import SampleCollector, SampleRow
from bedrock_batch.realtime.bedrock_processor import BedrockProcessor
from bedrock_batch.realtime.run_rows import run_rows


@dataclass(slots=True)
class SplitResult:
    """The result of a split: its figures, the figures of each input file by name, and the files written."""

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
    """The result of a run: its id, its ledger's location (both None without rows), its splits and samples.

    `submission` says what a run that does not wait has left to a later start; such a run has no splits.
    """

    run_id: str | None
    ledger: str | None
    splits: list[SplitResult]
    samples: list[SampleRow] = field(default_factory=list)
    submission: dict[str, Any] | None = None


def process_splits(splits: tuple[Split, ...], processor: BedrockProcessor) -> RunResult:
    """Answer the rows of all splits as one run and write their output files.

    InputError, before any row is asked, if an output file cannot be written.
    """
    _check_outputs(splits)
    source = SplitRows(splits)
    if not source.count:
        with tempfile.TemporaryDirectory() as folder:
            store = SegmentStore(Path(folder), processor.columns.arrow_schema)
            return RunResult(None, None, write_splits(splits, store, processor))
    settings = processor.settings
    samples = SampleCollector(
        settings.report_samples, processor.template.columns, processor.columns.names, settings.output_column_prefix
    )
    with _changes_explained(splits), run_rows(processor, source) as rows:
        results = write_splits(splits, rows.answers, processor, samples)
        return RunResult(rows.run_id, rows.ledger, results, samples.rows())


def write_splits(
    splits: tuple[Split, ...], store: SegmentStore, processor: BedrockProcessor, samples: SampleCollector | None = None
) -> list[SplitResult]:
    """Write the output files of the splits and return their figures.

    The files appear together, after all rows are written and the inputs are verified to be unchanged since they were
    asked. Otherwise InputChangedError is raised and no file appears.
    """
    cursor = SegmentCursor(store)
    observers = Observers(processor.context.log)
    with ExitStack() as writers:
        results = [_write_split(split, cursor, processor, samples, observers, writers) for split in splits]
        _check_inputs(splits)
    return results


def _check_outputs(splits: tuple[Split, ...]) -> None:
    for split in splits:
        make_output_folder(split.output_folder)
        for kind in {file.format for file in split.files}:
            if (path := _output_path(split, kind)).is_dir():
                raise InputError(f"{path}: is a folder, where an output file of {split.name} belongs; move it away")


def _check_inputs(splits: tuple[Split, ...]) -> None:
    for split in splits:
        for file in split.files:
            file.unchanged.check_content()


@contextmanager
def _changes_explained(splits: tuple[Split, ...]) -> Iterator[None]:
    """Raise InputChangedError instead of an unexpected error if an input changed, which is then the likely cause."""
    try:
        yield
    except BedrockBatchError:
        raise
    except Exception:
        _check_inputs(splits)
        raise


def _write_split(
    split: Split,
    cursor: SegmentCursor,
    processor: BedrockProcessor,
    samples: SampleCollector | None,
    observers: Observers,
    stack: ExitStack,
) -> SplitResult:
    schema = processor.schema.wire_schema() if processor.schema else None
    specs = observers.observe("the list of fields", lambda: field_specs(schema, processor.columns.column_map), ())
    result = SplitResult(split.name, distributions=Distributions(specs))
    schemas = unite_by_format(split, [])
    writers = {
        kind: stack.enter_context(_open_writer(split, kind, schema, processor)) for kind, schema in schemas.items()
    }
    for file in split.files:
        observer = _FileObserver(result, file, processor.settings.output_column_prefix, samples, observers)
        figures = _write_file(file, schemas[file.format], writers[file.format], cursor, observer, processor)
        result.files[file.path.name] = figures
        result.figures.merge(figures)
    for writer in writers.values():
        writer.finish()  # no file gets its name before all are complete
    result.outputs = [writer.path for writer in writers.values()]
    return result


def _open_writer(split: Split, kind: FileFormat, schema: pa.Schema, processor: BedrockProcessor) -> TableWriter:
    answers = processor.public_columns(processor.columns.arrow_schema.empty_table())
    return TableWriter(_output_path(split, kind), kind, _join_columns(schema.empty_table(), answers).schema)


def _output_path(split: Split, kind: FileFormat) -> Path:
    files = [file.path for file in split.files if file.format == kind]
    suffix = f"{kind}.gz" if all(map(is_gzipped, files)) else kind
    return split.output_folder / f"{split.stem}.{suffix}"


# The names of the observers in a warning.
FIELDS, SAMPLES, DETAILS = "the figures of fields", "the samples of the report", "the figures of tokens and errors"


class _FileObserver:
    """Counts the rows of one file for the summary and the report. No failure in here fails the file."""

    def __init__(
        self, result: SplitResult, file: TableFile, prefix: str, samples: SampleCollector | None, observers: Observers
    ) -> None:
        self._result = result
        self._file = file
        self._prefix = prefix
        self._samples = samples
        self._observers = observers
        self._position = 0

    def observe(self, rows: pa.RecordBatch, answers: pa.Table, figures: Figures) -> None:
        """Count the next rows of the file by their answers."""
        start, prefix, samples = self._position, self._prefix, self._samples
        numbers, name = self._file.row_numbers(start, start + rows.num_rows), self._file.path.name
        observe = self._observers.observe
        observe(FIELDS, lambda: self._result.distributions.add(answers, prefix), None)
        observe(DETAILS, lambda: figures.add_details(answers, prefix, name, numbers), None)
        if samples is not None:
            table = pa.Table.from_batches([rows])
            observe(SAMPLES, lambda: samples.take(self._result.name, name, numbers, table, answers), None)
        self._position += rows.num_rows


def _write_file(
    file: TableFile,
    schema: pa.Schema,
    writer: TableWriter,
    cursor: SegmentCursor,
    observer: _FileObserver,
    processor: BedrockProcessor,
) -> Figures:
    figures = Figures()
    prefix = processor.settings.output_column_prefix
    for batch in file.batches():
        answers = cursor.take(batch.num_rows)
        figures.add(answers, prefix)
        observer.observe(batch, answers, figures)
        shown = processor.public_columns(answers)
        if processor.settings.csv_escape_formulas and file.format != "parquet":
            shown = escape_formulas(shown)
        rows = _join_columns(_align(batch, schema), shown)
        if processor.settings.skip_error_records:
            rows = rows.filter(pc.equal(answers[f"{prefix}status"], "success"))
        for part in rows.combine_chunks().to_batches():
            writer.write(part)
    return figures


def _align(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """Return a batch as a table of the given schema; a column that the batch lacks is null."""
    table = pa.Table.from_batches([batch])
    if batch.schema.equals(schema):
        return table.replace_schema_metadata(schema.metadata)
    columns = [
        table[name].cast(kind) if name in table.column_names else pa.nulls(table.num_rows, kind)
        for name, kind in zip(schema.names, schema.types, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _join_columns(rows: pa.Table, answers: pa.Table) -> pa.Table:
    """Return `rows` with the columns of `answers` appended."""
    fields = [*rows.schema, *answers.schema]
    schema = pa.schema(fields, metadata=rows.schema.metadata)
    return pa.Table.from_arrays([*rows.columns, *answers.columns], schema=schema)
