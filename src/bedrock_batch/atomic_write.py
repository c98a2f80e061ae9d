"""Files that appear complete or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

Opener = Callable[[str, int], int]
"""Opens a path with flags and returns a file descriptor, as `open` takes it."""


@contextmanager
def atomic_write(path: Path, *, opener: Opener | None = None, make_folder: bool = True) -> Iterator[BinaryIO]:
    """Open a file for writing that appears at `path`, complete and on disk, when the block ends without an error.

    Until then the data are in a hidden file of the same folder, which an error removes. `opener` creates that file.
    BlockingIOError if another process is writing the same file.
    """
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    _remove_abandoned(partial)
    file = open(partial, "xb", opener=opener)  # noqa: SIM115 - closed below, also on a full disk
    own = os.fstat(file.fileno())
    try:
        _lock(file.fileno(), partial)
        yield file
        file.flush()
        os.fsync(file.fileno())
        if not _is_still(partial, own):
            raise _taken(partial)
        partial.replace(path)
    finally:
        try:
            file.close()  # fails again on a full disk
        finally:
            if _is_still(partial, own):
                partial.unlink(missing_ok=True)


def _remove_abandoned(partial: Path) -> None:
    """Remove the file that a killed run left, or a link in its place; BlockingIOError if a process is writing it."""
    try:
        descriptor = os.open(partial, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # there is none, or it is a link that leads elsewhere
        partial.unlink(missing_ok=True)
        return
    try:
        _lock(descriptor, partial)
        partial.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, partial: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _taken(partial) from None
    except OSError:  # a file system without locks
        return


def _is_still(partial: Path, own: os.stat_result) -> bool:
    try:
        return os.path.samestat(partial.lstat(), own)
    except FileNotFoundError:
        return False


def _taken(partial: Path) -> BlockingIOError:
    return BlockingIOError(errno.EWOULDBLOCK, "another process writes this file", str(partial))
