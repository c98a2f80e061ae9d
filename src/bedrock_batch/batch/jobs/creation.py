"""Creating jobs: names, input keys and tokens, and waiting for free slots."""

from __future__ import annotations

from bedrock_batch.aws.calls.advice import hopeless_error
from bedrock_batch.aws.calls.contact import Contact
from bedrock_batch.aws.calls.error_codes import REFUSED_MODEL_OR_ACCESS, UNDECIDED, WAIT_KINDS, ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.invocation_jobs import (
    BatchUnavailableError,
    JobRefusedError,
    JobRequest,
    client_request_token,
    create_job,
    find_job,
    job_name,
)
from bedrock_batch.aws.s3 import join_uri
from bedrock_batch.batch.job_files.files import JobFile
from bedrock_batch.batch.jobs.job import Job, creation_wait
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import RunError
from bedrock_batch.ledger.fence import Fence
from bedrock_batch.models.model_input import ModelInput

# A run that does not wait gives up after so many refusals in a row, which with the default waits are five minutes.
# A refusal for quota ends its tries at once.
SUBMIT_TRIES = 5
# A slot is free at the latest when the run's own jobs have timed out; creation waits this much longer.
PATIENCE_SECONDS = 3600.0


class JobCreator:
    """Creates the jobs of one run.

    `closed` is the reason why no further job is created, None while jobs can be created. `closed_to_model` says that
    the reason is the model. `no_room` is the reason why a run that does not wait leaves its other jobs to a later
    start.
    """

    def __init__(self, settings: Settings, context: RunContext, model_input: ModelInput, run_id: str) -> None:
        self._settings = settings
        self._run_id = run_id
        self._context = context
        self._model_input = model_input
        self._refusals = 0
        self._refused_since: float | None = None
        self._not_before = 0.0
        self._contact = Contact("bedrock", context.log, context.clock)
        self.closed: str | None = None
        self.closed_to_model = False
        self.no_room: str | None = None

    @property
    def not_before(self) -> float:
        """The reading of the clock before which no job is created."""
        return self._not_before

    def prepare(self, job_file: JobFile) -> Job:
        """Return the job of a file, with its name and the key of its input."""
        name = job_name(self._settings.batch_job_name_prefix, self._run_id, job_file.index)
        return Job(job_file, name, join_uri(self._settings.batch_input_s3_path, self._run_id, job_file.path.name))

    def create(self, job: Job, fence: Fence) -> bool:
        """Create a job or note why it is refused; return False if the service has no free slot.

        A job that may exist is looked for first, even if no further job is created, since its records are paid for.
        Looking takes time, so `fence` is checked after it. HopelessError if it is unknown whether the job exists.
        """
        log = self._context.log
        try:
            job.arn = self._find(job)
            if job.arn is None and self.closed is not None:
                job.problem = self.closed
                return True
            if job.arn is None:
                fence.check()
                job.arn = create_job(self._context.clients.bedrock, self._request(job))
        except AwsError as error:
            return self._delay(job, error)
        except JobRefusedError as error:
            job.problem = f"AWS refused the batch job: {error}"
            job.refused_model = error.kind in REFUSED_MODEL_OR_ACCESS
            log.warning("job=%s creation=refused: %s", job.name, error)
        except BatchUnavailableError as error:
            job.problem = self.closed = f"batch inference is not available to this run: {error}"
            self.closed_to_model = error.kind in REFUSED_MODEL_OR_ACCESS
            log.warning("batch=unavailable: %s", error)
        else:
            self._contact.answered()
            self._refusals, self._refused_since, self.no_room = 0, None, None
            log.info("job=%s created=%s records=%d", job.name, job.arn, len(job.file.numbers))
        return True

    def _delay(self, job: Job, error: AwsError) -> bool:
        """Schedule the next try of a failed creation; return True if there is none and the job is refused.

        HopelessError if the service cannot be reached: that is not waited for as long as a quota.
        """
        log = self._context.log
        self._contact.failed(error)
        if error.kind not in WAIT_KINDS:
            raise hopeless_error(error) from error
        job.may_exist = job.may_exist or _is_undecided(error)
        if self._is_out_of_patience():
            problem = f"AWS has had no room for a batch job for too long: {error}"
            if job.may_exist:
                raise RunError(
                    f"{problem}. Job {job.name} may exist, and AWS charges for its answers: start this step again "
                    "with the same inputs"
                ) from error
            job.problem = self.closed = problem
            log.warning("batch=unavailable: %s", job.problem)
            return True
        wait = self._back_off(error)
        if not self._settings.batch_wait and (error.kind is ErrorKind.QUOTA_EXCEEDED or self._refusals >= SUBMIT_TRIES):
            self.no_room = f"AWS has no room for a further batch job now: {error}"
        log.info("job=%s creation=delayed reason=%s next_try_in=%.0fs", job.name, error.kind.value, wait)
        return False

    def _find(self, job: Job) -> str | None:
        """Return the ARN of a job that this or an earlier start created without learning its ARN, or None."""
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
        token = client_request_token(self._run_id, job.file.content_digest)
        return job_request(self._settings, self._model_input, job.name, job.input_uri, output_uri, token)


def job_request(
    settings: Settings, model_input: ModelInput, name: str, input_uri: str, output_uri: str, token: str
) -> JobRequest:
    """Return the request that creates a job under these settings."""
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
    """Return whether a failed creation may have succeeded, or the search for its job failed."""
    return error.kind in UNDECIDED or error.operation == "ListModelInvocationJobs"
