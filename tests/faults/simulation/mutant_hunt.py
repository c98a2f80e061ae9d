"""Checks that the simulation notices known faults: each mutant is simulated until a seed fails.

    python -m faults.simulation.mutant_hunt [--seeds N] [--processes N] [NAME ...]

The exit code is 1 if a mutant was not found.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import importlib.util
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from faults.simulation.mutants import MUTANTS, PACKAGE, Mutant

# A seed takes a tenth of a second; one that takes this long is stuck.
SEED_SECONDS = 20
# Imported once, before the processes are forked.
_LIBRARIES = ("boto3.s3.transfer", "json_repair.json_repair", "jsonschema_rs", "pandas", "pyarrow.dataset", "pydantic")


@dataclass(frozen=True)
class Verdict:
    """After how many seeds and seconds a mutant was noticed, and by which `problem`; empty if it was not noticed."""

    mutant: Mutant | None
    seed: int
    seeds: int
    seconds: float
    problem: str


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module with one text replaced, without writing it to disk."""

    def __init__(self, name: str, path: str, mutant: Mutant) -> None:
        super().__init__(name, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        source = self._mutant.apply(Path(self.path).read_text(encoding="utf-8"))
        return compile(source, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = "bedrock_batch." + mutant.file.removesuffix(".py").replace("/", ".")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _Loader(fullname, str(PACKAGE / self._mutant.file), self._mutant)
        return importlib.util.spec_from_loader(fullname, loader)


class _TooLongError(Exception):
    """A seed did not end."""


def hunt(mutant: Mutant | None, seeds: Iterable[int]) -> Verdict:
    """Simulate seeds with a mutant in the step, or without one, until a seed fails; call it in a separate process."""
    begun = time.monotonic()
    if mutant is not None:
        sys.meta_path.insert(0, _Finder(mutant))
    from faults.simulation.simulation import simulate

    signal.signal(signal.SIGALRM, _stop)
    count, seed = 0, -1
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        for seed in seeds:
            count += 1
            signal.alarm(SEED_SECONDS)
            try:
                problems = simulate(seed, Path(folder)).problems
            except _TooLongError:
                problems = ["a seed does not end"]
            finally:
                signal.alarm(0)
            if problems:
                problem = problems[0].strip().splitlines()[-1]
                return Verdict(mutant, seed, count, time.monotonic() - begun, problem)
    return Verdict(mutant, seed, count, time.monotonic() - begun, "")


def _stop(*_: Any) -> None:
    raise _TooLongError


def _hunt_into(result: Connection, mutant: Mutant | None, seeds: Iterable[int]) -> None:
    try:
        verdict = hunt(mutant, seeds)
    except BaseException as error:  # noqa: BLE001,RUF100 - whatever breaks the step at its import is noticed, too
        verdict = Verdict(mutant, -1, 0, 0.0, f"breaks the simulation itself: {error!r}")
    result.send(verdict)


def hunt_all(tasks: Iterable[tuple[Mutant | None, Iterable[int]]], processes: int) -> Iterator[Verdict]:
    """Yield a verdict for each task as it is reached, with this many processes at a time."""
    for name in _LIBRARIES:
        importlib.import_module(name)
    context = multiprocessing.get_context("fork")  # what was loaded above is shared; there are no threads yet
    waiting, running = list(tasks)[::-1], dict[Connection, BaseProcess]()
    while waiting or running:
        while waiting and len(running) < processes:
            mine, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_hunt_into, args=(theirs, *waiting.pop()))
            process.start()
            theirs.close()
            running[mine] = process
        for result in wait(list(running)):
            assert isinstance(result, Connection)
            yield result.recv()
            running.pop(result).join()


def main() -> int:
    """Hunt the mutants that the command line names, or all, print a line for each, and return the exit code."""
    parser = argparse.ArgumentParser(prog="mutant_hunt", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", metavar="NAME", help="words of what the mutants break (default: all)")
    parser.add_argument("--seeds", type=int, default=2500, help="give a mutant up after so many (default 2500)")
    parser.add_argument("--processes", type=int, default=2, help="processes at a time (default 2)")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if all(word in f"{mutant.file} {mutant.breaks}" for word in options.names)]
    begun = time.monotonic()
    verdicts = []
    for verdict in hunt_all([(mutant, range(options.seeds)) for mutant in chosen], options.processes):
        verdicts.append(verdict)
        found = "found" if verdict.problem else "MISSED"
        print(f"{found:6} {verdict.seeds:5} seeds {verdict.seconds:6.1f} s  {verdict.mutant}", flush=True)
        if verdict.problem:
            print(f"       by: {verdict.problem[:200]}", flush=True)
    false = _seeds_that_fail_anyway(verdicts, options.processes)
    found_ones = [verdict for verdict in verdicts if verdict.problem and verdict.seed not in false]
    needed, seconds = sum(verdict.seeds for verdict in verdicts), time.monotonic() - begun
    print(f"{len(found_ones)} of {len(chosen)} mutants found with {needed} seeds in {seconds:.0f} s")
    return int(len(found_ones) < len(chosen))


def _seeds_that_fail_anyway(verdicts: Iterable[Verdict], processes: int) -> set[int]:
    """Return the seeds that fail without a mutant, too: they prove nothing about the mutants they found."""
    seeds = {verdict.seed for verdict in verdicts if verdict.problem and verdict.seed >= 0}
    failed = [verdict for verdict in hunt_all([(None, [seed]) for seed in sorted(seeds)], processes) if verdict.problem]
    for verdict in failed:
        print(f"seed {verdict.seed} fails without a mutant, too: {verdict.problem[:200]}", flush=True)
    return {verdict.seed for verdict in failed}


if __name__ == "__main__":
    sys.exit(main())
