"""Where the validation schema lies; nothing that takes time is imported, so that wrong settings are told at once."""

from __future__ import annotations

import re
from pathlib import Path

from bedrock_batch.errors import InputError

_SCHEMA_FILE = re.compile(r"validation_schema(?:_(?P<timestamp>.*))?\.json")


def find_schema_file(folder: Path) -> Path:
    """Return the newest `validation_schema_*.json` of a folder; InputError, naming what is there, without one."""
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
