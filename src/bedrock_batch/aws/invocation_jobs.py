"""Model invocation jobs of Amazon Bedrock: create, describe, list, find and stop them.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_CreateModelInvocationJob.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bedrock_batch.aws.calls.advice import advice, hopeless_error
from bedrock_batch.aws.calls.error_codes import MISCONFIGURED, UNDECIDED, WAIT_KINDS, ErrorKind
from bedrock_batch.aws.calls.failures import AwsError, answering, ask
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
from bedrock_batch.aws.shapes import CreatedJob, DescribedJob, ListedJob, ListedJobs
from bedrock_batch.errors import HopelessError, JobError

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient

__all__ = [
    "TERMINAL",
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
"""The final statuses. A job with any other status, known or not, is still running."""


class JobRefusedError(JobError):
    """The service refused to create this one job; `kind` says why. Other jobs may be accepted."""

    def __init__(self, message: str, kind: ErrorKind) -> None:
        super().__init__(message)
        self.kind = kind


class BatchUnavailableError(HopelessError):
    """No job of this run can be created; `kind` says why. Real-time inference may still work."""

    def __init__(self, message: str, kind: ErrorKind) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class JobState:
    """A job as the service describes it.

    The counts are None with a botocore before 1.42.81 and 0 while the service validates the job. Only those of a
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
    model_id: str = ""

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def job_id(self) -> str:
        """The last part of the ARN, which is also the name of the results folder."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def results_uri(self) -> str:
        """The prefix under which the job writes its results, with its trailing slash."""
        return f"{self.output_uri.rstrip('/')}/{self.job_id}/"


def create_job(client: BedrockClient, request: JobRequest) -> str:
    """Create a job and return its ARN; if the creation may have succeeded without a response, find the job by its name.

    Raise `AwsError` with a kind of `WAIT_KINDS` if the same creation may succeed later, `BatchUnavailableError` if no
    job of the run can be created, `HopelessError` if AWS refuses every call (credentials), and `JobRefusedError` if AWS
    refuses this one job.
    """
    arguments = request_arguments(client, request)
    try:
        return ask("CreateModelInvocationJob", client.create_model_invocation_job, CreatedJob, **arguments).job_arn
    except AwsError as error:
        arn = _recover(client, request, error)
        if arn is not None:
            return arn
        if error.kind in WAIT_KINDS:
            raise
        raise _refusal(error) from error


_LOST = UNDECIDED | {ErrorKind.CONFLICT}


def _recover(client: BedrockClient, request: JobRequest, error: AwsError) -> str | None:
    """Return the ARN of the job that this request has created in spite of `error`; None if there is none.

    If the listing fails too, the question stays open. A creation that may be repeated then returns None. A conflict of
    names raises the error of the listing: the job may be ours, and its records paid for.
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


# All jobs of a run have the same role: if AWS refuses it once, it refuses it for every job.
_ABOUT_THE_ROLE = re.compile(r"\brole\b|assume", re.IGNORECASE)


def _refusal(error: AwsError) -> JobError | HopelessError:
    if error.kind is ErrorKind.CREDENTIALS or error.kind in MISCONFIGURED:
        return hopeless_error(error)
    text = advice(error)
    message = f"{str(error).removesuffix('.')}. What to do: {text}" if text else str(error)
    if error.kind is ErrorKind.VALIDATION and _ABOUT_THE_ROLE.search(error.message):
        message += ". What to do: check BEDROCK_BATCH_ROLE_ARN and that the role trusts bedrock.amazonaws.com"
        return BatchUnavailableError(message, error.kind)
    return BatchUnavailableError(message, error.kind) if error.kind.hopeless else JobRefusedError(message, error.kind)


def describe_job(client: BedrockClient, arn: str) -> dict[str, Any]:
    """Return the response of GetModelInvocationJob, validated; raise `AwsError` if the call fails."""
    with answering("GetModelInvocationJob"):
        response: dict[str, Any] = dict(client.get_model_invocation_job(jobIdentifier=arn))
        DescribedJob.model_validate(response)
    response.pop("ResponseMetadata", None)
    return response


def get_job(client: BedrockClient, arn: str) -> JobState:
    """Return the current state of a job; raise `AwsError` if the call fails."""
    with answering("GetModelInvocationJob"):
        job = DescribedJob.model_validate(client.get_model_invocation_job(jobIdentifier=arn))
        if job.job_arn != arn:
            raise ValueError(f"it describes {job.job_arn}")
    return _read_job(job)


def list_jobs(
    client: BedrockClient,
    *,
    name: str | None = None,
    name_contains: str | None = None,
    status: str | None = None,
    submitted_after: datetime | None = None,
) -> Iterator[JobState]:
    """Yield the jobs of the account in this region from all pages, newest first.

    `name` selects the jobs with exactly this name, `name_contains` those whose name contains a text, as the service
    searches.
    """
    filters = {"nameContains": name_contains or name, "statusEquals": status, "submitTimeAfter": submitted_after}
    arguments: dict[str, Any] = {key: value for key, value in filters.items() if value is not None}
    paginate: Any = client.get_paginator("list_model_invocation_jobs").paginate
    with answering("ListModelInvocationJobs"):
        for page in paginate(sortBy="CreationTime", sortOrder="Descending", **arguments):
            for summary in ListedJobs.model_validate(page).invocation_job_summaries:
                if name in (None, summary.job_name):
                    yield _read_job(ListedJob.model_validate(summary.model_dump(by_alias=True)))


def find_job(client: BedrockClient, name: str) -> JobState | None:
    """Return the newest job of exactly this name, or None."""
    return next(list_jobs(client, name=name), None)


def stop_job(client: BedrockClient, arn: str) -> bool:
    """Stop a job and return True, or False if it has already ended; finished records are kept and charged."""
    try:
        with answering("StopModelInvocationJob"):
            client.stop_model_invocation_job(jobIdentifier=arn)
    except AwsError as error:
        if error.kind in (ErrorKind.CONFLICT, ErrorKind.VALIDATION):
            return False
        raise
    return True


def _read_job(job: DescribedJob) -> JobState:
    return JobState(
        arn=job.job_arn,
        name=job.job_name,
        status=job.status,
        message=job.message,
        input_uri=job.input_data_config.s3_input_data_config.s3_uri if job.input_data_config else "",
        output_uri=job.output_data_config.s3_output_data_config.s3_uri,
        client_request_token=job.client_request_token,
        total_records=job.total_record_count,
        processed_records=job.processed_record_count,
        success_records=job.success_record_count,
        error_records=job.error_record_count,
        submit_time=job.submit_time,
        end_time=job.end_time,
        model_id=job.model_id,
    )
