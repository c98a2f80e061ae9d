"""The charges for each question, and the excuses for charging a question twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from faults.simulation.model_answers import code_of
from faults.simulation.scheduler import Machine


@dataclass
class Charges:
    """Counts charges and excuses for a second charge: an answer was lost, or its process was killed before it was kept.

    `failures` counts the faults of the services by process and question, so that the reason of a failed row can be
    checked.
    """

    charged: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    kept: set[str] = field(default_factory=set)
    written: set[bytes] = field(default_factory=set)
    failures: Counter[str] = field(default_factory=Counter)
    in_flight: dict[Machine, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    creating: dict[Machine, list[str]] = field(default_factory=dict)
    story: list[str] = field(default_factory=list)

    def charge(self, question: str, why: str) -> None:
        self.charged[question] += 1
        self.story.append(f"charged {question!r}: {why}")

    def delivered(self, question: str) -> int:
        """Return how many charged answers have certainly arrived."""
        return self.charged[question] - self.excused[question]

    def excuse(self, question: str, why: str) -> None:
        self.excused[question] += 1
        self.story.append(f"excused {question!r}: {why}")

    def begin(self, machine: Machine, thread: str, question: str) -> None:
        """Note that a thread of a process asks a question; its previous question is done."""
        self.in_flight[machine][thread] = question
        self.kept.discard(question)

    def keep(self, data: bytes) -> None:
        """Note the answers that a process has written to its journal; a write that S3 repeats is none."""
        if data in self.written:
            return
        self.written.add(data)
        for asked in self.in_flight.values():
            for question in asked.values():
                if str(code_of(question)).encode() in data:
                    self.kept.add(question)

    def lose_run(self, machine: Machine, why: str) -> None:
        """Excuse the questions and the job that a process was about to send when another took over its run."""
        self.lose_process(machine, why)
        for question in self.creating.get(machine, []):
            self.excuse(question, f"in a job that {machine.name} was creating when it {why}")

    def lose_process(self, machine: Machine, why: str) -> None:
        """Excuse the questions that a process was asking when it ended."""
        for question in set(self.in_flight.pop(machine, {}).values()):
            if question not in self.kept:
                self.excuse(question, f"in flight in {machine.name} when it {why}")
