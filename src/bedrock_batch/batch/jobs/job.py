"""A model invocation job of a run: its state, and the times at which it is polled, created again or given up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bedrock_batch.aws.invocation_jobs import JobState
from bedrock_batch.batch.job_files.files import JobFile
from bedrock_batch.batch.jobs.cutover import JobPace
from bedrock_batch.ledger.document import JobEntry, JobProgress
from bedrock_batch.records import JobErrorKind, Manifest

# Until results are read, the ledger keeps under `results` how many records AWS had processed.
PROCESSED = "processed"
POLL_GROWTH = 1.2
POLL_JITTER = 0.1
CREATION_GROWTH = 2.0

# The kind of failure of a record without a result, by the status in which its job ended.
_UNANSWERED: dict[str, JobErrorKind] = {
    "Completed": "missing",
    "PartiallyCompleted": "out_of_time",
    "Failed": "job_failed",
    "Expired": "expired",
    "Stopped": "stopped",
}


@dataclass(slots=True)
class Job:
    """What is known of a job.

    `problem` is the reason why it was never created. `state` is its last known state at AWS. `refused_model`: the
    service refused the model, not this one job. `is_over_cost`: the job was not created because of the cost limit.
    `may_exist`: an earlier start may have created it without storing its ARN. `ended_earlier`: it had ended before
    this start. `left`: the run ends without waiting for it, or without reading what an earlier start has collected.
    `unreadable`: why its results could not be downloaded. `next_poll` and `stop_at` are readings of the
    run's clock: when to poll the job, and when to stop it. `pace` is how fast its polls show it to answer.
    """

    file: JobFile
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
    ended_earlier: bool = False
    left: bool = False
    unreadable: str | None = None
    refused_model: bool = False
    result_paths: list[Path] = field(default_factory=list)
    manifest: Manifest | None = None
    pace: JobPace = field(init=False)

    def __post_init__(self) -> None:
        self.pace = JobPace(len(self.file.numbers))

    def entry(self, state: JobProgress) -> JobEntry:
        """Return the ledger's entry of this job in a state."""
        job_file, known = self.file, self.state
        processed = known.processed_records if known else None
        return JobEntry(
            index=job_file.index,
            start=job_file.start,
            stop=job_file.stop,
            records=len(job_file.numbers),
            left_out=len(job_file.set_aside),
            bytes=job_file.size,
            max_bytes=job_file.max_bytes,
            content_digest=job_file.content_digest,
            name=self.name,
            input_uri=self.input_uri,
            state=state,
            arn=self.arn,
            status=known.status if known else None,
            message=known.message if known else self.problem,
            output_uri=known.output_uri if known else None,
            submit_time=known.submit_time.isoformat() if known and known.submit_time else None,
            end_time=known.end_time.isoformat() if known and known.end_time else None,
            results=None if processed is None else {PROCESSED: processed},
            refused_model=self.refused_model,
        )

    @property
    def unanswered(self) -> JobErrorKind:
        """The kind of failure of a record without a result in this job."""
        if self.is_over_cost:
            return "cost_limit"
        return "not_submitted" if self.state is None else _UNANSWERED.get(self.state.status, "stopped")

    def remove_files(self) -> None:
        """Remove the job's files from the disk of this machine."""
        for path in [*self.result_paths, self.file.path, *self.file.set_aside_paths]:
            path.unlink(missing_ok=True)


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
        processed_records=(entry.results or {}).get(PROCESSED),
        success_records=None,
        error_records=None,
        submit_time=_moment(entry.submit_time),
        end_time=_moment(entry.end_time),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def next_poll(checks: int, initial: float, maximum: float, uniform: Callable[[float, float], float]) -> float:
    """Return the seconds until the next poll of a job after `checks` polls.

    The wait grows by a factor of 1.2. A jitter of a tenth keeps jobs and runs from polling in step.
    """
    wait = min(maximum, initial * POLL_GROWTH ** min(checks, 1000))
    return wait * uniform(1.0 - POLL_JITTER, 1.0 + POLL_JITTER)


def creation_wait(
    failures: int, initial: float, maximum: float, retry_after: float | None, uniform: Callable[[float, float], float]
) -> float:
    """Return the seconds until the next creation after `failures` refusals for load or quota.

    The wait doubles from `initial` to five times `maximum`, half of it at random, since a slot becomes free only when
    a job ends, which takes minutes. It is at least `retry_after`.
    """
    wait = min(5.0 * maximum, initial * CREATION_GROWTH ** min(failures, 30))
    return max(retry_after or 0.0, wait * uniform(0.5, 1.0))
