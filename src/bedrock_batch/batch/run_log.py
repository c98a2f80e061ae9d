"""What the last run chose and what its jobs did, for the summary."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from bedrock_batch.batch.jobs.job import Job
from bedrock_batch.batch.mode import Decision
from bedrock_batch.batch.other_runs.attached import AttachedJobs
from bedrock_batch.batch.results.reader import JobResults, ResultCounts

# The counts of a job's results that are worth a warning.
ODD_RESULTS = ("missing", "unknown", "repeated", "unreadable", "unverified")


@dataclass(slots=True)
class RunLog:
    """The decision for the mode, an entry for each job, and the losses that end the run once all results are read.

    `canary` counts the records and answers of the canary. `left` are the jobs that a later start continues, since the
    run does not wait. `attached` are the jobs of other runs for whose answers the run waits, None if there are none.
    """

    decision: Decision | None = None
    jobs: list[dict[str, Any]] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    left: list[Job] = field(default_factory=list)
    canary: dict[str, int] | None = None
    attached: AttachedJobs | None = None

    def reset(self, decision: Decision) -> None:
        """Begin the log of another run."""
        self.decision, self.jobs, self.losses, self.left, self.canary = decision, [], [], [], None

    def forget(self) -> None:
        """Forget an earlier run."""
        self.decision, self.jobs, self.losses, self.left = None, [], [], []
        self.attached = self.canary = None

    def add_left(self, job: Job, log: logging.Logger) -> None:
        """Keep the entry of a job that a later start continues."""
        self.jobs.append(_job_entry(job, ResultCounts()))
        self.left.append(job)
        if job.state is None or not job.state.terminal:
            status = job.state.status if job.state else "not created"
            log.info("job=%s left=%s arn=%s records=%d", job.name, status, job.arn, len(job.file.numbers))

    def add_job(self, job: Job, results: JobResults | None, log: logging.Logger) -> None:
        """Keep the entry of a job and warn of what its results lack; a refused job has no results."""
        counts = results.counts if results else ResultCounts()
        self.jobs.append(_job_entry(job, counts))
        odd = {name: getattr(counts, name) for name in ODD_RESULTS}
        if any(odd.values()) and job.state is not None:
            log.warning("job=%s results: %s", job.name, count_words(Counter(odd).elements()))
        manifest, lines = job.manifest, counts.lines - counts.repeated - counts.unknown
        if manifest and manifest.processed_record_count not in (None, lines):
            log.warning(
                "job=%s manifest=%s processed records, but its result files hold %d lines",
                job.name,
                manifest.processed_record_count,
                counts.lines,
            )


def _job_entry(job: Job, counts: ResultCounts) -> dict[str, Any]:
    state, manifest = job.state, job.manifest
    return {
        "name": job.name,
        "arn": job.arn,
        "status": state.status if state else "NotCreated",
        "message": (state.message if state else job.problem) or None,
        "records": len(job.file.numbers),
        "left_out": len(job.file.set_aside),
        "bytes": job.file.size,
        "submit_time": state.submit_time.isoformat() if state and state.submit_time else None,
        "end_time": state.end_time.isoformat() if state and state.end_time else None,
        "results": asdict(counts),
        "manifest": manifest.model_dump(exclude_none=True) if manifest else None,
    }


def count_words(words: Iterable[str]) -> str:
    """Return words with how often each occurs, the most frequent first."""
    return ", ".join(f"{word}={count}" for word, count in Counter(words).most_common())
