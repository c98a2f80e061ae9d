"""The request that creates a model invocation job: its name, token and arguments, and what AWS accepts in them.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_CreateModelInvocationJob.html
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bedrock_batch.aws.clients import sdk_version, supports
from bedrock_batch.errors import ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient

InvocationType = Literal["InvokeModel", "Converse"]

# The patterns of botocore's service model of `bedrock`, which botocore does not check; a test compares them. AWS's own
# patterns of names and tokens take exponential time on a run of hyphens: these accept the same texts.
NAME_PATTERN = r"[a-zA-Z0-9][a-zA-Z0-9+.-]*"
NAME_LIMIT = 63
TOKEN_PATTERN = r"[a-zA-Z0-9]+(-+[a-zA-Z0-9]+)*"  # noqa: S105 - the pattern of a request token, no secret
TOKEN_LIMIT = 256
ROLE_PATTERN = r"arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+"
URI_PATTERN = r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](?:/[-!_*'().a-z0-9A-Z]+(?:/[-!_*'().a-z0-9A-Z]+)*)?/?"
URI_LIMIT = 1024
OWNER_PATTERN = r"[0-9]{12}"
TAG_PATTERN = r"[a-zA-Z0-9\s._:/=+@-]*"
NETWORK_ID_PATTERN = r"[-0-9a-zA-Z]+"
TIMEOUT_HOURS = range(24, 169)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """The arguments of a job. `request_arguments` refuses those that the installed botocore does not know."""

    name: str
    role_arn: str
    model_id: str
    input_uri: str
    output_uri: str
    client_request_token: str
    timeout_hours: int = 24
    invocation_type: InvocationType = "InvokeModel"
    kms_key_id: str | None = None
    bucket_owner: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    subnet_ids: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()


def job_name(prefix: str, run_id: str, index: int) -> str:
    """Return a valid name of at most 63 characters, unique for every (run, index) under one prefix.

    A prefix that is too long is cut. A run id that is too long, or has characters that AWS does not allow, is replaced
    by its digest.
    """
    run = run_id if re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?", run_id) else _digest(run_id)[:24]
    tail = f"{run}-{index:04d}"
    head = re.sub(r"[^a-zA-Z0-9+.-]+", "-", prefix).lstrip("+.-")[: NAME_LIMIT - len(tail) - 1].rstrip("+.-")
    return f"{head}-{tail}" if head else tail


def client_request_token(run_id: str, content_digest: str) -> str:
    """Return the token that makes the creation of one job of a run idempotent: 64 hexadecimal digits."""
    return _digest(f"{run_id}\n{content_digest}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def validate_job_name(name: str) -> bool:
    """Return whether AWS accepts `name` for a job: letters and digits, then also `+ - .`, at most 63 characters."""
    return len(name) <= NAME_LIMIT and re.fullmatch(NAME_PATTERN, name) is not None


def validate_s3_uri(uri: str) -> bool:
    """Return whether AWS accepts `uri` for the input or output of a job: no spaces, no `=`, no empty path segments."""
    return len(uri) <= URI_LIMIT and re.fullmatch(URI_PATTERN, uri) is not None


def request_problems(request: JobRequest) -> list[str]:
    """Return one sentence for each argument that AWS would refuse; botocore checks none of them."""
    checks = {
        f"job name {request.name!r}: letters and digits, then also + - . and at most 63 characters": (
            validate_job_name(request.name)
        ),
        f"role {request.role_arn!r}: must be the ARN of an IAM role (BEDROCK_BATCH_ROLE_ARN)": (
            re.fullmatch(ROLE_PATTERN, request.role_arn) is not None
        ),
        f"client request token {request.client_request_token!r}: letters, digits and inner hyphens only": (
            len(request.client_request_token) <= TOKEN_LIMIT
            and re.fullmatch(TOKEN_PATTERN, request.client_request_token) is not None
        ),
        f"timeout of {request.timeout_hours} hours: must be 24 to 168 (BEDROCK_BATCH_TIMEOUT_HOURS)": (
            request.timeout_hours in TIMEOUT_HOURS
        ),
        f"bucket owner {request.bucket_owner!r}: must be an account number of 12 digits (BEDROCK_BATCH_BUCKET_OWNER)": (
            not request.bucket_owner or re.fullmatch(OWNER_PATTERN, request.bucket_owner) is not None
        ),
        "BEDROCK_BATCH_SUBNET_IDS takes 1 to 16 ids and BEDROCK_BATCH_SECURITY_GROUP_IDS 1 to 5: give both or none": (
            _network_is_valid(request.subnet_ids, request.security_group_ids)
        ),
    }
    problems = [text for text, valid in checks.items() if not valid]
    problems += [
        f"S3 path {uri!r}: only letters, digits and - ! _ * ' ( ) . between single slashes, at most 1,024 characters"
        for uri in (request.input_uri, request.output_uri)
        if not validate_s3_uri(uri)
    ]
    return problems + _tag_problems(request.tags)


def _network_is_valid(subnets: tuple[str, ...], groups: tuple[str, ...]) -> bool:
    if not subnets and not groups:
        return True
    named = all(len(name) <= 32 and re.fullmatch(NETWORK_ID_PATTERN, name) for name in subnets + groups)
    return named and 1 <= len(subnets) <= 16 and 1 <= len(groups) <= 5


def _tag_problems(tags: tuple[tuple[str, str], ...]) -> list[str]:
    problems = [f"{len(tags)} tags: at most 200 (BEDROCK_BATCH_TAGS)"] if len(tags) > 200 else []
    return problems + [
        f"tag {key!r}: key of 1 to 128 and value of 0 to 256 letters, digits, spaces and . _ : / = + @ -"
        for key, value in tags
        if not (1 <= len(key) <= 128 and len(value) <= 256)
        or not (re.fullmatch(TAG_PATTERN, key) and re.fullmatch(TAG_PATTERN, value))
    ]


def request_arguments(client: BedrockClient, request: JobRequest) -> dict[str, Any]:
    """Return the arguments of CreateModelInvocationJob; raise `ConfigurationError` that names all invalid ones."""
    problems = request_problems(request) + _missing_members(client, request)
    if problems:
        raise ConfigurationError(problems)
    owner = {"s3BucketOwner": request.bucket_owner} if request.bucket_owner else {}
    key = {"s3EncryptionKeyId": request.kms_key_id} if request.kms_key_id else {}
    arguments: dict[str, Any] = {
        "jobName": request.name,
        "roleArn": request.role_arn,
        "modelId": request.model_id,
        "clientRequestToken": request.client_request_token,
        "timeoutDurationInHours": request.timeout_hours,
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": request.input_uri, "s3InputFormat": "JSONL", **owner}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": request.output_uri, **key, **owner}},
    }
    if request.invocation_type != "InvokeModel":
        arguments["modelInvocationType"] = request.invocation_type
    if request.subnet_ids:
        groups = list(request.security_group_ids)
        arguments["vpcConfig"] = {"subnetIds": list(request.subnet_ids), "securityGroupIds": groups}
    if request.tags:
        arguments["tags"] = [{"key": name, "value": value} for name, value in request.tags]
    return arguments


def _missing_members(client: BedrockClient, request: JobRequest) -> list[str]:
    """Return a sentence for each argument that the installed botocore is too old for."""
    wanted = (
        (request.invocation_type != "InvokeModel", "modelInvocationType", "1.42.59", "Converse in batch"),
        (bool(request.subnet_ids), "vpcConfig", "1.35.20", "BEDROCK_BATCH_SUBNET_IDS"),
        (
            bool(request.bucket_owner),
            "inputDataConfig.s3InputDataConfig.s3BucketOwner",
            "1.35.20",
            "BEDROCK_BATCH_BUCKET_OWNER",
        ),
    )
    return [
        f"{setting} needs botocore {version} or newer, for {member}; {sdk_version()} is installed"
        for is_wanted, member, version, setting in wanted
        if is_wanted and not supports(client, "CreateModelInvocationJob", member)
    ]
