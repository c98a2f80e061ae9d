"""The questions of a run: a digest for each prompt, told apart where a run asks one prompt several times."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

DIGEST_BYTES = 16
# A digest as two numbers, which numpy sorts and compares much faster than bytes.
DIGEST = np.dtype([("high", ">u8"), ("low", ">u8")])
Digests = npt.NDArray[np.void]


class QuestionLog:
    """The questions of a run in the order in which their prompts are rendered; memory holds 16 bytes for each."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._told_apart = np.empty(0, DIGEST)

    def __len__(self) -> int:
        return len(self._data) // DIGEST_BYTES

    def add(self, prompt: str) -> None:
        """Take the next prompt."""
        encoded = prompt.encode("utf-8", "surrogatepass")
        self._data += hashlib.blake2b(encoded, digest_size=DIGEST_BYTES).digest()

    @property
    def digests(self) -> Digests:
        """The digest of each question so far.

        The n-th of several equal prompts is a question of its own, so that a run that samples one prompt several times
        gets several answers.
        """
        if len(self._told_apart) != len(self):
            self._told_apart = _tell_repeats_apart(np.frombuffer(bytes(self._data), dtype=DIGEST))
        return self._told_apart


def digest_prompts(prompts: Iterable[str]) -> Digests:
    """Return the digest of each prompt of a run, in order: see `QuestionLog`."""
    questions = QuestionLog()
    for prompt in prompts:
        questions.add(prompt)
    return questions.digests


def digest_attempts(digests: Digests, attempt: int) -> Digests:
    """Return the digests under which the answers of the validation retry number `attempt` (from 1) are kept."""
    return _derive(digests, np.full(len(digests), attempt), b"retry")


def _tell_repeats_apart(digests: Digests) -> Digests:
    order = np.lexsort((digests["low"], digests["high"]))
    ordered = digests[order]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = ordered[1:] != ordered[:-1]
    if begins.all():
        return digests
    positions = np.arange(len(order))
    occurrence = np.empty(len(order), dtype=np.int64)
    occurrence[order] = positions - np.maximum.accumulate(np.where(begins, positions, 0))
    repeats = np.flatnonzero(occurrence)
    told_apart: Digests = digests.copy()
    told_apart[repeats] = _derive(digests[repeats], occurrence[repeats], b"repeat")
    return told_apart


def _derive(digests: Digests, numbers: npt.NDArray[np.int64], purpose: bytes) -> Digests:
    blake2b = hashlib.blake2b
    data = bytearray()
    for digest, number in zip(digests, numbers.tolist(), strict=True):
        text = b"%s %s %d" % (purpose, digest.tobytes(), number)
        data += blake2b(text, digest_size=DIGEST_BYTES).digest()
    return np.frombuffer(data, dtype=DIGEST)
