"""Finds the file of the validation schema. Imports no slow module, so that wrong settings are reported at once."""

from __future__ import annotations

import re
from pathlib import Path

from bedrock_batch.errors import InputError

_SCHEMA_FILE = re.compile(r"validation_schema(?:_(?P<timestamp>.*))?\.json")


def holds_schema(path: Path) -> bool:
    """Return whether `path` is a file, or a folder that contains more than hidden files."""
    return path.is_file() or (path.is_dir() and any(entry.name[:1] != "." for entry in path.iterdir()))


def find_schema_file(folder: Path) -> Path:
    """Return the newest `validation_schema_*.json` of a folder; InputError, with the files found, if there is none."""
    if folder.is_file():
        return folder
    found = sorted(entry for entry in folder.iterdir() if entry.is_file()) if folder.is_dir() else []
    files = [path for path in found if _SCHEMA_FILE.fullmatch(path.name)]
    if not files:
        names = ", ".join(path.name for path in found[:10]) or "nothing"
        raise InputError(f"no validation_schema_*.json in {folder} (found: {names}); the template step writes it")
    return max(files, key=_age_key)


def _age_key(path: Path) -> tuple[str, int]:
    match = _SCHEMA_FILE.fullmatch(path.name)
    return (match["timestamp"] or "") if match else "", path.stat().st_mtime_ns
