"""Creating jobs: their names, places and tokens, and waiting where the service has no room."""

from __future__ import annotations

from bedrock_batch.aws.invocation_jobs import (
    WAIT_KINDS,
    BatchUnavailableError,
    JobRefusedError,
    JobRequest,
    client_request_token,
    create_job,
    find_job,
    job_name,
)
from bedrock_batch.aws.retries import AwsError, ErrorKind, hopeless_error
from bedrock_batch.aws.s3 import join_uri
from bedrock_batch.config import Settings
from bedrock_batch.context import RunContext
from bedrock_batch.jobs.job import Job, creation_wait
from bedrock_batch.model_input import ModelInput
from bedrock_batch.staging import StagedJob

# Room for a job comes free at the latest when the run's own jobs have timed out; this much later it is not waited for.
PATIENCE_SECONDS = 3600.0


class JobCreator:
    """Creates the jobs of one run; `closed` says why no further one is created, once that is so."""

    def __init__(self, settings: Settings, context: RunContext, model_input: ModelInput, run_id: str) -> None:
        self._settings = settings
        self._run_id = run_id
        self._context = context
        self._model_input = model_input
        self._refusals = 0
        self._refused_since: float | None = None
        self._not_before = 0.0
        self.closed: str | None = None

    @property
    def not_before(self) -> float:
        """The reading of the clock before which no creation is tried."""
        return self._not_before

    def prepare(self, staged: StagedJob) -> Job:
        """Return the job of a file, with its name and the key of its input."""
        name = job_name(self._settings.batch_job_name_prefix, self._run_id, staged.index)
        return Job(staged, name, join_uri(self._settings.batch_input_s3_path, self._run_id, staged.path.name))

    def create(self, job: Job) -> bool:
        """Create a job, or note on it why it is refused; False where the service asked to come back later.

        A job that may exist already is looked for first, also when no further one is created: its records are paid
        for. Raises HopelessError where that cannot be told.
        """
        log = self._context.log
        try:
            job.arn = self._find(job)
            if job.arn is None and self.closed is not None:
                job.problem = self.closed
                return True
            job.arn = job.arn or create_job(self._context.clients.bedrock, self._request(job))
        except AwsError as error:
            if error.kind not in WAIT_KINDS:
                raise hopeless_error(error) from error
            job.may_exist = job.may_exist or _is_undecided(error)
            if self._is_out_of_patience():
                job.problem = self.closed = f"AWS has had no room for a batch job for too long: {error}"
                log.warning("batch=unavailable: %s", job.problem)
                return True
            wait = self._back_off(error)
            log.info("job=%s creation=delayed reason=%s next_try_in=%.0fs", job.name, error.kind.value, wait)
            return False
        except JobRefusedError as error:
            job.problem = f"AWS refused the batch job: {error}"
            log.warning("job=%s creation=refused: %s", job.name, error)
        except BatchUnavailableError as error:
            job.problem = self.closed = f"batch inference is not available to this run: {error}"
            log.warning("batch=unavailable: %s", error)
        else:
            self._refusals, self._refused_since = 0, None
            log.info("job=%s created=%s records=%d", job.name, job.arn, len(job.staged.numbers))
        return True

    def _find(self, job: Job) -> str | None:
        """Return the ARN of a job that was created without its ARN becoming known, by this start or an earlier one."""
        if not job.may_exist:
            return None
        found = find_job(self._context.clients.bedrock, job.name)
        job.may_exist = False
        return found.arn if found is not None and found.input_uri == job.input_uri else None

    def _is_out_of_patience(self) -> bool:
        now = self._context.clock()
        if self._refused_since is None:
            self._refused_since = now
        return now - self._refused_since > self._settings.batch_timeout_hours * 3600.0 + PATIENCE_SECONDS

    def _back_off(self, error: AwsError) -> float:
        settings = self._settings
        wait = creation_wait(
            self._refusals,
            settings.batch_poll_initial_seconds,
            settings.batch_poll_max_seconds,
            error.retry_after,
            self._context.uniform,
        )
        self._refusals += 1
        self._not_before = self._context.clock() + wait
        return wait

    def _request(self, job: Job) -> JobRequest:
        output_uri = join_uri(self._settings.batch_output_s3_path, self._run_id) + "/"
        token = client_request_token(self._run_id, job.staged.content_digest)
        return job_request(self._settings, self._model_input, job.name, job.input_uri, output_uri, token)


def job_request(
    settings: Settings, model_input: ModelInput, name: str, input_uri: str, output_uri: str, token: str
) -> JobRequest:
    """Return what a job is created with under these settings."""
    return JobRequest(
        name=name,
        role_arn=settings.batch_role_arn,
        model_id=model_input.model_id,
        input_uri=input_uri,
        output_uri=output_uri,
        client_request_token=token,
        timeout_hours=settings.batch_timeout_hours,
        invocation_type=model_input.invocation_type,
        kms_key_id=settings.batch_kms_key_id or None,
        bucket_owner=settings.batch_bucket_owner or None,
        tags=settings.batch_tags,
        subnet_ids=settings.batch_subnet_ids,
        security_group_ids=settings.batch_security_group_ids,
    )


def _is_undecided(error: AwsError) -> bool:
    """Whether a creation may have been carried out although it failed, or although its job could not be looked for."""
    return error.kind in (ErrorKind.TRANSIENT, ErrorKind.TIMEOUT) or error.operation == "ListModelInvocationJobs"
