"""What a run that does not wait has submitted: whether its jobs have ended, and what it leaves to a later start."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from contextlib import closing

from bedrock_batch.batch.job_files.files import JobFile
from bedrock_batch.batch.jobs.job import Job
from bedrock_batch.errors import RunSubmitted
from bedrock_batch.ledger.run import Run


def all_ended(run: Run) -> bool:
    """Return whether all jobs that a run has begun had ended when an earlier start looked at them."""
    return all(entry.has_ended for entry in run.ledger.jobs)


def note_end(files: Generator[JobFile, None, None], ends: list[int]) -> Iterator[JobFile]:
    """Yield job files, and append to `ends` where the last one stops, once there are no more."""
    stop = 0
    with closing(files):
        for file in files:
            stop = file.stop
            yield file
    ends.append(stop)


def submitted(run: Run, records: int, left: Collection[Job], stopped: str | None) -> RunSubmitted:
    """Return what a run of so many records leaves to a later start: its own jobs in the ledger, and nested ones.

    `stopped` is the reason if the cost limit keeps records from being asked.
    """
    entries = run.ledger.jobs
    names = {entry.name for entry in entries}
    nested = [job for job in left if job.name not in names]
    running = [entry.records for entry in entries if entry.state == "created"]
    running += [len(job.file.numbers) for job in nested if job.state and not job.state.terminal]
    ended = sum(entry.has_ended for entry in entries)
    begun = sum(entry.stop - entry.start for entry in entries if entry.has_begun)
    waiting = records - begun + sum(len(job.file.numbers) for job in nested if job.state is None)
    no_room = next((job.problem for job in left if job.state is None and job.problem), None)
    return RunSubmitted(
        describe_left(len(running), sum(running), ended, waiting, stopped=stopped, no_room=no_room),
        running_jobs=len(running),
        running_records=sum(running),
        ended_jobs=ended,
        waiting_records=waiting,
    )


def describe_left(
    running: int, records: int, ended: int, waiting: int, *, stopped: str | None, no_room: str | None
) -> str:
    """Return in words what runs, what has ended, and what is not submitted and why."""
    parts = [f"{running} batch jobs with {records} records run"]
    parts += [f"{ended} have ended"] if ended else []
    if waiting and stopped:
        parts.append(f"{waiting} records are not submitted: {stopped}")
    elif waiting:
        cause = no_room or "BEDROCK_MAX_CONCURRENT_BATCH_JOBS jobs run already"
        parts.append(f"{waiting} records are not submitted yet, and the next start submits them ({cause})")
    return "; ".join(parts)
