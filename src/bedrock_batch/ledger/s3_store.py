"""A ledger in S3, below the batch input path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from bedrock_batch.aws.calls.advice import hopeless_error, reach_advice
from bedrock_batch.aws.calls.error_codes import OUT_OF_REACH, ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.calls.retries import RetryPolicy, call
from bedrock_batch.aws.s3 import ObjectChangedError, ObjectExistsError, S3Storage, join_uri
from bedrock_batch.errors import RunError
from bedrock_batch.ledger.store import ANSWERS, DOCUMENT, ChangedError, MissingError

T = TypeVar("T")
STORE_ATTEMPTS = 6
# Stored answers are read by this many threads, and at most this many objects ahead of the consumer.
READERS = 16
READ_AHEAD = 64
# More than this many objects are merged into objects of about this many answers or bytes.
MERGE_FROM = 64
MERGED_ANSWERS = 1000
MERGED_BYTES = 8 << 20
MERGED = "merged-"


class S3LedgerStore:
    """A ledger under an S3 prefix; every change of the document is a conditional write."""

    is_exclusive = False

    def __init__(self, storage: S3Storage, root_uri: str, run_id: str, sleep: Callable[[float], object]) -> None:
        self._storage = storage
        self._root = root_uri
        self._run = join_uri(root_uri, run_id)
        self._sleep = sleep
        self.location = join_uri(self._run, DOCUMENT)

    def claim(self) -> None:
        """Do nothing: S3 has no locks."""

    def release(self) -> None:
        """Do nothing: no lock is held."""

    def holds(self) -> bool:
        """Return True: only a conditional write can tell."""
        return True

    def read(self) -> tuple[bytes, str] | None:
        try:
            stored = self._try(lambda: self._storage.get(self.location))
        except AwsError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                return None
            raise _unusable(self.location, error) from error
        return stored.data, stored.etag

    def write(self, data: bytes, tag: str | None) -> str:
        try:
            if tag is None:
                return self._try(lambda: self._storage.put_bytes(self.location, data, if_none_match=True))
            return self._try(lambda: self._storage.replace_bytes(self.location, data, tag))
        except (ObjectExistsError, ObjectChangedError) as error:
            # The response to an earlier try may have been lost, so the stored version may be our own write.
            stored = self.read()
            if stored is not None and stored[0] == data:
                return stored[1]
            if stored is None and tag is not None:
                raise MissingError(f"{self.location} no longer exists") from error
            raise ChangedError(str(error)) from error
        except AwsError as error:
            raise _unusable(self.location, error) from error

    def append_answers(self, name: str, data: bytes) -> None:
        uri = join_uri(self._run, ANSWERS, name)
        try:
            self._try(lambda: self._storage.put_bytes(uri, data, content_type="application/jsonl"))
        except AwsError as error:
            raise _unusable(uri, error) from error

    def answers(self, *, merge: bool = True) -> Iterator[tuple[str, bytes]]:
        """Yield the stored answers; with `merge`, merge many small objects into few large ones for the next start."""
        try:
            yield from self._answers(merge)
        except AwsError as error:
            raise _unusable(self._run, error) from error

    def _answers(self, merge: bool) -> Iterator[tuple[str, bytes]]:
        uris = [item.uri for item in self._storage.list_objects(join_uri(self._run, ANSWERS) + "/")]
        merged = [uri for uri in uris if MERGED in uri.rsplit("/", 1)[-1]]
        covered: set[str] = set(merged)
        for uri, data in self._read_all(merged):
            names, answers = split_merged(data)
            covered.update(join_uri(self._run, ANSWERS, name) for name in names)
            yield uri, answers
        rest = [uri for uri in uris if uri not in covered]
        merger = AnswerMerger(self._keep_merged) if merge and len(rest) > MERGE_FROM else None
        for uri, data in self._read_all(rest):
            yield uri, data
            if merger is not None:
                merger.add(uri, data)
        if merger is not None:
            merger.flush()

    def _read_all(self, uris: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the contents of objects in their order; many objects are read by several threads."""
        if len(uris) <= READERS:
            yield from ((uri, self._read_answers(uri)) for uri in uris)
            return
        with ThreadPoolExecutor(READERS, thread_name_prefix="answers") as pool:
            for start in range(0, len(uris), READ_AHEAD):
                part = uris[start : start + READ_AHEAD]
                yield from zip(part, pool.map(self._read_answers, part), strict=True)

    def _read_answers(self, uri: str) -> bytes:
        return self._try(lambda: self._storage.get_bytes(uri))

    def _keep_merged(self, uris: Sequence[str], data: bytes) -> None:
        """Store the content of some objects in one that names them, so that they need not be read again.

        The small objects stay, since the role of a run has no right to delete. A failure only costs time at the next
        start.
        """
        names = [uri.rsplit("/", 1)[-1] for uri in uris]
        content = json.dumps({"merged": names}).encode("ascii") + b"\n" + data
        name = f"{MERGED}{hashlib.sha256(content).hexdigest()[:32]}.jsonl"
        with suppress(AwsError):
            self._storage.put_bytes(join_uri(self._run, ANSWERS, name), content, content_type="application/jsonl")

    def read_file(self, name: str) -> bytes | None:
        uri = join_uri(self._run, name)
        try:
            return self._try(lambda: self._storage.get_bytes(uri))
        except AwsError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                return None
            raise _unusable(uri, error) from error

    def write_file(self, name: str, data: bytes) -> None:
        uri = join_uri(self._run, name)
        try:
            self._try(lambda: self._storage.put_bytes(uri, data))
        except AwsError as error:
            raise _unusable(uri, error) from error

    def read_note(self, name: str) -> bytes | None:
        with suppress(AwsError):
            return self._storage.get_bytes(join_uri(self._root, name))
        return None

    def write_note(self, name: str, data: bytes) -> None:
        with suppress(AwsError):
            self._storage.put_bytes(join_uri(self._root, name), data, content_type="application/json")

    def _try(self, function: Callable[[], T]) -> T:
        return call(function, RetryPolicy(STORE_ATTEMPTS, sleep=self._sleep))


