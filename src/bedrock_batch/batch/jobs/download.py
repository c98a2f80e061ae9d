"""Downloading the result files and the manifest of a job from S3."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from bedrock_batch.aws.calls.advice import advice
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.calls.retries import call
from bedrock_batch.aws.s3 import S3Storage
from bedrock_batch.batch.jobs.job import Job
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.private_files import private_opener
from bedrock_batch.records import Manifest

RESULT_SUFFIX = ".jsonl.out"
MANIFEST_NAME = "manifest.json.out"
DOWNLOAD_ATTEMPTS = 6


def download_results(storage: S3Storage, context: RunContext, job: Job, folder: Path) -> None:
    """Download the result files and the manifest of an ended job, whatever its status, into `folder`.

    If they cannot be read, the reason is noted on the job: they were paid for, and the results of other jobs are still
    downloaded.
    """
    if job.state is None:
        return
    uri = job.state.results_uri
    try:
        job.result_paths, job.manifest = call(
            lambda: _download(storage, uri, folder, job.file.index),
            context.retry_policy(DOWNLOAD_ATTEMPTS),
        )
    except AwsError as error:
        job.unreadable = f"the results of job {job.arn} under {uri} cannot be read ({error})"
        if text := advice(error):
            job.unreadable += f". What to do: {text}"
        context.log.warning("job=%s results=unreadable: %s", job.name, job.unreadable)


def _download(storage: S3Storage, uri: str, folder: Path, index: int) -> tuple[list[Path], Manifest | None]:
    paths: list[Path] = []
    manifest: Manifest | None = None
    for item in storage.list_objects(uri):
        if item.name == MANIFEST_NAME:
            manifest = parse_manifest(storage.get_bytes(item.uri))
        elif item.name.endswith(RESULT_SUFFIX):
            path = folder / f"job-{index:05d}-{len(paths):05d}{RESULT_SUFFIX}"
            storage.download_file(item.uri, path, opener=private_opener)
            paths.append(path)
    return paths, manifest


def parse_manifest(data: bytes) -> Manifest | None:
    """Return the manifest of a job, None if it has another form."""
    try:
        return Manifest.model_validate_json(data)
    except ValidationError:
        return None
