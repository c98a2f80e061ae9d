"""Where ledgers are kept: under the batch input path in S3, or in a folder of the processing directory."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

from bedrock_batch.aws.retries import AwsError, ErrorKind, call, hopeless_error
from bedrock_batch.aws.s3 import ObjectChangedError, ObjectExistsError, S3Storage, join_uri
from bedrock_batch.errors import RunError

T = TypeVar("T")
DOCUMENT = "ledger.json"
ANSWERS = "answers"
STORE_ATTEMPTS = 6


class ChangedError(Exception):
    """Somebody else wrote the document since it was read."""


class LedgerStore(Protocol):
    """One run's ledger in some place.

    `sure` tells that nobody else can hold what `claim` has claimed; without it, an owner's death must be observed.
    """

    where: str
    sure: bool

    def claim(self) -> None:
        """Take the place for this process as far as it can be locked; RunError when another process holds it."""

    def release(self) -> None:
        """Give the place back."""

    def read(self) -> tuple[bytes, str] | None:
        """Return the document and its tag, or None where there is none."""

    def write(self, data: bytes, tag: str | None) -> str:
        """Write the document over the version of `tag` (None: where there is none); ChangedError otherwise."""

    def append_answers(self, name: str, data: bytes) -> None:
        """Keep some answers; they are safe when this returns."""

    def answers(self) -> Iterator[bytes]:
        """Yield everything that `append_answers` kept."""

    def read_note(self, name: str) -> bytes | None:
        """Return a small file beside the runs, or None."""

    def write_note(self, name: str, data: bytes) -> None:
        """Write a small file beside the runs."""


class S3LedgerStore:
    """A ledger under an S3 prefix; every change of the document is a conditional write."""

    sure = False

    def __init__(self, storage: S3Storage, root_uri: str, run_id: str, sleep: Callable[[float], object]) -> None:
        self._storage = storage
        self._root = root_uri
        self._run = join_uri(root_uri, run_id)
        self._sleep = sleep
        self.where = join_uri(self._run, DOCUMENT)

    def claim(self) -> None:
        """S3 has no locks: see `LedgerStore.sure`."""

    def release(self) -> None:
        """Nothing is held."""

    def read(self) -> tuple[bytes, str] | None:
        try:
            stored = self._try(lambda: self._storage.get(self.where))
        except AwsError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                return None
            raise _unusable(self.where, error) from error
        return stored.data, stored.etag

    def write(self, data: bytes, tag: str | None) -> str:
        try:
            if tag is None:
                return self._try(lambda: self._storage.put_bytes(self.where, data, if_none_match=True))
            return self._try(lambda: self._storage.replace_bytes(self.where, data, tag))
        except (ObjectExistsError, ObjectChangedError) as error:
            # A write whose response was lost meets itself when it is repeated.
            stored = self.read()
            if stored is not None and stored[0] == data:
                return stored[1]
            raise ChangedError(str(error)) from error
        except AwsError as error:
            raise _unusable(self.where, error) from error

    def append_answers(self, name: str, data: bytes) -> None:
        uri = join_uri(self._run, ANSWERS, name)
        try:
            self._try(lambda: self._storage.put_bytes(uri, data, content_type="application/jsonl"))
        except AwsError as error:
            raise _unusable(uri, error) from error

    def answers(self) -> Iterator[bytes]:
        try:
            for item in self._storage.list_objects(join_uri(self._run, ANSWERS) + "/"):
                yield self._try(lambda uri=item.uri: self._storage.get_bytes(uri))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        except AwsError as error:
            raise _unusable(self._run, error) from error

    def read_note(self, name: str) -> bytes | None:
        with suppress(AwsError):  # a note explains, and nothing depends on it
            return self._storage.get_bytes(join_uri(self._root, name))
        return None

    def write_note(self, name: str, data: bytes) -> None:
        with suppress(AwsError):
            self._storage.put_bytes(join_uri(self._root, name), data, content_type="application/json")

    def _try(self, function: Callable[[], T]) -> T:
        return call(function, attempts=STORE_ATTEMPTS, sleep=self._sleep)


def _unusable(uri: str, error: AwsError) -> RunError:
    if error.kind.hopeless:
        return hopeless_error(error)
    return RunError(f"the ledger at {uri} cannot be used ({error}): start the step again with the same inputs")


class LocalLedgerStore:
    """A ledger in a folder, held by a file lock that ends with its process."""

    sure = True

    def __init__(self, root: Path, run_id: str) -> None:
        self._root = root
        self._run = root / run_id
        self._lock: int | None = None
        self._files: dict[str, int] = {}
        self.where = str(self._run / DOCUMENT)

    def claim(self) -> None:
        (self._run / ANSWERS).mkdir(parents=True, exist_ok=True)
        lock = os.open(self._run / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise RunError(
                f"another process works on this run, which {self.where} describes: wait until it ends"
            ) from None
        self._lock = lock

    def release(self) -> None:
        for file in [*self._files.values(), *([] if self._lock is None else [self._lock])]:
            os.close(file)
        self._files, self._lock = {}, None

    def read(self) -> tuple[bytes, str] | None:
        try:
            data = Path(self.where).read_bytes()
        except FileNotFoundError:
            return None
        return data, hashlib.sha256(data).hexdigest()

    def write(self, data: bytes, tag: str | None) -> str:
        known = self.read()
        if (known[1] if known else None) != tag:
            raise ChangedError(f"{self.where} was changed by somebody else")
        temporary = self._run / f"{DOCUMENT}.part"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.where)
        return hashlib.sha256(data).hexdigest()

    def append_answers(self, name: str, data: bytes) -> None:
        # One file an owner: `name` ends in a number that only S3, which cannot append, needs.
        owner = name.split("-", 1)[0]
        if owner not in self._files:
            path = self._run / ANSWERS / f"{owner}.jsonl"
            self._files[owner] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        while data:
            data = data[os.write(self._files[owner], data) :]

    def answers(self) -> Iterator[bytes]:
        for path in sorted((self._run / ANSWERS).glob("*.jsonl")):
            yield path.read_bytes()

    def read_note(self, name: str) -> bytes | None:
        with suppress(OSError):
            return (self._root / name).read_bytes()
        return None

    def write_note(self, name: str, data: bytes) -> None:
        with suppress(OSError):
            (self._root / name).write_bytes(data)
