"""The step in a simulated world, seed by seed: whatever goes wrong, no row is lost, wrong or paid for twice.

SIMULATION_SEED=93 python -m pytest -s tests/faults/test_simulation.py     one seed, with all that happened in it
SIMULATION_SEEDS=5000 python -m pytest -n 4 tests/faults/test_simulation.py     more seeds than usual
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.simulation.replay import how_to_replay, tell
from faults.simulation.shapes import CheckedClient
from faults.simulation.simulation import simulate
from helpers.botocore_models import CONDITIONAL_WRITES, RECORD_COUNTS

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "300"))
ONE_SEED = os.environ.get("SIMULATION_SEED")
# The number of seeds in one test, small enough to spread the tests evenly over the workers.
IN_ONE_TEST = 25
KEPT = Path(__file__).with_name("simulation") / "regression_seeds.txt"
usual = pytest.mark.skipif(ONE_SEED is not None, reason="SIMULATION_SEED asks for one seed alone")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder, in memory if the system has one, because a simulation writes many small files."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as path:
        yield Path(path)


def kept_seeds() -> list[int]:
    lines = KEPT.read_text(encoding="utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line.strip() and not line.startswith("#")]


def check(seed: int, folder: Path) -> None:
    problems = simulate(seed, folder).problems
    if problems:
        pytest.fail("\n".join([how_to_replay(seed), *problems]), pytrace=False)


@usual
@pytest.mark.parametrize("first", range(0, SEEDS, IN_ONE_TEST))
def test_whatever_goes_wrong_nothing_is_lost_wrong_or_paid_twice(folder: Path, first: int) -> None:
    """Some order of failures, kills and concurrent processes would lose rows, mix them up, or pay for them twice."""
    for seed in range(first, min(first + IN_ONE_TEST, SEEDS)):
        check(seed, folder)


@usual
@pytest.mark.parametrize("seed", kept_seeds())
def test_what_a_seed_has_found_stays_mended(folder: Path, seed: int) -> None:
    """A fixed fault would come back."""
    check(seed, folder)


@usual
def test_a_seed_is_the_same_simulation_every_time(folder: Path) -> None:
    """A maintainer could not reproduce a failure to fix it."""
    for seed in (1, 2, 3):
        assert simulate(seed, folder).scheduler.trace == simulate(seed, folder).scheduler.trace


@usual
@RECORD_COUNTS
@CONDITIONAL_WRITES
def test_the_simulated_services_speak_as_botocore_describes_them(folder: Path) -> None:
    """The simulated services would differ from AWS, and their results would prove nothing about a run."""
    seen: set[str] = set()
    for seed in range(60):
        simulation = simulate(seed, folder, adapt=lambda client: CheckedClient(client, seen))
        assert not simulation.problems, how_to_replay(seed)
    assert seen == {
        "AbortMultipartUpload",
        "CreateModelInvocationJob",
        "DeleteObject",
        "GetFoundationModel",
        "GetModelInvocationJob",
        "GetObject",
        "HeadObject",
        "InvokeModel",
        "ListModelInvocationJobs",
        "ListMultipartUploads",
        "ListObjectsV2",
        "PutObject",
        "StopModelInvocationJob",
    }


@pytest.mark.skipif(ONE_SEED is None, reason="SIMULATION_SEED names no seed")
def test_one_seed_and_all_that_happens_in_it(folder: Path) -> None:
    """A maintainer could not see the events before a failure."""
    seed = int(ONE_SEED or 0)
    simulation = simulate(seed, folder, keep_history=True)
    print(tell(simulation))
    assert not simulation.problems, "\n".join(simulation.problems)
