"""Rules for a running process: its request rate, its retries, its polls, and when it may not call AWS at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from botocore.exceptions import ClientError, ReadTimeoutError

from bedrock_batch.aws.calls.retries import MORE_FOR_THROTTLES, TIMEOUT_TRIES
from bedrock_batch.batch.jobs.job import POLL_JITTER
from faults.simulation.scheduler import Machine

# The Retry-After of the simulated service when it throttles.
RETRY_AFTER = 7.0
ROUNDING = 1e-5


class Conduct:
    """Watches the calls of all processes; `problems` lists the violations.

    A process may try a question `tries` times for each of `purposes`, with `workers` requests at once, and must wait
    `poll` seconds between two polls of a job. `same` returns how many rows have a question.
    """

    def __init__(
        self,
        now: Callable[[], float],
        *,
        tries: int,
        purposes: int,
        rate: int,
        poll: float,
        workers: int,
        same: Counter[str],
    ) -> None:
        self.problems: list[str] = []
        self.questions = 0
        self._now = now
        self._purposes = purposes
        self._tries, self._rate, self._poll, self._workers, self._same = tries, rate, poll, workers, same
        self._asking: Counter[Machine] = Counter()
        self._silent: dict[Machine, str] = {}
        self._grace: Counter[Machine] = Counter()
        self._starts: dict[Machine, list[float]] = {}
        self._failures: Counter[tuple[Machine, str, str]] = Counter()
        self._not_before: dict[tuple[Machine, str], tuple[float, str]] = {}

    def take_over(self, before: Machine, after: Machine) -> None:
        """Note that a process has lost its run: from now on it may not ask, create or stop anything."""
        self._silent[before] = f"{after.name} took over its run"

    def has_lost_its_run(self, machine: Machine) -> bool:
        return "took over" in self._silent.get(machine, "")

    def begin(self, machine: Machine, operation: str, what: str) -> None:
        """Note that a process begins a call that costs money or changes a job."""
        if machine in self._silent:
            self._grace[machine] -= 1
            if self._grace[machine] < 0:
                self.problems.append(f"{machine.name} called {operation} ({what}) after {self._silent[machine]}")
        self._check_wait(machine, what, operation)
        if operation == "InvokeModel":
            self._check_rate(machine)
            self.questions += 1
            self._asking[machine] += 1
            if self._asking[machine] > self._workers:
                self.problems.append(f"{machine.name} asks {self._asking[machine]} questions at once")

    def end(self, machine: Machine) -> None:
        """Note that a question was answered or given up."""
        self._asking[machine] -= 1

    def look(self, machine: Machine, job: str) -> None:
        """Note that a process polls a job."""
        self._check_wait(machine, f"look at {job}", "GetModelInvocationJob")
        self._wait(machine, f"look at {job}", self._poll * (1 - POLL_JITTER), "it had just looked at it")

    def refuse_creation(self, machine: Machine, name: str) -> None:
        """Note that a creation was delayed; the step must wait at least half of the shortest wait."""
        self._wait(machine, name, self._poll / 2, "the service had no room for it")

    def fail(self, machine: Machine, question: str, error: Exception) -> None:
        """Count a failed try of a question."""
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        if code == "AccessDeniedException" and machine not in self._silent:
            self._silent[machine] = "the account was refused"
            self._grace[machine] = self._workers - 1
        kind = "throttled" if code == "ThrottlingException" else "failed"
        self._count(machine, question, kind, self._tries + (MORE_FOR_THROTTLES if kind == "throttled" else 0))
        if isinstance(error, ReadTimeoutError):
            self._count(machine, question, "timed out", TIMEOUT_TRIES)
        if kind == "throttled" and self._same[question] == 1:
            self._wait(machine, question, RETRY_AFTER, "the service asked to wait")

    def _count(self, machine: Machine, question: str, kind: str, most: int) -> None:
        self._failures[machine, question, kind] += 1
        times = self._failures[machine, question, kind]
        if times > most * self._purposes * self._same[question]:
            self.problems.append(f"{machine.name} tried {question!r} on after it had {kind} {times - 1} times")

    def _wait(self, machine: Machine, what: str, seconds: float, why: str) -> None:
        self._not_before[machine, what] = (self._now() + seconds, why)

    def _check_wait(self, machine: Machine, what: str, operation: str) -> None:
        moment, why = self._not_before.pop((machine, what), (0.0, ""))
        if self._now() < moment - ROUNDING:
            self.problems.append(
                f"{machine.name} called {operation} ({what}) {moment - self._now():.1f} s early: {why}"
            )

    def _check_rate(self, machine: Machine) -> None:
        starts = self._starts.setdefault(machine, [])
        starts.append(self._now())
        if len(starts) > self._rate and starts[-1] - starts[-1 - self._rate] < 1.0 - ROUNDING:
            self.problems.append(f"{machine.name} began {self._rate + 1} requests within a second")
