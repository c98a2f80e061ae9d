"""Where an answer store lies: below an S3 path, or in a local folder."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bedrock_batch.atomic_write import atomic_write
from bedrock_batch.aws.calls.advice import hopeless_error, reach_advice
from bedrock_batch.aws.calls.error_codes import OUT_OF_REACH, ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.calls.retries import RetryPolicy, call
from bedrock_batch.aws.s3 import S3Storage, join_uri
from bedrock_batch.environment.private_files import make_private_folder, private_opener
from bedrock_batch.errors import RunError

T = TypeVar("T")
FOLDER = "answers"
ATTEMPTS = 6
# Segments up to this size are read by one request; of larger ones, only the parts that are needed.
WHOLE_BYTES = 4 << 20
_READ_AHEAD = 1 << 20


class VanishedError(RunError):
    """A file is gone: another process has merged it into a larger one, or somebody has deleted it."""


class Place(Protocol):
    """The files of an answer store, in a folder for each frame.

    `location` names the place in messages. Files are written once and never changed. Failures are RunErrors; reading a
    file that does not exist is a VanishedError.
    """

    location: str

    def files(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield the name and the size in bytes of each file of a folder; nothing if there is no such folder."""

    def read(self, folder: str, name: str) -> bytes:
        """Return the content of a small file."""

    def open(self, folder: str, name: str, size: int) -> Any:
        """Return a file object for random access, which the caller closes."""

    def write(self, folder: str, name: str, data: bytes) -> None:
        """Write a file durably; the file appears when it is complete."""

    def everything(self) -> Iterator[tuple[str, str, int]]:
        """Yield the folder, the name and the size in bytes of every file of the place."""

    def delete(self, folder: str, name: str) -> None:
        """Delete a file; do nothing if it does not exist."""

    def where(self, folder: str, name: str) -> str:
        """Return the location of a file, for messages."""


class EmptyPlace:
    """An answer store that holds nothing and keeps nothing, for a run whose settings disable the store."""

    location = "disabled"

    def files(self, folder: str) -> Iterator[tuple[str, int]]:  # noqa: ARG002 - there is no folder
        return iter(())

    def read(self, folder: str, name: str) -> bytes:
        raise FileNotFoundError(self.where(folder, name))

    def open(self, folder: str, name: str, size: int) -> Any:  # noqa: ARG002 - there is no file
        return io.BytesIO(self.read(folder, name))

    def write(self, folder: str, name: str, data: bytes) -> None:
        """Keep nothing."""

    def everything(self) -> Iterator[tuple[str, str, int]]:
        return iter(())

    def delete(self, folder: str, name: str) -> None:
        """Do nothing: there is no file."""

    def where(self, folder: str, name: str) -> str:
        return f"{folder}/{name}"


class LocalPlace:
    """An answer store in a local folder."""

    def __init__(self, root: Path) -> None:
        self._root = root / FOLDER
        self.location = str(self._root)

    def files(self, folder: str) -> Iterator[tuple[str, int]]:
        path = self._path(folder)
        with _reporting(path):
            found = sorted(path.iterdir()) if path.is_dir() else []
            # A hidden file is the beginning of a file that a killed process was writing.
            sizes = [(each.name, _size(each)) for each in found if not each.name.startswith(".")]
        yield from ((name, size) for name, size in sizes if size is not None)

    def read(self, folder: str, name: str) -> bytes:
        with _reporting(self._path(folder) / name):
            return (self._path(folder) / name).read_bytes()

    def open(self, folder: str, name: str, size: int) -> Any:  # noqa: ARG002 - a file on disk needs no size
        with _reporting(self._path(folder) / name):
            return (self._path(folder) / name).open("rb")

    def write(self, folder: str, name: str, data: bytes) -> None:
        path = self._path(folder)
        with _reporting(path / name):
            for each in (self._root, path.parent, path):
                make_private_folder(each)
            with atomic_write(path / name, opener=private_opener) as file:
                file.write(data)

    def everything(self) -> Iterator[tuple[str, str, int]]:
        with _reporting(self._root):
            found = [path for path in sorted(self._root.rglob("*")) if path.is_file()]
            sizes = [_size(path) for path in found]
        for path, size in zip(found, sizes, strict=True):
            if size is not None:
                yield path.parent.relative_to(self._root).as_posix(), path.name, size

    def delete(self, folder: str, name: str) -> None:
        with _reporting(self._path(folder) / name):
            (self._path(folder) / name).unlink(missing_ok=True)

    def where(self, folder: str, name: str) -> str:
        return str(self._path(folder) / name)

    def _path(self, folder: str) -> Path:
        return self._root / folder


