"""Checks of the S3 paths and the KMS key: existence, region and permissions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from bedrock_batch.answer_store.place import FOLDER
from bedrock_batch.aws.account import bucket_region
from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.s3 import S3Storage, join_uri, parse_s3_path
from bedrock_batch.commands.doctor.finding import CheckContext, Finding, failed, not_checked, ok, problem, statement
from bedrock_batch.environment.context import make_storage
from bedrock_batch.realtime.reuse.answer_lookup import answers_path

PROBE = b"written by --doctor of the Bedrock batch step; can be deleted\n"


def check_buckets(context: CheckContext) -> Iterator[Finding]:
    """Yield the findings about the S3 paths for the input and output of jobs."""
    settings = context.settings
    for label, name, uri in (
        ("input", "BEDROCK_BATCH_INPUT_S3_PATH", settings.batch_input_s3_path),
        ("output", "BEDROCK_BATCH_OUTPUT_S3_PATH", settings.batch_output_s3_path),
    ):
        if not context.wants_batch:
            yield not_checked(f"{label} path", "BEDROCK_BATCH_MODE=realtime needs no S3 path")
        elif not uri:
            yield not_checked(f"{label} path", f"{name} is not set: every run is in real time", f"set {name}")
        else:
            yield from _check_path(context, label, name, uri)


def check_answer_store(context: CheckContext) -> Iterator[Finding]:
    """Yield whether answers of earlier runs can be listed and read, and new ones kept."""
    settings, check = context.settings, "answer store"
    if not settings.answer_reuse:
        yield not_checked(check, "BEDROCK_ANSWER_REUSE=false neither uses nor keeps answers")
    elif path := answers_path(settings):
        name = "BEDROCK_ANSWERS_S3_PATH" if settings.answers_s3_path else "BEDROCK_BATCH_INPUT_S3_PATH"
        yield from _check_answers_path(context, check, name, join_uri(path, FOLDER))
    else:
        yield _check_folder(check, context.run_context.state_folder)


def _check_answers_path(context: CheckContext, check: str, name: str, uri: str) -> Iterator[Finding]:
    bucket = parse_s3_path(uri)[0]
    try:
        bucket_region(context.run_context.clients.s3, bucket, context.settings.batch_bucket_owner or None)
    except AwsError as error:
        if context.wants_batch and name == "BEDROCK_BATCH_INPUT_S3_PATH":
            yield not_checked(check, f"it lies in the bucket {bucket}, whose check has failed above")
        else:
            yield _bucket_failure(context, check, name, bucket, error)
        return
    found = _try_path(context, check, uri, make_storage(context.settings, context.run_context))
    if found.status == "problem" and "s3:DeleteObject under" in found.message:
        yield ok(check, f"{uri} can be written, read and listed")
        yield not_checked(f"{check}: deletion", f"{found.message}: --forget needs it, runs do not", found.fix)
    else:
        yield found


def _check_folder(check: str, folder: Path | None) -> Finding:
    """Return whether a local folder can be written, without making it."""
    if folder is None:
        return not_checked(check, "no S3 path and no folder is set: answers are not kept")
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        return problem(check, f"{existing} cannot be written", "let the user of this process read and write there")
    return ok(check, f"answers are kept in {folder / FOLDER}: no S3 path is set")


def check_key(context: CheckContext) -> Iterator[Finding]:
    """Yield whether the KMS key is in the right region; the caller's use of it is proved by the checks of the paths."""
    settings, key = context.settings, context.settings.batch_kms_key_id
    if not key:
        return
    region = key.split(":")[3] if key.startswith("arn:") else ""
    if region and region != settings.region_name:
        yield problem(
            "KMS key",
            f"the key is in {region}, the jobs run in {settings.region_name}",
            f"set BEDROCK_BATCH_KMS_KEY_ID to a key of {settings.region_name}",
        )
        return
    needed = statement(["kms:Decrypt", "kms:GenerateDataKey"], [key if region else "the key's ARN"])
    yield not_checked(
        "KMS key",
        "the caller's permissions are checked with the paths above; those of BEDROCK_BATCH_ROLE_ARN cannot be checked",
        f"without them a job is accepted and fails minutes later: its role needs {needed}",
    )


def _check_path(context: CheckContext, label: str, name: str, uri: str) -> Iterator[Finding]:
    bucket = parse_s3_path(uri)[0]
    try:
        region = bucket_region(context.run_context.clients.s3, bucket, context.settings.batch_bucket_owner or None)
    except AwsError as error:
        yield _bucket_failure(context, f"{label} bucket", name, bucket, error)
        return
    if region not in (None, context.settings.region_name):
        yield problem(
            f"{label} bucket",
            f"{bucket} is in {region}, the jobs run in {context.settings.region_name}",
            f"set {name} to a bucket in {context.settings.region_name}, or AWS_DEFAULT_REGION={region}",
        )
        return
    yield ok(f"{label} bucket", f"{bucket} exists, in {region or 'a region that S3 does not report'}")
    yield _try_path(context, f"{label} path", uri, make_storage(context.settings, context.run_context))


def _bucket_failure(context: CheckContext, check: str, name: str, bucket: str, error: AwsError) -> Finding:
    if error.kind in (ErrorKind.NOT_FOUND, ErrorKind.BUCKET_NOT_FOUND):
        region = context.settings.region_name
        return problem(
            check, f"there is no bucket {bucket}", f"correct {name}, or: aws s3 mb s3://{bucket} --region {region}"
        )
    if error.kind is ErrorKind.ACCESS_DENIED:
        needed = statement(["s3:ListBucket"], [f"arn:{context.partition}:s3:::{bucket}"])
        owner = (
            ", and check that BEDROCK_BATCH_BUCKET_OWNER is its owner" if context.settings.batch_bucket_owner else ""
        )
        return problem(check, f"no access to bucket {bucket} (HTTP 403)", f"add to the caller's role {needed}{owner}")
    return failed(check, error)


def _try_path(context: CheckContext, check: str, uri: str, storage: S3Storage) -> Finding:
    """Write, read, list and delete a small object under the path."""
    bucket, prefix = parse_s3_path(uri)
    probe = join_uri(uri, f"doctor-{uuid4().hex}.txt")
    steps = (
        ("s3:PutObject", lambda: storage.put_bytes(probe, PROBE)),
        ("s3:GetObject", lambda: storage.get_bytes(probe)),
        ("s3:ListBucket", lambda: next(storage.list_objects(probe), None)),
        ("s3:DeleteObject", lambda: storage.delete(probe)),
    )
    for action, attempt in steps:
        try:
            attempt()
        except AwsError as error:
            if error.kind is not ErrorKind.ACCESS_DENIED:
                return failed(check, error)
            objects = f"arn:{context.partition}:s3:::{bucket}/{prefix + '/' if prefix else ''}*"
            resource = f"arn:{context.partition}:s3:::{bucket}" if action == "s3:ListBucket" else objects
            key = " (or the KMS key of the bucket denies it)" if "kms" in error.message.lower() else ""
            return problem(
                check,
                f"{action} under {uri} is denied{key}",
                f"add to the caller's role {statement([action], [resource])}",
            )
    return ok(check, f"{uri} can be written, read, listed and cleaned up")
