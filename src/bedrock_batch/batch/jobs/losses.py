"""Lost results: AWS counted them and they cannot be read. They were paid for, and are not bought again in silence."""

from __future__ import annotations

from bedrock_batch.batch.jobs.job import Job
from bedrock_batch.batch.results.reader import ResultCounts
from bedrock_batch.ledger.document import JobEntry

_NEXT_STEP = (
    "start this step again with the same inputs once they are back, or set BEDROCK_BATCH_ACCEPT_LOST_RESULTS=true, "
    "which leaves their records to BEDROCK_BATCH_FALLBACK"
)


def counted_results(job: Job) -> int:
    """Return how many results an ended job must have written according to AWS, 0 if AWS does not say.

    The counts of a job that still runs are not final. A failed job may not have written what it had processed, so its
    manifest decides, which is written with the results. The manifest also decides if an older botocore has no counts.
    """
    state, manifest = job.state, job.manifest
    if state is None or not state.terminal:
        return 0
    count = state.processed_records
    if count is None or state.status == "Failed":
        count = manifest.processed_record_count if manifest else None
    return min(len(job.file.numbers), count or 0)


def find_loss(job: Job, entry: JobEntry | None, counts: ResultCounts) -> tuple[int, str] | None:
    """Return how many results of a job are lost and a message with the next step, or None.

    `entry` is the job in the ledger, `counts` what was read of its results.
    """
    if job.state is None:
        return None
    where = job.state.results_uri
    if job.unreadable is not None:
        return counts.missing, f"{job.unreadable}: {_NEXT_STEP}"
    if entry is not None and entry.state == "collected" and entry.results is not None:
        lost = counts.missing - entry.results.get("missing", 0)
        text = (
            f"job {job.arn} has {lost} fewer results than when they were first read: restore its result files under "
            f"{where} (S3 versioning, a backup), then {_NEXT_STEP}"
        )
        return (lost, text) if lost > 0 else None
    expected = counted_results(job)
    lost = expected - (counts.lines - counts.repeated)
    text = (
        f"{lost} of {expected} results of job {job.arn}, which AWS counted, are not under {where}: see whether a "
        f"life-cycle rule deletes them, restore the files there (S3 versioning, a backup), then {_NEXT_STEP}"
    )
    return (lost, text) if lost > 0 else None
