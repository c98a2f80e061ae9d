"""Fetching what a job left in S3."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from bedrock_batch.aws.retries import AwsError, advice, call
from bedrock_batch.aws.s3 import S3Storage
from bedrock_batch.context import RunContext
from bedrock_batch.errors import RunError
from bedrock_batch.jobs.job import Job
from bedrock_batch.records import Manifest

RESULT_SUFFIX = ".jsonl.out"
MANIFEST_NAME = "manifest.json.out"
FETCH_ATTEMPTS = 6


def fetch_results(storage: S3Storage, context: RunContext, job: Job, folder: Path) -> None:
    """Download every result file of an ended job into `folder`, whatever status it ended in, and its manifest.

    A job that left nothing has no files. Raises RunError when they cannot be read: they were paid for, so their
    records are not asked again elsewhere.
    """
    if job.state is None:
        return
    uri = job.state.results_uri
    try:
        job.result_paths, job.manifest = call(
            lambda: _download(storage, uri, folder, job.staged.index),
            attempts=FETCH_ATTEMPTS,
            sleep=context.sleep,
            clock=context.clock,
            uniform=context.uniform,
        )
    except AwsError as error:
        raise RunError(
            f"the results of job {job.arn} under {uri} cannot be read ({error}). {advice(error) or ''} They were paid "
            "for and stay there: start this step again with the same inputs once they can be read"
        ) from error


def _download(storage: S3Storage, uri: str, folder: Path, index: int) -> tuple[list[Path], Manifest | None]:
    paths: list[Path] = []
    manifest: Manifest | None = None
    for item in storage.list_objects(uri):
        if item.name == MANIFEST_NAME:
            manifest = _parse_manifest(storage.get_bytes(item.uri))
        elif item.name.endswith(RESULT_SUFFIX):
            path = folder / f"job-{index:05d}-{len(paths):05d}{RESULT_SUFFIX}"
            storage.download_file(item.uri, path)
            paths.append(path)
    return paths, manifest


def _parse_manifest(data: bytes) -> Manifest | None:
    try:
        return Manifest.model_validate_json(data)
    except ValidationError:
        return None
