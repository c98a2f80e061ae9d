"""The cost limit before each job: which jobs it keeps from beginning, and what is reserved for the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bedrock_batch.batch.jobs.job import Job
from bedrock_batch.costs.tracker import CostTracker
from bedrock_batch.ledger.document import JobEntry


class JobBudget:
    """Reserves the expected cost of jobs; the reason why there is too little left is noted on the job.

    With `reads_first`, no job is created while the cost of one that has ended is not counted. A start that collects
    needs this: it would create jobs for money that the ended ones have spent. The runner calls `expect_read` for each
    ended job, and the reader of its results `note_read`.
    """

    def __init__(self, spending: CostTracker, log: logging.Logger, *, reads_first: bool = False) -> None:
        self._spending = spending
        self._log = log
        self._reads_first = reads_first
        self._ended = self._read = 0  # each is changed by one thread

    @property
    def is_behind(self) -> bool:
        """Whether the cost of an ended job must be counted before anything else is decided."""
        return self._reads_first and self._read < self._ended

    def must_wait(self, active: Sequence[Job]) -> bool:
        """Return whether the next job must not be created yet, for the sake of `active` jobs that may have ended."""
        return self._reads_first and (self.is_behind or any(job.state is None for job in active))

    def expect_read(self) -> None:
        self._ended += 1

    def note_read(self) -> None:
        self._read += 1

    def refuses(self, job: Job, known: JobEntry | None) -> bool:
        """Return whether the cost limit keeps a job from beginning; a start with a higher limit may begin it."""
        begun = known is not None and known.has_begun
        if begun or not job.file.numbers or (reason := self._spending.refusal()) is None:
            return False
        job.is_over_cost, job.problem = True, f"not asked: {reason}"
        return True

    def reserve(self, job: Job) -> bool:
        """Reserve the expected cost of a job and return True, or False if too little is left."""
        if job.may_exist:  # it may be paid for already
            self.reserve_begun(job)
            return True
        if self._spending.reserve(len(job.file.numbers)):
            return True
        job.is_over_cost, job.problem = True, f"not asked: {self._spending.stopped}"
        self._log.warning("job=%s creation=stopped: %s", job.name, self._spending.stopped)
        return False

    def reserve_begun(self, job: Job) -> None:
        """Reserve the expected cost of a job that exists."""
        self._spending.reserve(len(job.file.numbers), force=True)

    def release(self, job: Job) -> None:
        """Release what is reserved for a job that was not created."""
        self._spending.release(len(job.file.numbers))
