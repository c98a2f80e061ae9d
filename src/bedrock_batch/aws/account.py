"""What the account says about itself: who calls, its buckets, roles, quotas and models. Nothing here costs anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from bedrock_batch.aws.error_codes import ErrorKind
from bedrock_batch.aws.failures import AwsError, translate, translating
from bedrock_batch.aws.service_models import sdk_version, supports


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A foundation model as the service describes it."""

    arn: str
    name: str
    lifecycle: str
    inference_types: tuple[str, ...]


def caller_arn(client: Any) -> str:
    """Return the ARN of whoever makes the calls."""
    with translating("GetCallerIdentity"):
        return str(client.get_caller_identity()["Arn"])


def bucket_region(client: Any, bucket: str, owner: str | None = None) -> str | None:
    """Return the region of a bucket, None where S3 does not tell; an `AwsError` where it cannot be looked at.

    S3 names the region in the refusal too, when the bucket is of another one.
    """
    arguments = {"ExpectedBucketOwner": owner} if owner else {}
    try:
        response = client.head_bucket(Bucket=bucket, **arguments)
    except ClientError as error:
        metadata: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
        region = metadata.get("HTTPHeaders", {}).get("x-amz-bucket-region")
        if region and metadata.get("HTTPStatusCode") in (301, 400):
            return str(region)
        raise translate(error, "HeadBucket") from error
    except Exception as error:
        raise translate(error, "HeadBucket") from error
    headers: Mapping[str, str] = response["ResponseMetadata"]["HTTPHeaders"]
    return headers.get("x-amz-bucket-region")


def trust_policy(client: Any, role_name: str) -> Mapping[str, Any]:
    """Return the policy that says who may take a role on."""
    with translating("GetRole"):
        document = client.get_role(RoleName=role_name)["Role"]["AssumeRolePolicyDocument"]
    return document if isinstance(document, Mapping) else {}


def denied_actions(
    client: Any, principal_arn: str, actions: Sequence[str], resource_arn: str, **conditions: str
) -> tuple[str, ...]:
    """Return which of the actions IAM says a user or role may not take on a resource."""
    context = [
        {"ContextKeyName": name, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for name, value in conditions.items()
    ]
    with translating("SimulatePrincipalPolicy"):
        response = client.simulate_principal_policy(
            PolicySourceArn=principal_arn,
            ActionNames=list(actions),
            ResourceArns=[resource_arn],
            **({"ContextEntries": context} if context else {}),
        )
    return tuple(
        result["EvalActionName"] for result in response["EvaluationResults"] if result["EvalDecision"] != "allowed"
    )


def bedrock_quotas(client: Any) -> Iterator[tuple[str, float]]:
    """Yield the name and the value of every quota of Amazon Bedrock in this account and region."""
    with translating("ListServiceQuotas"):
        for page in client.get_paginator("list_service_quotas").paginate(ServiceCode="bedrock"):
            for quota in page["Quotas"]:
                yield quota["QuotaName"], float(quota["Value"])


def describe_model(client: Any, model_id: str) -> ModelFacts:
    """Return what the service says of a foundation model, by its bare id."""
    with translating("GetFoundationModel"):
        details = client.get_foundation_model(modelIdentifier=model_id)["modelDetails"]
    return ModelFacts(
        details["modelArn"],
        details.get("modelName", model_id),
        details.get("modelLifecycle", {}).get("status", "ACTIVE"),
        tuple(details.get("inferenceTypesSupported", ())),
    )


def profile_models(client: Any, profile: str) -> tuple[str, ...]:
    """Return the ARNs of the models that an inference profile leads to; an `AwsError` where botocore cannot ask."""
    if not supports(client, "GetInferenceProfile", "inferenceProfileIdentifier"):
        raise AwsError(ErrorKind.CONFIGURATION, f"botocore {sdk_version()} has no GetInferenceProfile: update it")
    with translating("GetInferenceProfile"):
        models = client.get_inference_profile(inferenceProfileIdentifier=profile)["models"]
    return tuple(model["modelArn"] for model in models)


def missing_access(client: Any, model_id: str) -> tuple[str, ...] | None:
    """Return what is missing for this account to call a model, empty where nothing is; None where nobody tells.

    GetFoundationModelAvailability is younger than batch inference.
    """
    if not supports(client, "GetFoundationModelAvailability", "modelId"):
        return None
    with translating("GetFoundationModelAvailability"):
        answer = client.get_foundation_model_availability(modelId=model_id)
    states = {
        "agreement": answer.get("agreementAvailability", {}).get("status"),
        "authorization": answer.get("authorizationStatus"),
        "entitlement": answer.get("entitlementAvailability"),
        "region": answer.get("regionAvailability"),
    }
    return tuple(f"{name} {state}" for name, state in states.items() if state not in ("AVAILABLE", "AUTHORIZED", None))
