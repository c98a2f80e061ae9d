"""Detects that a file changed between two reads of a run."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from bedrock_batch.errors import InputChangedError, InputError

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What identifies a file: device, inode, size in bytes and time of modification in nanoseconds."""

    device: int
    inode: int
    size: int
    modified: int


class UnchangedFile:
    """Detects changes of a file since this object was made, and of its content since the first call of `digest`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest: str | None = None
        try:
            self._identity = _identify(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be opened ({error.strerror})") from None

    def check(self) -> None:
        """Raise InputChangedError if the file was replaced, written to or deleted."""
        try:
            now = _identify(self._path)
        except OSError as error:
            raise self._changed(f"it cannot be found any more: {error.strerror}") from None
        if now != self._identity:
            raise self._changed(_difference(self._identity, now))

    def digest(self) -> str:
        """Return the SHA-256 of the file in hexadecimal digits; `check_content` compares with the first one."""
        digest = self._read_digest()
        self._digest = self._digest or digest
        return digest

    def check_content(self) -> None:
        """Read the whole file; raise InputChangedError if its bytes differ from those of the first `digest`."""
        if self._digest is None:
            self.check()
        elif self._read_digest() != self._digest:
            raise self._changed("it has other content under the same size and time")

    def _read_digest(self) -> str:
        self.check()
        result = hashlib.sha256()
        try:
            with self._path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    result.update(chunk)
        except OSError as error:
            raise self._changed(f"it cannot be read any more: {error.strerror}") from None
        self.check()
        return result.hexdigest()

    def _changed(self, what: str) -> InputChangedError:
        return InputChangedError(
            f"{self._path} changed while the run read it ({what}): no output was written, and all answers are kept. "
            "Restore the file and start the step again, or start it with the new file as a new run. Give a run "
            "files that nobody writes to"
        )


def _identify(path: Path) -> FileIdentity:
    found = os.stat(path)
    return FileIdentity(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _difference(before: FileIdentity, now: FileIdentity) -> str:
    if (before.device, before.inode) != (now.device, now.inode):
        return "another file took its place"
    if before.size != now.size:
        return f"its size was {before.size} and is {now.size} bytes"
    return "it was written to"
