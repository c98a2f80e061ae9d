"""Polling jobs until they end, and stopping those that take too long."""

from __future__ import annotations

from bedrock_batch.aws.calls.advice import reach_advice
from bedrock_batch.aws.calls.contact import Contact
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.invocation_jobs import JobState, get_job, stop_job
from bedrock_batch.batch.jobs.job import Job, next_poll
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import RunError
from bedrock_batch.progress import JobFigures

TOLERATED_POLL_FAILURES = 10
# A job that was asked to stop and does not stop in this many seconds ends the run, since it may still answer. The wait
# is at most this share of the time that the container has left.
STOP_SECONDS = 600.0
STOP_SHARE = 1 / 3
# The service ends a job at its timeout; the step stops a job that runs this much longer.
TIMEOUT_GRACE_SECONDS = 900.0


class JobMonitor:
    """Polls jobs, each at its own interval, and tolerates a number of failed polls in a row."""

    def __init__(self, settings: Settings, context: RunContext) -> None:
        self._settings = settings
        self._context = context
        self._contact = Contact("bedrock", context.log, context.clock)

    def begin(self, job: Job) -> None:
        """Begin to monitor a job that was just created or found again; a run that does not wait polls it at once."""
        job.next_poll = self._context.clock() + (self._wait(job) if self._settings.batch_wait else 0.0)
        hours = self._settings.batch_timeout_hours
        job.stop_at = self._context.clock() + hours * 3600.0 + TIMEOUT_GRACE_SECONDS

    def poll(self, job: Job) -> bool:
        """Poll a job and return whether it has ended.

        RunError after too many failed polls in a row: the job may be running and is charged for, so its records must
        not be asked elsewhere.
        """
        if job.arn is None:
            raise ValueError(f"job {job.name} was never created")
        try:
            state = get_job(self._context.clients.bedrock, job.arn)
        except AwsError as error:
            self._count_failure(job, error)
            return False
        self._contact.answered()
        self._report(job, state)
        job.failed_polls, job.state = 0, state
        job.pace.note(self._context.clock(), state.processed_records)
        job.checks += 1
        job.next_poll = self._context.clock() + self._wait(job)
        if not state.terminal:
            self._give_up_in_time(job)
        return state.terminal

    def stop(self, job: Job, reason: str) -> bool:
        """Ask the service to stop a job and return whether it agreed; what the job has answered is kept."""
        if job.arn is None or job.stop_sent:
            return False
        job.stop_sent = True
        job.stop_at = self._context.clock() + self._stop_seconds()
        job.checks = 0
        job.next_poll = self._context.clock() + self._wait(job)
        try:
            stop_job(self._context.clients.bedrock, job.arn)
        except AwsError as error:
            self._context.log.warning("job=%s stop=failed reason=%s", job.name, error)
            return False
        self._context.log.warning("job=%s stop=sent reason=%s", job.name, reason)
        return True

    def _stop_seconds(self) -> float:
        deadline = self._context.deadline
        left = float("inf") if deadline is None else max(0.0, deadline - self._context.clock())
        return min(STOP_SECONDS, left * STOP_SHARE)

    def _give_up_in_time(self, job: Job) -> None:
        """Stop a job that ran past its timeout; RunError if it was asked to stop and still runs."""
        if self._context.clock() < job.stop_at:
            return
        if job.stop_sent:
            status = job.state.status if job.state else "unknown"
            raise RunError(
                f"job {job.arn} was asked to stop and did not stop in time (its status is {status}): it may still "
                "answer its records, so they are not asked in real time. Start this step again with the same inputs "
                "to collect its answers; the caller needs bedrock:StopModelInvocationJob"
            )
        self.stop(job, f"it ran past its timeout of {self._settings.batch_timeout_hours} hours")

    def _count_failure(self, job: Job, error: AwsError) -> None:
        job.failed_polls += 1
        job.checks += 1
        job.next_poll = self._context.clock() + max(error.retry_after or 0.0, self._wait(job))
        self._contact.failed(error)
        self._context.log.info("job=%s poll=failed times=%d reason=%s", job.name, job.failed_polls, error.kind.value)
        if job.failed_polls > TOLERATED_POLL_FAILURES:
            raise RunError(
                f"the state of job {job.arn} could not be read {job.failed_polls} times in a row ({error}); the job "
                "may still be running, and AWS charges for its answers. Make sure that bedrock:GetModelInvocationJob "
                f"is allowed, check {reach_advice(error)}, then start this step again with the same inputs"
            ) from error

    def _report(self, job: Job, state: JobState) -> None:
        """Report each poll to the progress, and a changed status to the log."""
        self._context.progress.job(
            JobFigures(
                job.name, state.status, len(job.file.numbers), state.processed_records or 0, terminal=state.terminal
            )
        )
        if job.state is not None and job.state.status == state.status:
            return
        self._context.log.info(
            "job=%s status=%s processed=%s of=%d errors=%s",
            job.name,
            state.status,
            state.processed_records if state.processed_records is not None else "unknown",
            len(job.file.numbers),
            state.error_records if state.error_records is not None else "unknown",
        )
        if state.terminal and state.message:
            self._context.log.warning("job=%s ended=%s message=%s", job.name, state.status, state.message)

    def _wait(self, job: Job) -> float:
        settings = self._settings
        return next_poll(
            job.checks, settings.batch_poll_initial_seconds, settings.batch_poll_max_seconds, self._context.uniform
        )
