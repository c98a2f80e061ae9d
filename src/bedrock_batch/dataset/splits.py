"""Splits of the data set: finding and checking their input files, and reading them as one source of rows."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from bedrock_batch.dataset.tables.formats import FileFormat, find_data_files
from bedrock_batch.dataset.tables.reader import open_table
from bedrock_batch.dataset.tables.table_file import TableFile, TablePart
from bedrock_batch.environment.container.instances import Instance
from bedrock_batch.environment.container.paths import check_folder
from bedrock_batch.errors import InputError

TRAINING_SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Split:
    """A split: its files in the order of their names, and its output, `output_folder/{stem}.{format}`."""

    name: str
    files: tuple[TableFile, ...]
    output_folder: Path
    stem: str

    @property
    def count(self) -> int:
        return sum(file.count_rows() for file in self.files)


@dataclass(frozen=True, slots=True)
class SplitRows:
    """The rows of several splits as one source, in the order of the splits, of their files and of the rows."""

    splits: tuple[Split, ...]

    @property
    def count(self) -> int:
        return sum(split.count for split in self.splits)

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """The name and the number of rows of each split."""
        return tuple((split.name, split.count) for split in self.splits)

    def place_of(self, position: int) -> str:
        """Return the split, the file and the row there of a row of the source, counted from 0."""
        for split in self.splits:
            for file in split.files:
                if position < file.count_rows():
                    return f"{split.name}/{file.path.name} row {file.row_numbers(position, position + 1)[0]}"
                position -= file.count_rows()
        raise IndexError(position)

    def fingerprint(self) -> str:
        """Return a digest of the names of splits and files, the contents of the files, and the choice of their rows."""
        whole = hashlib.sha256()
        for split in self.splits:
            for file in split.files:
                described = [split.name, file.path.name, file.unchanged.digest(), *file.selection]
                whole.update(json.dumps(described).encode("ascii"))
        return whole.hexdigest()[:32]

    def batches(self) -> Iterator[pa.RecordBatch]:
        for split in self.splits:
            for file in split.files:
                yield from file.batches()


def find_splits(
    input_folder: Path,
    output_folder: Path,
    job_type: str,
    log: logging.Logger,
    instance: Instance | None = None,
    root: Path | None = None,
) -> tuple[Split, ...]:
    """Return the splits of a job type: train, val and test of `training` if such folders exist, else one data set.

    Each of several instances gets its share of the rows. Raise InputError that names the folder and its content if
    there is no data file, or if a split folder has files but none that can be read, except on an instance to which
    SageMaker's sharding gave none: it has no splits. Raise InputError for a file that leads out of `root`, by default
    the input folder, through a symbolic link.
    """
    instance = instance or Instance()
    names = [name for name in TRAINING_SPLITS if job_type == "training" and (input_folder / name).is_dir()]
    if names:
        for path in find_data_files(input_folder)[0]:
            log.warning("%s is ignored: only the files in split folders (%s) are read", path, ", ".join(names))
    splits: list[Split] = []
    problems: list[str] = []
    for name in names or [""]:
        folders = input_folder / name, output_folder / name
        try:
            splits.append(_share_of(open_split(name or job_type, *folders, log, root or input_folder), instance, name))
        except EmptySplitError as error:
            if instance.sharded:
                log.warning("split=%s is skipped: %s", name or job_type, error)
            elif not names:
                raise
            elif error.holds_files:
                problems.append(f"{error}: convert its files, or remove the folder to run without this split")
            else:
                log.warning("split=%s is skipped: %s", name, error)
    if problems:
        raise InputError("; ".join(problems))
    if not splits and not instance.sharded:
        raise InputError(f"no data file in the folders {', '.join(names)} of {input_folder}")
    return tuple(splits)


def _share_of(split: Split, instance: Instance, folder: str) -> Split:
    """Return a split with the rows of one instance: all of them if SageMaker divided the files, else its share.

    Rows are divided and not files, so that one file serves any number of instances. An instance with an empty share
    keeps the files, because its empty output has their columns.
    """
    split = replace(split, stem=f"{split.stem}{instance.suffix}")
    if instance.has_own_part(folder):
        return split
    mine, start = instance.rows_of(split.count), 0
    parts: list[TableFile] = []
    for file in split.files:
        count = file.count_rows()
        first, last = (min(max(row - start, 0), count) for row in (mine.start, mine.stop))
        parts.append(file if (first, last) == (0, count) else TablePart(file, first, last))
        start += count
    return replace(split, files=tuple(parts))


def _reason_to_ignore(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "a hidden file" if path.name.startswith(".") else "neither CSV, TSV nor Parquet by its name"


def _may_be_data(path: Path) -> bool:
    """Return whether a user may take an entry for data: it is neither hidden nor empty, as `_SUCCESS` of Spark is."""
    if path.name.startswith("."):
        return False
    return any(path.iterdir()) if path.is_dir() else path.is_file() and path.stat().st_size > 0


class EmptySplitError(InputError):
    """A folder holds no data file; `holds_files` says that it holds others, which a user may take for data."""

    def __init__(self, message: str, *, holds_files: bool) -> None:
        super().__init__(message)
        self.holds_files = holds_files


def open_split(
    name: str, input_folder: Path, output_folder: Path, log: logging.Logger, root: Path | None = None
) -> Split:
    """Return the split of a folder, with all of its files checked.

    Raise one InputError with the problems of all files; EmptySplitError if there is no data file; InputError for a file
    that leads out of `root`, by default the folder, through a symbolic link.
    """
    check_folder(root or input_folder, input_folder)
    found, ignored = find_data_files(input_folder)
    for path in ignored:
        log.info("%s is ignored: %s", path, _reason_to_ignore(path))
    if not found:
        raise EmptySplitError(
            f"no .csv, .tsv or .parquet file in {input_folder} ({_content(input_folder)})",
            holds_files=any(map(_may_be_data, ignored)),
        )
    problems: list[str] = []
    files: list[TableFile] = []
    for path in found:
        try:
            file = open_table(path)
            file.count_rows()
            files.append(file)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("; ".join(problems))
    return Split(name, tuple(files), output_folder, f"{name}_processed_data")


def unite_by_format(split: Split, problems: list[str]) -> dict[FileFormat, pa.Schema]:
    """Return the schema of the split's output for each format; append a sentence to `problems` for each misfit file."""
    united: dict[FileFormat, pa.Schema] = {}
    for file in split.files:
        known = united.get(file.format)
        if known is None or known.equals(file.schema):
            united[file.format] = known or file.schema
            continue
        try:
            united[file.format] = pa.unify_schemas([known, file.schema]).with_metadata(known.metadata)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            problems.append(
                f"{file.path}: its columns do not fit the other {file.format} files of {split.name} ({error}): give a "
                "column one type in all files of a split"
            )
    return united


def _content(folder: Path) -> str:
    if not folder.is_dir():
        return "there is no such folder"
    names = sorted(entry.name for entry in folder.iterdir())
    return f"it holds {', '.join(names[:10])}{' ...' if len(names) > 10 else ''}" if names else "it is empty"
