"""The context of a run: its clients, clock, sleep, log and folders, all given from outside."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from bedrock_batch.aws.calls.retries import RetryPolicy
from bedrock_batch.aws.clients import ClientFactory, make_session
from bedrock_batch.aws.s3 import S3Storage
from bedrock_batch.environment.container.instances import Instance
from bedrock_batch.environment.settings import Settings
from bedrock_batch.progress import Progress

LOGGER_NAME = "bedrock_batch"


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a run uses and does not own.

    `clock` counts seconds from an arbitrary moment; `deadline` is the reading of it at which the container may be
    killed, None if unknown. `due` is the reading at which the user needs the outputs, None if the user states no time.
    `state_folder` holds the ledgers of runs without an S3 path and the working files of a run; without it, runs use
    temporary folders. `processing_dir` is the root of the container's paths, in which settings may refer to files.
    """

    clients: ClientFactory
    state_folder: Path | None = None
    processing_dir: Path | None = None
    job_type: str = "frame"
    instance: Instance = field(default_factory=Instance)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger(LOGGER_NAME))
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    now: Callable[[], datetime] = utc_now
    uniform: Callable[[float, float], float] = random.uniform
    deadline: float | None = None
    due: float | None = None
    progress: Progress = field(default_factory=Progress)

    @property
    def end(self) -> float | None:
        """The reading of the clock by which the run should be done, None if there is none."""
        return min((each for each in (self.deadline, self.due) if each is not None), default=None)

    @property
    def end_reason(self) -> str:
        """Why the run should be done at `end`."""
        is_due = self.due is not None and self.due == self.end
        return "the deadline of the run is near" if is_due else "the time of this container runs out"

    def retry_policy(self, attempts: int) -> RetryPolicy:
        """Return a retry policy that waits by the clock of this run."""
        return RetryPolicy(attempts, sleep=self.sleep, clock=self.clock, uniform=self.uniform)


def make_clients(settings: Settings, environ: Mapping[str, str]) -> ClientFactory:
    """Return the clients for these settings; endpoint URLs in `environ` win over botocore's chain."""
    endpoints = {
        service: environ[name]
        for service, name in (
            ("bedrock", "AWS_ENDPOINT_URL_BEDROCK"),
            ("bedrock-runtime", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"),
            ("s3", "AWS_ENDPOINT_URL_S3"),
            ("sts", "AWS_ENDPOINT_URL_STS"),
            ("iam", "AWS_ENDPOINT_URL_IAM"),
            ("service-quotas", "AWS_ENDPOINT_URL_SERVICE_QUOTAS"),
        )
        if environ.get(name)
    }
    return ClientFactory(
        make_session(settings.region_name, environ.get("AWS_PROFILE"), _credentials(environ)),
        region_name=settings.region_name,
        endpoint_urls=endpoints,
        read_timeout=settings.read_timeout_seconds,
        max_pool_connections=settings.max_concurrent_workers,
    )


def make_storage(settings: Settings, context: RunContext) -> S3Storage:
    """Return the S3 storage of a run, with its KMS key and bucket owner."""
    return S3Storage(
        context.clients.s3,
        kms_key_id=settings.batch_kms_key_id or None,
        bucket_owner=settings.batch_bucket_owner or None,
    )


def _credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the access key in `environ`; if there is none, botocore's chain finds the credentials."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return {name.lower(): environ[name] for name in names if environ.get(name)}
