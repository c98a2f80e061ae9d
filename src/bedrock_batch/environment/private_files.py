"""Files and folders that only the user of the process may read, whatever the umask: they hold prompts and answers."""

from __future__ import annotations

import os
from pathlib import Path

from bedrock_batch.errors import InputError

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def private_opener(path: str, flags: int) -> int:
    """Open a file for `open`; if it creates the file, only the owner may read and write it."""
    return os.open(path, flags, FILE_MODE)


def make_private_file(path: Path) -> None:
    """Make an empty file that only its owner may read and write, for code that opens files by name."""
    path.touch(mode=FILE_MODE)


def make_private_folder(path: Path) -> None:
    """Make a folder that only its owner may enter; restrict an existing one unless another user owns it.

    InputError if that is impossible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        if path.stat().st_uid == os.geteuid():
            path.chmod(FOLDER_MODE)
    except OSError as error:
        raise InputError(f"{path}: the step cannot keep its state in this folder ({error.strerror})") from None
