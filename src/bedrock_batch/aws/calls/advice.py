"""What to do about a failed call to AWS, in words: the setting to change or the policy statement to add."""

from __future__ import annotations

import json
import re

from bedrock_batch.aws.calls.error_codes import MISCONFIGURED, ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.errors import HopelessError, UnreachableError

_ACTION_BY_OPERATION = {
    "InvokeModel": "bedrock:InvokeModel",
    # Converse is allowed by the same action: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
    "Converse": "bedrock:InvokeModel",
    "CountTokens": "bedrock:CountTokens",
    "CreateModelInvocationJob": "bedrock:CreateModelInvocationJob",
    "GetModelInvocationJob": "bedrock:GetModelInvocationJob",
    "ListModelInvocationJobs": "bedrock:ListModelInvocationJobs",
    "StopModelInvocationJob": "bedrock:StopModelInvocationJob",
    "GetInferenceProfile": "bedrock:GetInferenceProfile",
    "PutObject": "s3:PutObject",
    "UploadFile": "s3:PutObject",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "DownloadFile": "s3:GetObject",
    "DeleteObject": "s3:DeleteObject",
    "ListObjectsV2": "s3:ListBucket",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
}

_CHECK_WHO_ANSWERS = (
    "something other than AWS may have answered: check the proxy settings (HTTPS_PROXY, NO_PROXY) and the "
    "AWS_ENDPOINT_URL_* variables"
)

# An ErrorKind is a string: the report looks the text up by the kind that it counted.
TEXT_BY_KIND: dict[str, str] = {
    ErrorKind.ON_DEMAND_UNSUPPORTED: (
        "this model is reached through an inference profile only: set BEDROCK_INFERENCE_PROFILE_ARN to the profile's "
        "id or ARN, or add the model to the JSON list BEDROCK_INFERENCE_PROFILE_REQUIRED_MODELS"
    ),
    ErrorKind.MODEL_NOT_FOUND: (
        "the model id is unknown in this region, retired, or not open to this account: check "
        "BEDROCK_PRIMARY_MODEL_ID and AWS_DEFAULT_REGION against `aws bedrock list-foundation-models` and "
        "`aws bedrock list-inference-profiles`"
    ),
    ErrorKind.MODEL_UNSUPPORTED: (
        "this model has no batch inference in this region: set BEDROCK_BATCH_MODE=realtime, name an inference profile "
        "in BEDROCK_INFERENCE_PROFILE_ARN (many models have batch through a profile only), or choose another model"
    ),
    ErrorKind.ENTITLEMENT: (
        "AWS has not opened this model or feature for the account, which no setting or policy changes: open a case "
        "with AWS Support (for Anthropic models also submit the use case form in the Bedrock console)"
    ),
    ErrorKind.MARKETPLACE: (
        "the account has no AWS Marketplace subscription to this model: let an administrator enable the model once, "
        "or add the actions aws-marketplace:Subscribe, aws-marketplace:Unsubscribe and "
        "aws-marketplace:ViewSubscriptions on resource * to the role, and check the account's payment method"
    ),
    ErrorKind.DAILY_QUOTA: (
        "the account's daily quota for this model is used up, and waiting minutes does not help: run again tomorrow "
        "(finished records are kept when BEDROCK_BATCH_RESUME=true), set BEDROCK_BATCH_MODE=batch, or ask for a "
        "higher quota in Service Quotas"
    ),
    ErrorKind.QUOTA_EXCEEDED: (
        "a quota of the account is reached: lower BEDROCK_MAX_CONCURRENT_BATCH_JOBS, or ask for a higher quota in "
        "Service Quotas"
    ),
    ErrorKind.CREDENTIALS: (
        "AWS did not accept the credentials, or there are none: renew them, give the processing job a role, and check "
        "the machine's clock. Exported keys of a session expire during a long run; a role does not"
    ),
    ErrorKind.CREDENTIALS_UNAVAILABLE: (
        "the credentials of the role could not be fetched: check that the container reaches the credentials endpoint "
        "that AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or AWS_CONTAINER_CREDENTIALS_FULL_URI names"
    ),
    ErrorKind.CERTIFICATE: (
        "the certificate of the endpoint is not trusted: set AWS_CA_BUNDLE to the certificates of your proxy, or "
        "correct the endpoint's host name"
    ),
    ErrorKind.ENDPOINT_UNKNOWN: (
        "no host has the name of the endpoint: correct the region or the endpoint, or let the VPC resolve it (private "
        "DNS of the interface endpoint)"
    ),
    ErrorKind.CONFIGURATION: "check AWS_DEFAULT_REGION, AWS_PROFILE and the AWS_ENDPOINT_URL_* variables",
    ErrorKind.BUCKET_NOT_FOUND: (
        "check BEDROCK_BATCH_INPUT_S3_PATH, BEDROCK_BATCH_OUTPUT_S3_PATH and BEDROCK_ANSWERS_S3_PATH: the bucket must "
        "exist, in the job's region"
    ),
    ErrorKind.TIMEOUT: "raise BEDROCK_READ_TIMEOUT_SECONDS, or lower BEDROCK_MAX_TOKENS",
    ErrorKind.THROTTLED: (
        "lower BEDROCK_RATE_LIMIT_PER_SECOND or BEDROCK_MAX_CONCURRENT_WORKERS, or lower BEDROCK_MAX_TOKENS: the "
        "service reserves input plus max_tokens of every request against the account's tokens per minute"
    ),
    ErrorKind.INVALID_RESPONSE: _CHECK_WHO_ANSWERS,
    ErrorKind.DAMAGED_RESPONSE: _CHECK_WHO_ANSWERS,
}

