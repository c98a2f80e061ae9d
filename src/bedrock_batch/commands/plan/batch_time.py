"""How long the jobs of a run take: from past jobs of the model, else between a few minutes and the timeout."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.job_history import PastJob, past_jobs
from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor
from bedrock_batch.batch.forecast import LEAST_JOBS, forecast_jobs
from bedrock_batch.environment.variables.batch import BatchSpread

# Small jobs take 10 to 15 minutes. AWS promises no duration, only that the job ends at its timeout.
SHORTEST_JOB_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class BatchTime:
    """The seconds that the jobs of a run take together, from how many past jobs, and the reason in words."""

    seconds: dict[str, int] | None
    past_jobs: int
    note: str


def estimate_times(processor: BedrockBatchProcessor, spread: Mapping[str, Any]) -> dict[str, BatchTime]:
    """Return the time of the jobs for each way to divide the rows; a failed listing of jobs is a note."""
    history: list[PastJob] = []
    problem = ""
    try:
        history = past_jobs(processor.context.clients.bedrock, processor.effective_model_id)
    except AwsError as error:
        problem = f", and past jobs cannot be listed ({error.kind.value})"
    hours = processor.settings.batch_timeout_hours
    return {name: _estimate_time(history, spread[name], hours, problem) for name in get_args(BatchSpread)}


def _estimate_time(history: Sequence[PastJob], jobs: Mapping[str, int], hours: int, problem: str) -> BatchTime:
    if not jobs["jobs"]:
        return BatchTime(None, len(history), "no job")
    rounds = math.ceil(jobs["jobs"] / jobs["jobs_at_a_time"])
    found = forecast_jobs(history, jobs["most_records"], jobs["jobs_at_a_time"])
    if found is not None:
        seconds = {name: round(rounds * getattr(found, name)) for name in ("low", "likely", "high")}
        return BatchTime(seconds, found.jobs, f"what {found.jobs} past jobs of this model show, with a chance of 80 %")
    seconds = {"low": round(rounds * SHORTEST_JOB_SECONDS), "high": round(rounds * hours * 3600)}
    note = "AWS promises no duration, only the job's timeout"
    few = f", and a forecast needs {LEAST_JOBS} past jobs of this model (there are {len(history)})"
    return BatchTime(seconds, len(history), note + (problem or few))
