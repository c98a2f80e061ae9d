"""One model invocation job of a run, and when it is looked at next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bedrock_batch.aws.invocation_jobs import JobState
from bedrock_batch.ledger.document import JobEntry, JobProgress
from bedrock_batch.records import Manifest
from bedrock_batch.staging import StagedJob

POLL_GROWTH = 1.2
POLL_JITTER = 0.1
CREATION_GROWTH = 2.0
# The step looks after its own end: results are read, the last records asked and the outputs written in this time.
CLOSING_SECONDS = 300.0

# What a record without a result is called after its job ended in a status, a key of `results.UNANSWERED`.
_UNANSWERED = {
    "Completed": "missing",
    "PartiallyCompleted": "out_of_time",
    "Failed": "job_failed",
    "Expired": "expired",
    "Stopped": "stopped",
}


@dataclass(slots=True)
class Job:
    """What is known of a job: `problem` says why it was never created, `state` how it stands or ended.

    `is_over_cost` says that it was not created because the run may not cost more. `may_exist` says that an earlier
    start may have created the job without being able to note its ARN. `next_poll` and `stop_at` are readings of the
    run's clock: when to look at it, and when to give it up.
    """

    staged: StagedJob
    name: str
    input_uri: str = ""
    arn: str | None = None
    state: JobState | None = None
    problem: str | None = None
    checks: int = 0
    failed_polls: int = 0
    next_poll: float = 0.0
    may_exist: bool = False
    stop_at: float = float("inf")
    stop_sent: bool = False
    is_over_cost: bool = False
    result_paths: list[Path] = field(default_factory=list)
    manifest: Manifest | None = None

    def entry(self, state: JobProgress) -> JobEntry:
        """Return what the ledger keeps of this job in a state."""
        staged, known = self.staged, self.state
        return JobEntry(
            index=staged.index,
            start=staged.start,
            stop=staged.stop,
            records=len(staged.numbers),
            left_out=len(staged.left_out),
            bytes=staged.size,
            max_bytes=staged.max_bytes,
            content_digest=staged.content_digest,
            name=self.name,
            input_uri=self.input_uri,
            state=state,
            arn=self.arn,
            status=known.status if known else None,
            message=known.message if known else self.problem,
            output_uri=known.output_uri if known else None,
            submit_time=known.submit_time.isoformat() if known and known.submit_time else None,
            end_time=known.end_time.isoformat() if known and known.end_time else None,
        )

    @property
    def unanswered(self) -> str:
        """The kind of failure of a record for which the job left no result."""
        if self.is_over_cost:
            return "cost_limit"
        return "not_submitted" if self.state is None else _UNANSWERED.get(self.state.status, "stopped")


def ended_state(entry: JobEntry) -> JobState:
    """Return the state of a job that had ended when the ledger was written."""
    return JobState(
        arn=entry.arn or "",
        name=entry.name,
        status=entry.status or "",
        message=entry.message or "",
        input_uri=entry.input_uri,
        output_uri=entry.output_uri or "",
        client_request_token=None,
        total_records=None,
        processed_records=None,
        success_records=None,
        error_records=None,
        submit_time=_moment(entry.submit_time),
        end_time=_moment(entry.end_time),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def next_poll(checks: int, initial: float, maximum: float, uniform: Callable[[float, float], float]) -> float:
    """Return the seconds until a job is looked at again after `checks` looks: growing by 1.2, with a tenth of jitter.

    The jitter keeps many jobs, and many runs, from asking in step.
    """
    wait = min(maximum, initial * POLL_GROWTH ** min(checks, 1000))
    return wait * uniform(1.0 - POLL_JITTER, 1.0 + POLL_JITTER)


def creation_wait(
    failures: int, initial: float, maximum: float, retry_after: float | None, uniform: Callable[[float, float], float]
) -> float:
    """Return the seconds until the next creation after `failures` refusals for load or quota, or as the service asked.

    A slot becomes free when some job ends, which takes minutes: the wait doubles from `initial` to five times
    `maximum`, half of it at random.
    """
    wait = min(5.0 * maximum, initial * CREATION_GROWTH ** min(failures, 30))
    return max(retry_after or 0.0, wait * uniform(0.5, 1.0))


def cutover_time(deadline: float | None, begun: float, unanswered: int, per_second: float) -> float:
    """Return when batch must be given up so that `unanswered` records can still be asked in real time.

    `deadline` is when the container may be killed, `begun` when the run began, `per_second` how many records real time
    takes. At most half of the whole time is kept for them.
    """
    if deadline is None:
        return float("inf")
    drain = unanswered / per_second if per_second > 0 else 0.0
    return deadline - CLOSING_SECONDS - min(drain, max(0.0, deadline - begun) / 2)
