"""The simulation finds each mutant of the step.

`make mutants` hunts all of them, which takes minutes. These tests check the list and hunt a few that are found soon.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from faults.simulation.mutants import MUTANTS, PACKAGE, Mutant

TESTS = Path(__file__).parents[1]
# One of each kind: takeover, journal, jobs, cost limit.
SOON_NOTICED = (
    "nobody waits to see whether the owner lives",
    "an answer is kept under another row",
    "an ended job is not read again",
    "jobs are looked at too soon",
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_the_text_of_a_mutant_is_in_the_code(mutant: Mutant) -> None:
    """The list would not match the code, and would no longer prove anything."""
    source = (PACKAGE / mutant.file).read_text(encoding="utf-8")
    changed = mutant.apply(source)
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))


def test_there_are_mutants_enough_and_each_has_its_name() -> None:
    """Users would be the first to notice a fault that no mutant represents."""
    assert len(MUTANTS) >= 50
    assert len({str(mutant) for mutant in MUTANTS}) == len(MUTANTS)


def hunt(words: str, seeds: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "faults.simulation.mutant_hunt", "--seeds", str(seeds), *words.split()],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(PACKAGE.parent)])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("words", SOON_NOTICED)
def test_the_simulation_notices_a_mutant(words: str) -> None:
    """A simulation that finds nothing would look like a step without faults."""
    result = hunt(words, seeds=100)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 of 1 mutants found" in result.stdout


def test_the_hunt_tells_of_a_mutant_that_is_not_noticed() -> None:
    """`make mutants` would pass even if the simulation misses a fault."""
    result = hunt(SOON_NOTICED[0], seeds=0)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "MISSED" in result.stdout
