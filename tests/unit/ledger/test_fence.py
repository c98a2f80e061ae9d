"""The fence before paid requests, on clocks that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.errors import RunError, TakenOverError
from bedrock_batch.ledger.fence import OVERDUE_SHARE, Fence, is_overdue

LEASE = 60.0


class Machine:
    """Two clocks, as a machine has them, and a ledger that can be written, unreachable, or another process's."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.wall = 1_800_000_000.0
        self.proofs = 0
        self.failure: RunError | None = None
        self.fence = Fence(self.prove, (lambda: self.monotonic, lambda: self.wall), LEASE)
        self.fence.check()

    def prove(self) -> None:
        readings = self.fence.read_clocks()
        self.proofs += 1
        if self.failure is not None:
            raise self.failure
        self.fence.held_since(readings)

    def run_for(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds

    def suspend_for(self, seconds: float) -> None:
        self.wall += seconds


def test_the_first_request_proves_the_claim() -> None:
    """A process frozen right after its claim would ask questions that its successor asks too."""
    assert Machine().proofs == 1


def test_a_young_proof_lets_pass_without_a_write() -> None:
    """Each request would cost a write to S3."""
    machine = Machine()
    for _ in range(100):
        machine.run_for(0.1)
        machine.fence.check()
    assert machine.proofs == 1


@pytest.mark.parametrize("way", ["run_for", "suspend_for"])
def test_a_process_that_slept_for_a_lease_has_to_prove_itself(way: str) -> None:
    """A frozen process or a suspended machine would wake up and go on paying beside its successor."""
    machine = Machine()
    getattr(machine, way)(LEASE)
    machine.failure = TakenOverError("taken over")
    with pytest.raises(TakenOverError):
        machine.fence.check()
    machine.failure = None
    machine.fence.check()
    machine.fence.check()
    assert machine.proofs == 3


def test_a_process_that_is_frozen_while_it_proves_itself_has_to_do_so_again() -> None:
    """A write that returns hours later would let a process ask a question that its successor asks, too."""
    machine = Machine()
    machine.run_for(LEASE)
    proofs = machine.proofs

    def prove_slowly() -> None:
        readings = machine.fence.read_clocks()
        machine.proofs += 1
        if machine.proofs == proofs + 1:
            machine.run_for(10 * LEASE)
        elif machine.failure is not None:
            raise machine.failure
        machine.fence.held_since(readings)

    machine.fence = Fence(prove_slowly, (lambda: machine.monotonic, lambda: machine.wall), LEASE)
    machine.failure = TakenOverError("taken over")
    with pytest.raises(TakenOverError):
        machine.fence.check()


def test_a_ledger_that_is_always_written_too_slowly_ends_the_run() -> None:
    """The step would write its ledger for ever, and ask nothing."""
    machine = Machine()
    slow = Fence(lambda: machine.run_for(LEASE), (lambda: machine.monotonic,), LEASE)
    with pytest.raises(RunError, match="BEDROCK_BATCH_LEASE_SECONDS"):
        slow.check()


def test_beats_that_fail_for_less_than_the_lease_let_pass() -> None:
    """S3 that answers 503 for some seconds would end the run."""
    machine = Machine()
    machine.failure = RunError("S3 is busy")
    machine.run_for(LEASE * OVERDUE_SHARE - 1)
    machine.fence.check()
    machine.run_for(2)
    with pytest.raises(RunError, match="S3 is busy"):
        machine.fence.check()


def test_a_wall_clock_that_is_set_back_does_not_open_the_fence() -> None:
    """An adjusted clock would hide that the lease has passed."""
    machine = Machine()
    machine.run_for(LEASE)
    machine.wall -= 10 * LEASE
    machine.fence.check()
    assert machine.proofs == 2


@given(st.lists(st.tuples(st.floats(0, 200), st.floats(0, 200)), min_size=1), st.floats(0.1, 100))
def test_overdue_is_what_any_clock_says(clocks: list[tuple[float, float]], lease: float) -> None:
    """One clock that stands still would be enough to pay twice."""
    now, last = zip(*clocks, strict=True)
    assert is_overdue(now, last, lease) == any(is_overdue((n,), (p,), lease) for n, p in clocks)
