"""Checks that the template reads the columns of the input files, before anything is paid for."""

from __future__ import annotations

from collections.abc import Sequence

from bedrock_batch.dataset.splits import Split, unite_by_format
from bedrock_batch.dataset.tables.delimited import DELIMITER_NAMES, find_delimiter
from bedrock_batch.dataset.tables.formats import DELIMITERS, FileFormat
from bedrock_batch.dataset.tables.table_file import TableFile
from bedrock_batch.errors import InputError
from bedrock_batch.prompts.template import PromptTemplate, describe_nearest
from bedrock_batch.realtime.bedrock_processor import BedrockProcessor


def check_columns(splits: Sequence[Split], processor: BedrockProcessor) -> None:
    """Raise InputError if an input column has the name of an output column, or if all rows have the same prompt.

    The latter is so if the template has no placeholder, or a file no column for any of them. Warn of one of several
    placeholders without a column.
    """
    problems: list[str] = []
    for split in splits:
        unite_by_format(split, problems)
        for file in split.files:
            _check_file(file, processor, problems)
    _check_template(splits, processor.template, problems)
    if problems:
        raise InputError("; ".join(problems))


def _check_file(file: TableFile, processor: BedrockProcessor, problems: list[str]) -> None:
    template = processor.template
    if template.columns and template.is_constant(file.columns) and file.count_rows():
        names = template.columns
        problems.append(
            f"{file.path} has no column for any placeholder of the template ({', '.join(names)}), so that all its rows "
            f"would be asked the same: {_advise(file, names)}"
        )
        return
    try:
        processor.check_columns(file.columns, str(file.path))
    except InputError as error:
        problems.append(str(error))


def _advise(file: TableFile, names: Sequence[str]) -> str:
    """Return how a file gets the columns of a template: by another delimiter, or by the nearest names."""
    used = DELIMITERS.get(file.format)
    fits = find_delimiter(file.path, names, used) if used else None
    if used is None or fits is None:
        return describe_nearest(names, file.columns)
    suffix = next((kind for kind, delimiter in DELIMITERS.items() if delimiter == fits), None)
    return (
        f"it is read with {DELIMITER_NAMES[used]}, but its header fits with {DELIMITER_NAMES[fits]}. "
        f"{_remedy_for_delimiter(suffix, DELIMITER_NAMES[used])}"
    )


def _remedy_for_delimiter(suffix: FileFormat | None, used: str) -> str:
    return f"Write it with {used}" if suffix is None else f"Name it .{suffix}, or write it with {used}"


def _check_template(splits: Sequence[Split], template: PromptTemplate, problems: list[str]) -> None:
    rows = sum(split.count for split in splits)
    if template.columns or rows < 2:
        return
    columns = next(file.columns for split in splits for file in split.files)
    listed = ", ".join(f"{{{name}}}" for name in template.other_names)
    hint = f" (input_placeholders does not list {listed})" if listed else ""
    problems.append(
        f"the template has no placeholder{hint}, so that all {rows} rows would be asked the same: put the name of a "
        f"column into it in braces, such as {{{columns[0]}}}"
    )
