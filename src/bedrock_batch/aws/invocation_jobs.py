"""Model invocation jobs of Amazon Bedrock: create, look at, find again and stop them.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_CreateModelInvocationJob.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bedrock_batch.aws.job_requests import (
    InvocationType,
    JobRequest,
    client_request_token,
    job_name,
    request_arguments,
    request_problems,
    validate_job_name,
    validate_s3_uri,
)
from bedrock_batch.aws.retries import AwsError, ErrorKind, advice, hopeless_error, translating
from bedrock_batch.errors import HopelessError, JobError

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient

__all__ = [
    "TERMINAL",
    "WAIT_KINDS",
    "BatchUnavailableError",
    "InvocationType",
    "JobRefusedError",
    "JobRequest",
    "JobState",
    "client_request_token",
    "create_job",
    "describe_job",
    "find_job",
    "get_job",
    "job_name",
    "list_jobs",
    "request_arguments",
    "request_problems",
    "stop_job",
    "validate_job_name",
    "validate_s3_uri",
]

TERMINAL = frozenset({"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"})
"""The statuses that are final; every other one, known or not, is a job that is still running."""

WAIT_KINDS = frozenset(
    {
        ErrorKind.THROTTLED,
        ErrorKind.NOT_READY,
        ErrorKind.TRANSIENT,
        ErrorKind.TIMEOUT,
        ErrorKind.QUOTA_EXCEEDED,
        ErrorKind.CREDENTIALS_UNAVAILABLE,
    }
)
"""What a creation can fail with and succeed later, unchanged."""


class JobRefusedError(JobError):
    """The service refused to create this one job; `kind` says why. Other jobs may be accepted."""

    def __init__(self, message: str, kind: ErrorKind) -> None:
        super().__init__(message)
        self.kind = kind


class BatchUnavailableError(HopelessError):
    """No job of this run can be created, whatever its records; `kind` says why. Real time may work all the same."""

    def __init__(self, message: str, kind: ErrorKind) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class JobState:
    """A job as the service describes it.

    The counts are None from a botocore before 1.42.81, and 0 while a job is still being validated: only those of a
    terminal job are totals.
    """

    arn: str
    name: str
    status: str
    message: str
    input_uri: str
    output_uri: str
    client_request_token: str | None
    total_records: int | None
    processed_records: int | None
    success_records: int | None
    error_records: int | None
    submit_time: datetime | None
    end_time: datetime | None

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def job_id(self) -> str:
        """The last part of the ARN, which is also the folder of the results."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def results_uri(self) -> str:
        """The prefix under which the job writes its results, with its trailing slash."""
        return f"{self.output_uri.rstrip('/')}/{self.job_id}/"


def create_job(client: BedrockClient, request: JobRequest) -> str:
    """Create a job and return its ARN; a job that an earlier, lost creation made is found by its name instead.

    Raises `AwsError` with a kind of `WAIT_KINDS` where the same creation can succeed later, `BatchUnavailableError`
    where no job of the run can be created, `HopelessError` where AWS answers nothing at all (credentials), and
    `JobRefusedError` for this one job.
    """
    arguments = request_arguments(client, request)
    create: Any = client.create_model_invocation_job
    try:
        with translating("CreateModelInvocationJob"):
            return str(create(**arguments)["jobArn"])
    except AwsError as error:
        arn = _recover(client, request, error)
        if arn is not None:
            return arn
        if error.kind in WAIT_KINDS:
            raise
        raise _refusal(error) from error


_LOST = frozenset({ErrorKind.CONFLICT, ErrorKind.TRANSIENT, ErrorKind.TIMEOUT, ErrorKind.INVALID_RESPONSE})


def _recover(client: BedrockClient, request: JobRequest, error: AwsError) -> str | None:
    """Return the ARN of the job that this very request made, where `error` leaves open whether it did.

    A listing that fails leaves it open still. Then a creation that can be repeated is; a conflict of names is not
    taken for a refusal, since the job may be ours and its records be paid for: the listing's error is raised.
    """
    if error.kind not in _LOST:
        return None
    try:
        found = find_job(client, request.name)
    except AwsError as failure:
        if error.kind in WAIT_KINDS:
            return None
        raise (failure if failure.kind in WAIT_KINDS else hopeless_error(failure)) from error
    return found.arn if found is not None and _is_made_by(found, request) else None


