"""The file formats of the step, told by the names of files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bedrock_batch.errors import InputError

FileFormat = Literal["csv", "tsv", "parquet"]

FORMATS: tuple[FileFormat, ...] = ("csv", "tsv", "parquet")
DELIMITERS: dict[FileFormat, str] = {"csv": ",", "tsv": "\t"}


def detect_file_format(file_path: str | Path) -> FileFormat:
    """Return the format that the suffix of a file names: `csv`, `tsv` or `parquet`, also in front of `.gz`.

    Raises InputError for any other suffix.
    """
    path = Path(file_path)
    found = format_of(path)
    if found is None:
        accepted = ", ".join(f".{name}[.gz]" for name in FORMATS)
        raise InputError(f"{path}: the suffix is not one of {accepted}; rename or convert the file")
    return found


def format_of(path: Path) -> FileFormat | None:
    """Return the format that the suffix of a file names, or None."""
    name = path.name.lower().removesuffix(".gz")
    suffix = name.rpartition(".")[2] if "." in name else ""
    return next((known for known in FORMATS if known == suffix), None)


def is_gzipped(path: Path) -> bool:
    """Tell whether the name of a file says that it is compressed with gzip."""
    return path.name.lower().endswith(".gz")


def find_data_files(folder: str | Path) -> tuple[list[Path], list[Path]]:
    """Return the data files of a folder in the order of their names, and the entries that are none.

    Hidden files, other suffixes and sub-folders are not data files. A folder that does not exist holds nothing.
    """
    root = Path(folder)
    entries = sorted(root.iterdir(), key=lambda entry: entry.name) if root.is_dir() else []
    files = [entry for entry in entries if _is_data_file(entry)]
    return files, [entry for entry in entries if not _is_data_file(entry)]


def _is_data_file(entry: Path) -> bool:
    return not entry.name.startswith(".") and format_of(entry) is not None and entry.is_file()