class AnswerMerger:
    """Collects small objects until they make one of about a thousand answers, and passes them to `keep`."""

    def __init__(self, keep: Callable[[Sequence[str], bytes], None]) -> None:
        self._keep = keep
        self._uris: list[str] = []
        self._parts: list[bytes] = []
        self._lines = 0

    def add(self, uri: str, data: bytes) -> None:
        """Add an object; one that is large enough stays as it is."""
        lines = data.count(b"\n")
        if lines >= MERGED_ANSWERS or len(data) >= MERGED_BYTES or not data.endswith(b"\n"):
            self.flush()
            return
        self._uris.append(uri)
        self._parts.append(data)
        self._lines += lines
        if self._lines >= MERGED_ANSWERS or sum(map(len, self._parts)) >= MERGED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Pass on what was collected."""
        if len(self._uris) > 1:
            self._keep(self._uris, b"".join(self._parts))
        self._uris, self._parts, self._lines = [], [], 0


def split_merged(data: bytes) -> tuple[list[str], bytes]:
    """Return the names of the objects that a merged object covers, and its answers.

    Without a first line that names them, the object covers none and consists of answers alone.
    """
    head, _, answers = data.partition(b"\n")
    try:
        names = json.loads(head)["merged"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return [], data
    return [str(name) for name in names] if isinstance(names, list) else [], answers


def _unusable(uri: str, error: AwsError) -> RunError:
    if error.kind.hopeless:
        return hopeless_error(error)
    check = f". Check {reach_advice(error)}" if error.kind in OUT_OF_REACH else ""
    return RunError(f"the ledger at {uri} cannot be used ({error}){check}: start the step again with the same inputs")
