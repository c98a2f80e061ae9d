"""The exceptions of the step, each with its exit code.

A record that fails is a value and never an exception (see `records`). These exceptions end a job, a run or its start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class BedrockBatchError(Exception):
    """Base class of the errors that this package raises on purpose."""

    exit_code = 1


class ConfigurationError(BedrockBatchError, ValueError):
    """The configuration is wrong; `problems` lists every problem found, one sentence each."""

    exit_code = 2

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("; ".join(self.problems))


class InputError(BedrockBatchError, ValueError):
    """An input file, template or schema cannot be used; the message names it and says what to do."""

    exit_code = 2


class RunError(BedrockBatchError, RuntimeError):
    """The run as a whole failed after it had begun."""


class InputChangedError(RunError):
    """An input file has changed since the run began."""


class TakenOverError(RunError):
    """Another process has taken over the run, or the ledger is gone: this process must not send anything more."""


class HopelessError(RunError):
    """No record can be answered while the cause lasts (access, model, credentials), so that retrying is useless."""


class UnreachableError(HopelessError):
    """The settings name no reachable service: the host, its certificate or the region is wrong."""

    exit_code = 2


class RunInterrupted(KeyboardInterrupt):
    """A run was interrupted; `left` says what continues in AWS, what is kept and how to resume.

    `kept_in` is the location of the ledger and the answers, or None if nothing outlives the process.
    """

    def __init__(self, cause: str, left: str, kept_in: str | None) -> None:
        super().__init__(cause)
        self.left = left
        self.kept_in = kept_in


SUBMISSION_FIGURES = (
    "running_jobs",
    "running_records",
    "ended_jobs",
    "waiting_records",
    "attached_jobs",
    "attached_records",
)


class RunSubmitted(BedrockBatchError):  # noqa: N818 - not an error: the run did what its settings say
    """A run that does not wait has submitted its batch jobs; a later start with the same inputs collects the answers.

    `figures` counts the jobs and records that run, have ended, wait for a job slot, or are in jobs of other runs
    (`attached`). `run_id` and `ledger` are those of the run.
    """

    def __init__(self, left: str, **figures: int) -> None:
        super().__init__(left)
        self.figures = dict.fromkeys(SUBMISSION_FIGURES, 0) | figures
        self.run_id: str | None = None
        self.ledger: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether all jobs have ended meanwhile, so that another start collects everything."""
        return not any(count for name, count in self.figures.items() if not name.startswith("ended"))


class JobError(BedrockBatchError, RuntimeError):
    """A model invocation job failed; the batch layer turns it into one RecordError for each record of the job."""


class Problems:
    """Collects the problems of configuration and input, so that they are reported together."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def attempt(self, function: Callable[[], T]) -> T | None:
        """Return the result of `function`, or None after noting the problem that it raised."""
        try:
            return function()
        except ConfigurationError as error:
            self.texts += error.problems
        except InputError as error:
            self.texts.append(str(error))
        return None

    def raise_any(self) -> None:
        """Raise the problems, each once, as one ConfigurationError; do nothing if there are none."""
        if self.texts:
            raise ConfigurationError(list(dict.fromkeys(self.texts)))