_DENIED_ACTION = re.compile(r"not authorized to perform:? \[?([a-z0-9-]+:[A-Za-z*]+)")
_DENIED_RESOURCE = re.compile(r"on resource:? \[?\"?(arn:[^\s\"\],]+)")


def advice(error: AwsError) -> str:
    """Return one sentence that says what to do about `error`; empty if there is nothing to add to AWS's text."""
    if error.kind is ErrorKind.ACCESS_DENIED:
        return _access_advice(error)
    if error.kind in (ErrorKind.CERTIFICATE, ErrorKind.ENDPOINT_UNKNOWN):
        return f"{TEXT_BY_KIND[error.kind]}. Also check {reach_advice(error)}"
    return TEXT_BY_KIND.get(error.kind, "")


def hopeless_error(error: AwsError) -> HopelessError:
    """Return the exception that ends a run because of `error`: AWS's text, followed by what to do."""
    text = advice(error)
    kind = UnreachableError if error.kind in MISCONFIGURED else HopelessError
    return kind(f"{str(error).removesuffix('.')}. What to do: {text}" if text else str(error))


def reach_advice(error: AwsError) -> str:
    """Return what to check on the network path to a service that does not answer."""
    variable, service = _endpoint_of(error)
    return (
        f"{variable}, AWS_DEFAULT_REGION, HTTPS_PROXY and NO_PROXY, the security groups and, in a VPC without "
        f"internet, its endpoint for {service}"
    )


def _endpoint_of(error: AwsError) -> tuple[str, str]:
    """Return the variable that sets the endpoint for an operation, and the name of its VPC endpoint service."""
    if error.operation in ("InvokeModel", "Converse", "CountTokens"):
        return "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "com.amazonaws.REGION.bedrock-runtime"
    if _ACTION_BY_OPERATION.get(error.operation, "bedrock:").startswith("bedrock:"):
        return "AWS_ENDPOINT_URL_BEDROCK", "com.amazonaws.REGION.bedrock"
    return "AWS_ENDPOINT_URL_S3", "com.amazonaws.REGION.s3"


def _access_advice(error: AwsError) -> str:
    text = error.message
    if "access to the model" in text:
        return (
            "request access to the model for this account and region (Bedrock console, Model access), and allow "
            "bedrock:InvokeModel on it"
        )
    if "explicit deny" in text:
        place = "service control policy" if "service control policy" in text else "policy"
        return f"a {place} denies this explicitly: an Allow does not help, the Deny has to be lifted by its owner"
    if "VPC endpoint policy" in text:
        return f"the policy of the VPC endpoint does not allow this: add to it {statement(error)}"
    return f"add to the role that makes this call {statement(error)}"


def statement(error: AwsError) -> str:
    """Return the policy statement, as JSON, that would allow what `error` says was denied."""
    action = _DENIED_ACTION.search(error.message)
    resource = _DENIED_RESOURCE.search(error.message)
    body = {
        "Effect": "Allow",
        "Action": action[1] if action else _ACTION_BY_OPERATION.get(error.operation, f"?:{error.operation}"),
        "Resource": resource[1] if resource else "*",
    }
    if body["Action"] == "iam:PassRole":
        return json.dumps({**body, "Condition": {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}})
    return json.dumps(body)
