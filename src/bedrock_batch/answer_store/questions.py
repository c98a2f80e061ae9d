"""The questions of a run: a digest for each prompt, told apart where a run asks one prompt several times."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

DIGEST_BYTES = 16
# A digest as two numbers, which numpy sorts and compares much faster than bytes.
DIGEST = np.dtype([("high", ">u8"), ("low", ">u8")])
Digests = npt.NDArray[np.void]
# So many keys, and a quarter of those that are sorted, are counted before they are merged with these.
_MOST_UNMERGED = 4096


class QuestionLog:
    """The questions of a run in the order in which their prompts are rendered; memory holds 24 bytes for each.

    One thread adds prompts. The others may be called from any thread.
    """

    def __init__(self) -> None:
        self._rendered = bytearray()  # the digests of prompts that are not told apart yet
        self._told_apart = bytearray()
        self._repeats = _RepeatCounter()
        self._lock = threading.Lock()
        self._snapshot = np.empty(0, DIGEST)

    def __len__(self) -> int:
        with self._lock:
            return (len(self._rendered) + len(self._told_apart)) // DIGEST_BYTES

    def add(self, prompt: str) -> None:
        """Take the next prompt."""
        encoded = prompt.encode("utf-8", "surrogatepass")
        self._rendered += hashlib.blake2b(encoded, digest_size=DIGEST_BYTES).digest()

    @property
    def digests(self) -> Digests:
        """The digest of each question so far.

        The n-th of several equal prompts is a question of its own, so that a run that samples one prompt several times
        gets several answers.
        """
        with self._lock:
            self._tell_apart()
            if len(self._snapshot) * DIGEST_BYTES != len(self._told_apart):
                self._snapshot = np.frombuffer(bytes(self._told_apart), dtype=DIGEST)
            return self._snapshot

    def digest_of(self, number: int) -> Digests:
        """Return the digest of one question, as an array of one, while further questions come."""
        start = number * DIGEST_BYTES
        with self._lock:
            if start >= len(self._told_apart):
                self._tell_apart()
            return np.frombuffer(bytes(self._told_apart[start : start + DIGEST_BYTES]), dtype=DIGEST)

    def _tell_apart(self) -> None:
        if not self._rendered:
            return
        data = bytes(self._rendered)
        digests = np.frombuffer(data, dtype=DIGEST)
        occurrences = self._repeats.count(digests["high"].astype(np.uint64))
        repeats = np.flatnonzero(occurrences)
        if len(repeats):
            digests = digests.copy()
            digests[repeats] = _derive(digests[repeats], occurrences[repeats], b"repeat")
            data = digests.tobytes()
        self._told_apart += data
        del self._rendered[: len(data)]


class _RepeatCounter:
    """Counts how often each of a growing number of keys has come before; memory holds 8 bytes for each key."""

    def __init__(self) -> None:
        self._merged = np.empty(0, np.uint64)
        self._recent = np.empty(0, np.uint64)

    def count(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Return how often each of the next keys has come before it."""
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        occurrences = np.empty(len(keys), np.int64)
        occurrences[order] = np.arange(len(keys)) - np.searchsorted(ordered, ordered)
        for known in (self._merged, self._recent):
            if len(known):
                occurrences += np.searchsorted(known, keys, "right") - np.searchsorted(known, keys)
        self._recent = _merge(self._recent, ordered)
        if len(self._recent) > max(_MOST_UNMERGED, len(self._merged) // 4):
            self._merged, self._recent = _merge(self._merged, self._recent), np.empty(0, np.uint64)
        return occurrences


def _merge(known: npt.NDArray[np.uint64], more: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return two sorted arrays as one; a stable sort takes linear time for that."""
    return np.sort(np.concatenate([known, more]), kind="stable") if len(known) else more


def digest_prompts(prompts: Iterable[str]) -> Digests:
    """Return the digest of each prompt of a run, in order: see `QuestionLog`."""
    questions = QuestionLog()
    for prompt in prompts:
        questions.add(prompt)
    return questions.digests


def digest_attempts(digests: Digests, attempt: int) -> Digests:
    """Return the digests under which the answers of the validation retry number `attempt` (from 1) are kept."""
    return _derive(digests, np.full(len(digests), attempt), b"retry")


def _derive(digests: Digests, numbers: npt.NDArray[np.int64], purpose: bytes) -> Digests:
    blake2b = hashlib.blake2b
    data = bytearray()
    for digest, number in zip(digests, numbers.tolist(), strict=True):
        text = b"%s %s %d" % (purpose, digest.tobytes(), number)
        data += blake2b(text, digest_size=DIGEST_BYTES).digest()
    return np.frombuffer(data, dtype=DIGEST)
