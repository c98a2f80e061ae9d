"""The exceptions of the step and the exit code that each one means.

A record that fails is never an exception: it is a value (see `records`). What is raised here ends a job, a run or
the start of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class BedrockBatchError(Exception):
    """Root of every error that this package raises on purpose."""

    exit_code = 1


class ConfigurationError(BedrockBatchError, ValueError):
    """The configuration is wrong; `problems` holds every problem found, one sentence each."""

    exit_code = 2

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("; ".join(self.problems))


class InputError(BedrockBatchError, ValueError):
    """An input file, template or schema cannot be used; the message names it and says what to do."""

    exit_code = 2


class RunError(BedrockBatchError, RuntimeError):
    """The run as a whole failed after it had begun."""


class HopelessError(RunError):
    """No record can be answered under the present conditions (access, model, credentials); trying on is useless."""


class JobError(BedrockBatchError, RuntimeError):
    """One model invocation job failed; it becomes values for the job's records inside the batch layer."""


class Problems:
    """Collects what is wrong with the configuration and the input, to be told at once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def attempt(self, function: Callable[[], T]) -> T | None:
        """Return the result of `function`, or None when it found a problem."""
        try:
            return function()
        except ConfigurationError as error:
            self.texts += error.problems
        except InputError as error:
            self.texts.append(str(error))
        return None

    def raise_any(self) -> None:
        """Raise all problems as one ConfigurationError, each once; nothing happens where there is none."""
        if self.texts:
            raise ConfigurationError(list(dict.fromkeys(self.texts)))