class S3Place:
    """An answer store below an S3 path."""

    def __init__(
        self, storage: S3Storage, root_uri: str, sleep: Callable[[float], object], attempts: int = ATTEMPTS
    ) -> None:
        self._storage = storage
        self._policy = RetryPolicy(attempts, sleep=sleep)
        self.location = join_uri(root_uri, FOLDER)

    def files(self, folder: str) -> Iterator[tuple[str, int]]:
        prefix = self.where(folder, "") + "/"
        found = self._try(lambda: list(self._storage.list_objects(prefix)), prefix)
        yield from ((item.uri[len(prefix) :], item.size) for item in found if item.uri != prefix)

    def read(self, folder: str, name: str) -> bytes:
        uri = self.where(folder, name)
        return self._try(lambda: self._storage.get_bytes(uri), uri)

    def open(self, folder: str, name: str, size: int) -> Any:
        if size <= WHOLE_BYTES:
            return io.BytesIO(self.read(folder, name))
        uri = self.where(folder, name)

        def read(start: int, count: int) -> bytes:
            return self._try(lambda: self._storage.get_range(uri, start, count), uri)

        return io.BufferedReader(RangeFile(read, size), _READ_AHEAD)

    def write(self, folder: str, name: str, data: bytes) -> None:
        uri = self.where(folder, name)
        self._try(lambda: self._storage.put_bytes(uri, data), uri)

    def everything(self) -> Iterator[tuple[str, str, int]]:
        prefix = self.location + "/"
        for item in self._try(lambda: list(self._storage.list_objects(prefix)), prefix):
            folder, _, name = item.uri[len(prefix) :].rpartition("/")
            yield folder, name, item.size

    def delete(self, folder: str, name: str) -> None:
        uri = self.where(folder, name)
        self._try(lambda: self._storage.delete(uri), uri)

    def where(self, folder: str, name: str) -> str:
        return join_uri(self.location, folder, *([name] if name else []))

    def _try(self, function: Callable[[], T], uri: str) -> T:
        try:
            return call(function, self._policy)
        except AwsError as error:
            raise _unusable(uri, error) from error


class RangeFile(io.RawIOBase):
    """A read-only file whose parts are fetched by `read_range(start, count)` when they are read."""

    def __init__(self, read_range: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self._read_range = read_range
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._size - self._position)
        if count <= 0:
            return 0
        data = self._read_range(self._position, count)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _size(path: Path) -> int | None:
    """Return the size of a file, None if another process has just deleted it."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


@contextmanager
def _reporting(path: Path) -> Iterator[None]:
    """Raise the failures of the file system as RunError."""
    try:
        yield
    except FileNotFoundError as error:
        raise _vanished(str(path)) from error
    except OSError as error:
        raise RunError(
            f"the answer store cannot be used: {path}: {error.strerror or error}. Mend that, or go on without the "
            "store, which pays again for what it holds, with BEDROCK_ANSWER_REUSE=false"
        ) from error


def _vanished(location: str) -> VanishedError:
    return VanishedError(f"the answer store has lost {location} while this run read it: start the step again")


def _unusable(uri: str, error: AwsError) -> RunError:
    if error.kind.hopeless:
        reason = hopeless_error(error)
        return type(reason)(
            f"the answer store cannot be used at {uri}: {reason}. To go on without the store, which pays again for "
            "what it holds, set BEDROCK_ANSWER_REUSE=false"
        )
    if error.kind is ErrorKind.NOT_FOUND:
        return _vanished(uri)
    check = f". Check {reach_advice(error)}" if error.kind in OUT_OF_REACH else ""
    return RunError(
        f"the answer store cannot be used at {uri} ({error}){check}: start the step again, or go on without the store, "
        "which pays again for what it holds, with BEDROCK_ANSWER_REUSE=false"
    )
