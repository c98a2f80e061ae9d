"""The file formats of the step and how the name of a file tells them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bedrock_batch.errors import InputError

FileFormat = Literal["csv", "tsv", "parquet"]

FORMATS: tuple[FileFormat, ...] = ("csv", "tsv", "parquet")
DELIMITERS: dict[FileFormat, str] = {"csv": ",", "tsv": "\t"}


def detect_file_format(file_path: str | Path) -> FileFormat:
    """Return the format that the suffix of a file names, with or without `.gz`; raise InputError for another suffix."""
    path = Path(file_path)
    found = format_of(path)
    if found is None:
        accepted = ", ".join(f".{name}[.gz]" for name in FORMATS)
        raise InputError(f"{path}: the suffix is not one of {accepted}; rename or convert the file")
    return found


def format_of(path: Path) -> FileFormat | None:
    """Return the format that the suffix of a file names, with or without `.gz`, or None."""
    name = path.name.lower().removesuffix(".gz")
    suffix = name.rpartition(".")[2] if "." in name else ""
    return next((known for known in FORMATS if known == suffix), None)


def is_gzipped(path: Path) -> bool:
    """Return whether the name of a file says that it is compressed with gzip."""
    return path.name.lower().endswith(".gz")


def find_data_files(folder: str | Path) -> tuple[list[Path], list[Path]]:
    """Return the data files of a folder and its other entries, each in the order of their names.

    Hidden files, files with another suffix and sub-folders are not data files. A missing folder counts as empty.
    """
    root = Path(folder)
    entries = sorted(root.iterdir(), key=lambda entry: entry.name) if root.is_dir() else []
    files = [entry for entry in entries if _is_data_file(entry)]
    return files, [entry for entry in entries if not _is_data_file(entry)]


def _is_data_file(entry: Path) -> bool:
    return not entry.name.startswith(".") and format_of(entry) is not None and entry.is_file()
