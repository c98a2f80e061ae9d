"""The operations of `bedrock` on batch jobs: create, get, list and stop, with the checks of AWS."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from local_bedrock.batch.jobs import TERMINAL, Job, JobRunner
from local_bedrock.batch.worker import split_uri
from local_bedrock.behaviour import Behaviour, JobFault
from local_bedrock.draws import Draw
from local_bedrock.errors import AwsError
from local_bedrock.models.registry import ModelRegistry

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_DEFAULT_PAGE = 100
_PAGE_MARK = "from-job-"
_numbers = itertools.count()


class ControlPlane:
    """Keeps the jobs of one account and region."""

    def __init__(
        self,
        registry: ModelRegistry,
        runner: JobRunner,
        behaviour: Behaviour,
        bucket_exists: Callable[[str], bool],
        now: Callable[[], datetime],
        region: str,
        account_id: str,
    ) -> None:
        self._registry = registry
        self._runner = runner
        self._behaviour = behaviour
        self._bucket_exists = bucket_exists
        self._now = now
        self._region = region
        self._account_id = account_id
        self._number = next(_numbers)
        self._lock = threading.Lock()
        self._refused_creates = 0
        self.jobs: list[Job] = []

    def create_job(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """CreateModelInvocationJob."""
        if not self._behaviour.entitled:
            raise AwsError(
                "ValidationException",
                "Your account is not authorized to use batch inference with this model. To request access, create a "
                "support case with AWS Support.",
            )
        token = params.get("clientRequestToken")
        if token is not None and (known := self._job_of_token(token)) is not None:
            return {"jobArn": known.arn}
        model = self._registry.resolve_for_batch(params["modelId"], self._region)
        self._refuse_missing_buckets(params)
        with self._lock:
            # Look again under the lock, because two calls with the same token may arrive together.
            if token is not None and (known := self._job_of_token(token)) is not None:
                return {"jobArn": known.arn}
            if any(job.name == params["jobName"] for job in self.jobs):
                raise AwsError("ConflictException", "The provided job name is currently in use")
            self._refuse_over_quota(model.id)
            job = self._make_job(dict(params), model)
            self.jobs.append(job)
        self._runner.start(job)
        return {"jobArn": job.arn}

    def _job_of_token(self, token: str) -> Job | None:
        return next((job for job in self.jobs if job.request.get("clientRequestToken") == token), None)

    def _refuse_missing_buckets(self, params: Mapping[str, Any]) -> None:
        input_uri = params["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
        output_uri = params["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"]
        for uri in (input_uri, output_uri):
            bucket = split_uri(uri)[0]
            if not self._bucket_exists(bucket):
                raise AwsError("ValidationException", f"The S3 bucket {bucket} of {uri} does not exist")

    def _refuse_over_quota(self, model_id: str) -> None:
        running = sum(job.status not in TERMINAL and job.model.id == model_id for job in self.jobs)
        told_to_refuse = self._refused_creates < self._behaviour.quota_exceeded_creates
        if told_to_refuse or running >= self._behaviour.max_concurrent_jobs:
            self._refused_creates += 1
            raise AwsError(
                "ServiceQuotaExceededException",
                "The sum of in-progress and submitted batch inference jobs exceeds the limit of "
                f"{self._behaviour.max_concurrent_jobs} for model {model_id}",
            )

    def _make_job(self, request: dict[str, Any], model: Any) -> Job:
        ordinal = len(self.jobs) + 1
        # Servers of one process share their buckets. The number keeps their output folders apart.
        draw = Draw.of(self._behaviour.seed, self._number, request["jobName"], ordinal)
        job_id = "".join(draw.choice(_ALPHABET) for _ in range(12))
        partition = request["roleArn"].split(":")[1]
        arn = f"arn:{partition}:bedrock:{self._region}:{self._account_id}:model-invocation-job/{job_id}"
        moment = self._now()
        fault = self._fault_of(request["jobName"], ordinal)
        return Job(job_id, arn, request["jobName"], model, request, fault, ordinal, moment, moment)

    def _fault_of(self, name: str, ordinal: int) -> JobFault:
        for fault in self._behaviour.jobs:
            by_ordinal = not fault.ordinals or ordinal in fault.ordinals
            if by_ordinal and (fault.name is None or re.search(fault.name, name)):
                return fault
        return JobFault()

    def get_job(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """GetModelInvocationJob."""
        return self._find(params["jobIdentifier"]).describe()

    def stop_job(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """StopModelInvocationJob."""
        job = self._find(params["jobIdentifier"])
        if job.status in TERMINAL:
            raise AwsError("ConflictException", f"The job {job.arn} has the status {job.status} and cannot be stopped")
        self._runner.set_status(job, "Stopping")
        job.stop_requested.set()
        return {}

    def _find(self, identifier: str) -> Job:
        job = next((job for job in self.jobs if identifier in (job.arn, job.id)), None)
        if job is None:
            raise AwsError("ResourceNotFoundException", f"Could not find the model invocation job {identifier}")
        return job

    def list_jobs(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """ListModelInvocationJobs: newest first by default."""
        jobs = [job for job in self.jobs if _matches(job, params)]
        if params.get("sortOrder") != "Ascending":
            jobs.reverse()
        if "nextToken" in params:
            # The token names the first job of the page, so that new jobs do not shift the pages.
            ascending = params.get("sortOrder") == "Ascending"
            first = _read_token(params["nextToken"])
            jobs = [job for job in jobs if (job.ordinal >= first if ascending else job.ordinal <= first)]
        end = params.get("maxResults", _DEFAULT_PAGE)
        page = {"invocationJobSummaries": [job.describe() for job in jobs[:end]]}
        return {**page, "nextToken": f"{_PAGE_MARK}{jobs[end].ordinal}"} if end < len(jobs) else page


def _read_token(token: str) -> int:
    ordinal = token.removeprefix(_PAGE_MARK)
    if ordinal == token or not ordinal.isdecimal():
        raise AwsError("ValidationException", "The provided nextToken is not valid")
    return int(ordinal)


def _matches(job: Job, params: Mapping[str, Any]) -> bool:
    return (
        params.get("statusEquals", job.status) == job.status
        and params.get("nameContains", "") in job.name
        and ("submitTimeAfter" not in params or job.submitted > params["submitTimeAfter"])
        and ("submitTimeBefore" not in params or job.submitted < params["submitTimeBefore"])
    )
