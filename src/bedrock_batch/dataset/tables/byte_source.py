"""The decompressed bytes of files, read in bounded memory and up to a bounded size."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from bedrock_batch.dataset.tables.formats import is_gzipped
from bedrock_batch.errors import InputError
from bedrock_batch.text import human_bytes

COPY_BYTES = 1 << 20
FREE_BYTES = 256 << 20
MAX_RATIO = 300
"""Text compresses 3 to 50 times, deflate at most 1032 times; a higher ratio beyond `FREE_BYTES` is an attack."""


class ByteSource:
    """The bytes of a file, decompressed if it is gzip; raises InputError for damaged gzip data or an absurd size."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0
        self._gzipped = is_gzipped(path)
        try:
            self._size = path.stat().st_size
            self._file: io.BufferedIOBase = gzip.GzipFile(path, "rb") if self._gzipped else path.open("rb")
        except OSError as error:
            raise InputError(f"{path}: cannot be opened ({error.strerror})") from None

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none only at the end of the file."""
        try:
            data = self._file.read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise InputError(
                f"{self._path}: the gzip data is damaged or cut off after about {human_bytes(self._count)} of content; "
                "copy the file again"
            ) from None
        self._count += len(data)
        if self._gzipped and self._count > max(FREE_BYTES, MAX_RATIO * self._size):
            raise InputError(
                f"{self._path}: {human_bytes(self._size)} of gzip unpack to more than {human_bytes(self._count)}, "
                f"and more than {MAX_RATIO} times its size is refused; unpack the file first if it is genuine"
            )
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextmanager
def open_source(path: Path) -> Iterator[ByteSource]:
    """Open a file for reading its decompressed bytes, and close it afterwards."""
    source = ByteSource(path)
    try:
        yield source
    finally:
        source.close()


def unpack(path: Path) -> pa.NativeFile:
    """Return the decompressed content of a gzip file as a temporary file with random access.

    The file has no name in the file system, so that nothing remains when the process dies.
    """
    handle, name = tempfile.mkstemp(prefix="bedrock-batch-")
    try:
        with os.fdopen(handle, "wb") as target, open_source(path) as source:
            while data := source.read(COPY_BYTES):
                target.write(data)
        return pa.OSFile(name)
    finally:
        os.unlink(name)
