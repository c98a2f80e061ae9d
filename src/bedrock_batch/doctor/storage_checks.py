"""Buckets and paths: they exist, lie in the job's region, and can be written, read, listed and cleaned up."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

from bedrock_batch.aws.account import bucket_region
from bedrock_batch.aws.retries import AwsError, ErrorKind
from bedrock_batch.aws.s3 import S3Storage, join_uri, parse_s3_path
from bedrock_batch.context import make_storage
from bedrock_batch.doctor.finding import Finding, Patient, failed, not_checked, ok, problem, statement

PROBE = b"written by --doctor of the Bedrock batch step; can be deleted\n"


def check_buckets(patient: Patient) -> Iterator[Finding]:
    """Yield what is found about the bucket and the path of the jobs' input and output."""
    settings = patient.settings
    for label, name, uri in (
        ("input", "BEDROCK_BATCH_INPUT_S3_PATH", settings.batch_input_s3_path),
        ("output", "BEDROCK_BATCH_OUTPUT_S3_PATH", settings.batch_output_s3_path),
    ):
        if not patient.wants_batch:
            yield not_checked(f"{label} path", "BEDROCK_BATCH_MODE=realtime needs no S3 path")
        elif not uri:
            yield not_checked(f"{label} path", f"{name} is not set: every run is in real time", f"set {name}")
        else:
            yield from _check_path(patient, label, name, uri)


def check_key(patient: Patient) -> Iterator[Finding]:
    """Yield what is found about the KMS key: the paths were written and read with it, so only its region is left."""
    settings, key = patient.settings, patient.settings.batch_kms_key_id
    if not key:
        return
    region = key.split(":")[3] if key.startswith("arn:") else ""
    if region and region != settings.region_name:
        yield problem(
            "KMS key",
            f"the key is of {region}, the jobs run in {settings.region_name}",
            f"set BEDROCK_BATCH_KMS_KEY_ID to a key of {settings.region_name}",
        )
        return
    needed = statement(["kms:Decrypt", "kms:GenerateDataKey"], [key if region else "the key's ARN"])
    yield not_checked(
        "KMS key",
        "the caller's rights are those of the paths above; AWS does not tell those of BEDROCK_BATCH_ROLE_ARN",
        f"without them a job is accepted and fails minutes later: its role needs {needed}",
    )


def _check_path(patient: Patient, label: str, name: str, uri: str) -> Iterator[Finding]:
    bucket = parse_s3_path(uri)[0]
    try:
        region = bucket_region(patient.context.clients.s3, bucket, patient.settings.batch_bucket_owner or None)
    except AwsError as error:
        yield _bucket_failure(patient, f"{label} bucket", name, bucket, error)
        return
    if region not in (None, patient.settings.region_name):
        yield problem(
            f"{label} bucket",
            f"{bucket} is in {region}, the jobs run in {patient.settings.region_name}",
            f"set {name} to a bucket in {patient.settings.region_name}, or AWS_DEFAULT_REGION={region}",
        )
        return
    yield ok(f"{label} bucket", f"{bucket} exists, in {region or 'a region that S3 does not tell'}")
    yield _try_path(patient, f"{label} path", uri, make_storage(patient.settings, patient.context))


def _bucket_failure(patient: Patient, check: str, name: str, bucket: str, error: AwsError) -> Finding:
    if error.kind in (ErrorKind.NOT_FOUND, ErrorKind.BUCKET_NOT_FOUND):
        region = patient.settings.region_name
        return problem(
            check, f"there is no bucket {bucket}", f"correct {name}, or: aws s3 mb s3://{bucket} --region {region}"
        )
    if error.kind is ErrorKind.ACCESS_DENIED:
        needed = statement(["s3:ListBucket"], [f"arn:{patient.partition}:s3:::{bucket}"])
        owner = ", and see that BEDROCK_BATCH_BUCKET_OWNER is its owner" if patient.settings.batch_bucket_owner else ""
        return problem(check, f"no access to bucket {bucket} (HTTP 403)", f"add to the caller's role {needed}{owner}")
    return failed(check, error)


def _try_path(patient: Patient, check: str, uri: str, storage: S3Storage) -> Finding:
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
            objects = f"arn:{patient.partition}:s3:::{bucket}/{prefix + '/' if prefix else ''}*"
            resource = f"arn:{patient.partition}:s3:::{bucket}" if action == "s3:ListBucket" else objects
            key = " (or the KMS key of the bucket denies it)" if "kms" in error.message.lower() else ""
            return problem(
                check,
                f"{action} under {uri} is denied{key}",
                f"add to the caller's role {statement([action], [resource])}",
            )
    return ok(check, f"{uri} can be written, read, listed and cleaned up")