def _is_made_by(job: JobState, request: JobRequest) -> bool:
    return job.input_uri == request.input_uri and job.client_request_token in (None, request.client_request_token)


# Every job of a run has the same role, so that a role which is refused once is refused always.
_ABOUT_THE_ROLE = re.compile(r"\brole\b|assume", re.IGNORECASE)


def _refusal(error: AwsError) -> JobError | HopelessError:
    if error.kind is ErrorKind.CREDENTIALS:
        return hopeless_error(error)
    text = advice(error)
    message = f"{str(error).removesuffix('.')}. What to do: {text}" if text else str(error)
    if error.kind is ErrorKind.VALIDATION and _ABOUT_THE_ROLE.search(error.message):
        message += ". What to do: check BEDROCK_BATCH_ROLE_ARN and that the role trusts bedrock.amazonaws.com"
        return BatchUnavailableError(message, error.kind)
    return BatchUnavailableError(message, error.kind) if error.kind.hopeless else JobRefusedError(message, error.kind)


def describe_job(client: BedrockClient, arn: str) -> dict[str, Any]:
    """Return a job as AWS describes it; an `AwsError` if the service does not tell."""
    with translating("GetModelInvocationJob"):
        response: dict[str, Any] = dict(client.get_model_invocation_job(jobIdentifier=arn))
    response.pop("ResponseMetadata", None)
    return response


def get_job(client: BedrockClient, arn: str) -> JobState:
    """Return the present state of a job; an `AwsError` if the service does not tell."""
    with translating("GetModelInvocationJob"):
        return _read_job(client.get_model_invocation_job(jobIdentifier=arn))


def list_jobs(
    client: BedrockClient,
    *,
    name_contains: str | None = None,
    status: str | None = None,
    submitted_after: datetime | None = None,
) -> Iterator[JobState]:
    """Yield the account's jobs in this region, newest first, through all pages."""
    filters = {"nameContains": name_contains, "statusEquals": status, "submitTimeAfter": submitted_after}
    arguments: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
    paginate: Any = client.get_paginator("list_model_invocation_jobs").paginate
    with translating("ListModelInvocationJobs"):
        for page in paginate(sortBy="CreationTime", sortOrder="Descending", **arguments):
            for summary in page.get("invocationJobSummaries", []):
                yield _read_job(summary)


def find_job(client: BedrockClient, name: str) -> JobState | None:
    """Return the newest job of exactly this name, or None (the service itself searches by substring)."""
    return next((job for job in list_jobs(client, name_contains=name) if job.name == name), None)


def stop_job(client: BedrockClient, arn: str) -> bool:
    """Ask the service to stop a job; False where it had already ended. What it has answered is kept and charged."""
    try:
        with translating("StopModelInvocationJob"):
            client.stop_model_invocation_job(jobIdentifier=arn)
    except AwsError as error:
        if error.kind in (ErrorKind.CONFLICT, ErrorKind.VALIDATION):
            return False
        raise
    return True


def _read_job(response: Mapping[str, Any]) -> JobState:
    return JobState(
        arn=response["jobArn"],
        name=response.get("jobName", ""),
        status=response.get("status", ""),
        message=response.get("message", ""),
        input_uri=_uri(response, "inputDataConfig", "s3InputDataConfig"),
        output_uri=_uri(response, "outputDataConfig", "s3OutputDataConfig"),
        client_request_token=response.get("clientRequestToken"),
        total_records=response.get("totalRecordCount"),
        processed_records=response.get("processedRecordCount"),
        success_records=response.get("successRecordCount"),
        error_records=response.get("errorRecordCount"),
        submit_time=response.get("submitTime"),
        end_time=response.get("endTime"),
    )


def _uri(response: Mapping[str, Any], outer: str, inner: str) -> str:
    return str(response.get(outer, {}).get(inner, {}).get("s3Uri", ""))
