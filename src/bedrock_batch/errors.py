"""The exceptions of the step and the exit code that each one means.

A record that fails is never an exception: it is a value (see `records`). What is raised here ends a job, a run or
the start of one.
"""

from __future__ import annotations

from collections.abc import Sequence


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
