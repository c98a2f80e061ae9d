"""Watching jobs until they have ended, and giving them up in time."""

from __future__ import annotations

from bedrock_batch.aws.invocation_jobs import JobState, get_job, stop_job
from bedrock_batch.aws.retries import AwsError
from bedrock_batch.config import Settings
from bedrock_batch.context import RunContext
from bedrock_batch.errors import RunError
from bedrock_batch.jobs.job import Job, next_poll
from bedrock_batch.progress import JobFigures

TOLERATED_POLL_FAILURES = 10
# How long a job that was asked to stop may take before its results are read all the same: this many seconds, and not
# more than this share of the time that the container has left.
STOP_SECONDS = 600.0
STOP_SHARE = 1 / 3
# The service ends a job at its timeout by itself; this much later it is asked to.
TIMEOUT_GRACE_SECONDS = 900.0


class JobWatch:
    """Follows jobs by polling: at their own pace, with failures of a poll tolerated up to a count."""

    def __init__(self, settings: Settings, context: RunContext) -> None:
        self._settings = settings
        self._context = context

    def begin(self, job: Job) -> None:
        """Take up a job that was just created or found again."""
        job.next_poll = self._context.clock() + self._wait(job)
        hours = self._settings.batch_timeout_hours
        job.stop_at = self._context.clock() + hours * 3600.0 + TIMEOUT_GRACE_SECONDS

    def poll(self, job: Job) -> bool:
        """Look at a job and return whether it has ended.

        Raises RunError when it could not be looked at so often in a row that it must be taken for lost: it may be
        running, and what it answers is charged, so its records are not asked elsewhere.
        """
        if job.arn is None:
            raise ValueError(f"job {job.name} was never created")
        try:
            state = get_job(self._context.clients.bedrock, job.arn)
        except AwsError as error:
            self._count_failure(job, error)
            return False
        self._report(job, state)
        job.failed_polls, job.state = 0, state
        job.checks += 1
        job.next_poll = self._context.clock() + self._wait(job)
        return state.terminal or self._is_given_up(job)

    def stop(self, job: Job, reason: str) -> None:
        """Ask the service to stop a job; what it has answered is kept."""
        if job.arn is None or job.stop_sent:
            return
        job.stop_sent = True
        job.stop_at = self._context.clock() + self._stop_seconds()
        job.checks = 0
        job.next_poll = self._context.clock() + self._wait(job)
        try:
            stop_job(self._context.clients.bedrock, job.arn)
        except AwsError as error:
            self._context.log.warning("job=%s stop=failed reason=%s", job.name, error)
        else:
            self._context.log.warning("job=%s stop=sent reason=%s", job.name, reason)

    def _stop_seconds(self) -> float:
        deadline = self._context.deadline
        left = float("inf") if deadline is None else max(0.0, deadline - self._context.clock())
        return min(STOP_SECONDS, left * STOP_SHARE)

    def _is_given_up(self, job: Job) -> bool:
        if self._context.clock() < job.stop_at:
            return False
        if job.stop_sent:
            self._context.log.warning("job=%s has not stopped in time; its results so far are read", job.name)
            return True
        self.stop(job, f"it ran past its timeout of {self._settings.batch_timeout_hours} hours")
        return False

    def _count_failure(self, job: Job, error: AwsError) -> None:
        job.failed_polls += 1
        job.checks += 1
        job.next_poll = self._context.clock() + max(error.retry_after or 0.0, self._wait(job))
        self._context.log.info("job=%s poll=failed times=%d reason=%s", job.name, job.failed_polls, error.kind.value)
        if job.failed_polls > TOLERATED_POLL_FAILURES:
            raise RunError(
                f"job {job.arn} could not be looked at {job.failed_polls} times in a row ({error}); it may still be "
                "running and what it answers is charged: see that bedrock:GetModelInvocationJob is allowed, then start "
                "this step again with the same inputs"
            ) from error

    def _report(self, job: Job, state: JobState) -> None:
        """Tell the progress of every look at a job, and the log when its status has changed."""
        self._context.progress.job(
            JobFigures(
                job.name, state.status, len(job.staged.numbers), state.processed_records or 0, terminal=state.terminal
            )
        )
        if job.state is not None and job.state.status == state.status:
            return
        self._context.log.info(
            "job=%s status=%s processed=%s of=%d errors=%s",
            job.name,
            state.status,
            state.processed_records if state.processed_records is not None else "unknown",
            len(job.staged.numbers),
            state.error_records if state.error_records is not None else "unknown",
        )
        if state.terminal and state.message:
            self._context.log.warning("job=%s ended=%s message=%s", job.name, state.status, state.message)

    def _wait(self, job: Job) -> float:
        settings = self._settings
        return next_poll(
            job.checks, settings.batch_poll_initial_seconds, settings.batch_poll_max_seconds, self._context.uniform
        )
