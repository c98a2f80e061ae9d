"""The interface of a stored ledger; `s3_store` and `local_store` implement it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

DOCUMENT = "ledger.json"
ANSWERS = "answers"


class ChangedError(Exception):
    """Another process has written the document since it was read."""


class MissingError(Exception):
    """The document that was read no longer exists."""


class LedgerStore(Protocol):
    """The stored ledger of one run.

    `location` names the document. `is_exclusive` says that no other process can hold what `claim` has claimed;
    otherwise the death of an owner must be observed.
    """

    location: str
    is_exclusive: bool

    def claim(self) -> None:
        """Lock the ledger for this process if the store has locks; RunError if another process holds the lock."""

    def release(self) -> None:
        """Release the lock."""

    def holds(self) -> bool:
        """Return whether this process still holds the lock; True if the store has no locks."""

    def read(self) -> tuple[bytes, str] | None:
        """Return the document and the tag of its version, or None if there is no document."""

    def write(self, data: bytes, tag: str | None) -> str:
        """Replace the version with `tag`, or create the document if `tag` is None, and return the new tag.

        ChangedError if another version is stored, MissingError if none is.
        """

    def append_answers(self, name: str, data: bytes) -> None:
        """Store some answers durably before returning."""

    def answers(self, *, merge: bool = True) -> Iterator[tuple[str, bytes]]:
        """Yield everything that `append_answers` stored, as pairs of location and bytes.

        With `merge`, the store may merge what it reads for the next start.
        """

    def read_file(self, name: str) -> bytes | None:
        """Return a file of the run, or None if it was not written."""

    def write_file(self, name: str, data: bytes) -> None:
        """Write a file of the run durably before returning."""

    def read_note(self, name: str) -> bytes | None:
        """Return a small file that lies beside the runs, or None."""

    def write_note(self, name: str, data: bytes) -> None:
        """Write a small file beside the runs; a failure is ignored, since nothing depends on it."""
