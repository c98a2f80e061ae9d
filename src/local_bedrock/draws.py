"""Reproducible random numbers: every draw depends on a seed alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")

_MASK = (1 << 64) - 1


class Draw:
    """A small random number generator (64-bit linear congruential)."""

    __slots__ = ("_state", "depth")

    def __init__(self, seed: int) -> None:
        self.depth = 0
        """Nesting depth of the current sample; the sampler counts it here."""
        self._state = (seed ^ 0x9E3779B97F4A7C15) & _MASK

    @classmethod
    def of(cls, *parts: object) -> Draw:
        """Return a generator that is seeded with the text of `parts`."""
        data = "\0".join(map(str, parts)).encode("utf-8", "surrogatepass")
        return cls(int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big"))

    def below(self, limit: int) -> int:
        """Return an integer from 0 to `limit` - 1."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) & _MASK
        return (self._state >> 24) % limit

    def share(self) -> float:
        """Return a number from 0 (included) to 1 (excluded)."""
        return self.below(1 << 30) / (1 << 30)

    def choice(self, items: Sequence[Item]) -> Item:
        """Return one of `items`."""
        return items[self.below(len(items))]


class Lottery:
    """Assigns to each key at most one outcome. Each outcome gets its share of all keys."""

    __slots__ = ("_bounds", "_seed")

    def __init__(self, shares: Sequence[tuple[str, float]], *seed: object) -> None:
        self._seed = seed
        self._bounds: list[tuple[float, str]] = []
        total = 0.0
        for name, share in shares:
            if share > 0:
                total += share
                self._bounds.append((total, name))

    def draw(self, key: str) -> str | None:
        """Return the outcome of `key`, or None if it has none."""
        if not self._bounds:
            return None
        value = Draw.of(*self._seed, key).share()
        return next((name for bound, name in self._bounds if value < bound), None)
