"""The fence before everything that is paid for: only the process that holds the run passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bedrock_batch.errors import RunError

# After this share of a lease without a successful write, another process may soon take the run: prove it again.
OVERDUE_SHARE = 2 / 3
# How often a proof is repeated if writing it takes too long.
PROOFS = 10


def is_overdue(now: Sequence[float], last: Sequence[float], lease: float) -> bool:
    """Return whether on any clock so much of the lease has passed since `last` that the run must be proved again."""
    return any(present - past >= OVERDUE_SHARE * lease for present, past in zip(now, last, strict=True))


class Fence:
    """Lets a caller pass while this process holds the run, and raises RunError once it does not.

    `prove` writes the ledger on the condition that no other process has written it, and raises RunError otherwise or if
    that is unknown. A lease of None says that no other process can take the run while this process lives; `prove` is
    then called each time and must be cheap.

    `clocks` are read before each write. A monotonic clock is not enough, since it stops on a suspended machine. Another
    process may take the run once it has seen no write for a whole lease. A process that is frozen between this check
    and its request therefore pays for that one request.
    """

    def __init__(self, prove: Callable[[], object], clocks: Sequence[Callable[[], float]], lease: float | None) -> None:
        self._prove = prove
        self._clocks = clocks
        self._lease = lease
        self._last: tuple[float, ...] | None = None
        self._closed = False

    def close(self) -> None:
        """Let nothing pass from now on: this process gives the run up."""
        self._closed = True

    def read_clocks(self) -> tuple[float, ...]:
        """Return the readings of the clocks, to pass to `held_since` after a successful write."""
        return tuple(clock() for clock in self._clocks)

    def held_since(self, readings: tuple[float, ...]) -> None:
        """Note that a write that began at these readings has proved that this process holds the run."""
        self._last = readings

    def is_proved(self) -> bool:
        """Return whether the last successful write is so recent that no other process can hold the run."""
        if self._closed or self._lease is None or self._last is None:
            return False
        return not is_overdue(self.read_clocks(), self._last, self._lease)

    def check(self) -> bool:
        """Return once this process is known to hold the run: False if that took a write of the ledger, else True.

        RunError if the run was taken over, or if that is uncertain.
        """
        if self._lease is None:
            self._prove()
            return True
        for proofs in range(PROOFS):
            if self.is_proved():
                return proofs == 0
            self._prove()  # the process may be frozen during this write, so the loop looks at the clocks again
        if not self.is_proved():
            raise RunError(
                f"each of {PROOFS} writes of the ledger took longer than {OVERDUE_SHARE * self._lease:.0f} s, so that "
                "another process may work on the run by now: start the step again, with a higher "
                "BEDROCK_BATCH_LEASE_SECONDS if this happens often"
            )
        return False
