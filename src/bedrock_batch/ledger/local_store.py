"""A ledger in a local folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bedrock_batch.atomic_write import atomic_write
from bedrock_batch.environment.private_files import make_private_folder, private_opener
from bedrock_batch.errors import RunError
from bedrock_batch.ledger.store import ANSWERS, DOCUMENT, ChangedError, MissingError


class LocalLedgerStore:
    """A ledger in a folder, protected by a file lock that ends with its process."""

    is_exclusive = True

    def __init__(self, root: Path, run_id: str) -> None:
        self._root = root
        self._run = root / run_id
        self._lock: int | None = None
        self._files: dict[str, int] = {}
        self.location = str(self._run / DOCUMENT)

    def claim(self) -> None:
        for folder in (self._root, self._run, self._run / ANSWERS):
            make_private_folder(folder)
        lock = private_opener(str(self._run / "lock"), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise RunError(
                f"another process works on this run, which {self.location} describes: wait until it ends"
            ) from None
        self._lock = lock

    def release(self) -> None:
        for file in [*self._files.values(), *([] if self._lock is None else [self._lock])]:
            os.close(file)
        self._files, self._lock = {}, None

    def holds(self) -> bool:
        """Return whether the locked file still is the file that another process would lock."""
        try:
            return self._lock is not None and os.path.samestat(os.fstat(self._lock), os.stat(self._run / "lock"))
        except FileNotFoundError:
            return False

    def read(self) -> tuple[bytes, str] | None:
        try:
            data = Path(self.location).read_bytes()
        except FileNotFoundError:
            return None
        return data, hashlib.sha256(data).hexdigest()

    def write(self, data: bytes, tag: str | None) -> str:
        known = self.read()
        if known is None and tag is not None:
            raise MissingError(f"{self.location} no longer exists")
        if (known[1] if known else None) != tag:
            raise ChangedError(f"{self.location} was changed by somebody else")
        # A deleted folder is not created again: its lock file, by which processes exclude each other, is gone with it.
        with atomic_write(self._run / DOCUMENT, opener=private_opener, make_folder=False) as file:
            file.write(data)
        return hashlib.sha256(data).hexdigest()

    def append_answers(self, name: str, data: bytes) -> None:
        # An owner appends to one file. `name` ends in a number for S3, which cannot append.
        owner = name.split("-", 1)[0]
        if owner not in self._files:
            path = self._run / ANSWERS / f"{owner}.jsonl"
            self._files[owner] = private_opener(str(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        _append_whole(self._files[owner], data)

    def answers(self, *, merge: bool = True) -> Iterator[tuple[str, bytes]]:  # noqa: ARG002 - these files are large
        for path in sorted((self._run / ANSWERS).glob("*.jsonl")):
            yield str(path), path.read_bytes()

    def read_file(self, name: str) -> bytes | None:
        try:
            return (self._run / name).read_bytes()
        except FileNotFoundError:
            return None

    def write_file(self, name: str, data: bytes) -> None:
        with atomic_write(self._run / name, opener=private_opener, make_folder=False) as file:
            file.write(data)

    def read_note(self, name: str) -> bytes | None:
        with suppress(OSError):
            return (self._root / name).read_bytes()
        return None

    def write_note(self, name: str, data: bytes) -> None:
        with suppress(OSError), open(self._root / name, "wb", opener=private_opener) as file:
            file.write(data)


def _append_whole(file: int, data: bytes) -> None:
    """Append to a file, or leave it as it was: the next line must not follow half a line that a full disk cut."""
    end = os.fstat(file).st_size
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError:
        os.ftruncate(file, end)
        raise
