"""How long the account's past batch jobs of a model took, from ListModelInvocationJobs, which is free."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from bedrock_batch.aws.invocation_jobs import JobState, list_jobs
from bedrock_batch.families import same_model

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient

MOST_JOBS = 100
# Jobs of all models share the list; so many are looked through for those of one model.
MOST_LISTED = 2000


@dataclass(frozen=True, slots=True)
class PastJob:
    """A job that answered all its records: their number, None if unknown, and the seconds from submission to end."""

    records: int | None
    seconds: float


def past_jobs(client: BedrockClient, model_id: str) -> list[PastJob]:
    """Return the last jobs of a model that completed, oldest first; raise `AwsError` if they cannot be listed."""
    listed = islice(list_jobs(client, status="Completed"), MOST_LISTED)
    found = list(islice(_of_model(listed, model_id), MOST_JOBS))
    return found[::-1]


def _of_model(jobs: Iterator[JobState], model_id: str) -> Iterator[PastJob]:
    for job in jobs:
        if job.submit_time is None or job.end_time is None or not same_model(job.model_id, model_id):
            continue
        seconds = (job.end_time - job.submit_time).total_seconds()
        yield PastJob(job.total_records or None, max(1.0, seconds))
