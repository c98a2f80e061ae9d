"""Free calls that describe the account: the caller, buckets, roles, quotas, models and inference profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import UNREADABLE, AwsError, answering, ask, damaged, translate
from bedrock_batch.aws.calls.retries import RetryPolicy, call
from bedrock_batch.aws.clients import sdk_version, supports
from bedrock_batch.aws.shapes import (
    CallerIdentity,
    DescribedModel,
    DescribedProfile,
    DescribedRole,
    ListedQuotas,
    ModelAvailability,
    SimulatedPolicy,
)

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A foundation model as the service describes it.

    `lifecycle` is ACTIVE or LEGACY. A date is None if the service gives none or the installed botocore is too old for
    it (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_FoundationModelLifecycle.html).
    """

    arn: str
    name: str
    lifecycle: str
    inference_types: tuple[str, ...]
    legacy: date | None = None
    extended_access: date | None = None
    end_of_life: date | None = None


def caller_arn(client: Any) -> str:
    """Return the ARN of the user or role that makes the calls."""
    return ask("GetCallerIdentity", client.get_caller_identity, CallerIdentity).arn


def bucket_region(client: Any, bucket: str, owner: str | None = None) -> str | None:
    """Return the region of a bucket, None if S3 does not name it; raise `AwsError` if there is no access to the bucket.

    If the bucket is in another region than the client, S3 refuses the call and names the region in the refusal.
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
    except UNREADABLE as error:
        raise damaged("HeadBucket", error) from error
    except Exception as error:
        raise translate(error, "HeadBucket") from error
    headers: Mapping[str, str] = response["ResponseMetadata"]["HTTPHeaders"]
    return headers.get("x-amz-bucket-region")


def trust_policy(client: Any, role_name: str) -> Mapping[str, Any]:
    """Return the policy that says who may assume a role."""
    document = ask("GetRole", client.get_role, DescribedRole, RoleName=role_name).role.assume_role_policy_document
    return document if isinstance(document, Mapping) else {}


def denied_actions(
    client: Any, principal_arn: str, actions: Sequence[str], resource_arn: str, **conditions: str
) -> tuple[str, ...]:
    """Return those of the actions that IAM says a user or role may not perform on a resource."""
    context = [
        {"ContextKeyName": name, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for name, value in conditions.items()
    ]
    response = ask(
        "SimulatePrincipalPolicy",
        client.simulate_principal_policy,
        SimulatedPolicy,
        PolicySourceArn=principal_arn,
        ActionNames=list(actions),
        ResourceArns=[resource_arn],
        **({"ContextEntries": context} if context else {}),
    )
    return tuple(result.eval_action_name for result in response.evaluation_results if result.eval_decision != "allowed")


def bedrock_quotas(client: Any) -> Iterator[tuple[str, float]]:
    """Yield the name and the value of every quota of Amazon Bedrock in this account and region."""
    with answering("ListServiceQuotas"):
        for page in client.get_paginator("list_service_quotas").paginate(ServiceCode="bedrock"):
            for quota in ListedQuotas.model_validate(page).quotas:
                yield quota.quota_name, quota.value


def describe_model(client: Any, model_id: str) -> ModelFacts:
    """Return the service's description of a foundation model, given its id without a region prefix."""
    response = ask("GetFoundationModel", client.get_foundation_model, DescribedModel, modelIdentifier=model_id)
    details, lifecycle = response.model_details, response.model_details.model_lifecycle
    return ModelFacts(
        details.model_arn,
        details.model_name or model_id,
        lifecycle.status,
        tuple(details.inference_types_supported),
        *map(_day, (lifecycle.legacy_time, lifecycle.public_extended_access_time, lifecycle.end_of_life_time)),
    )


def _day(moment: datetime | None) -> date | None:
    """Return the day of a moment in UTC."""
    return None if moment is None else moment.astimezone(timezone.utc).date()


def profile_models(client: Any, profile: str) -> tuple[str, ...]:
    """Return the ARNs of the models of an inference profile; raise `AwsError` if botocore is too old to ask."""
    if not supports(client, "GetInferenceProfile", "inferenceProfileIdentifier"):
        raise AwsError(ErrorKind.CONFIGURATION, f"botocore {sdk_version()} has no GetInferenceProfile: update it")
    described = ask(
        "GetInferenceProfile", client.get_inference_profile, DescribedProfile, inferenceProfileIdentifier=profile
    )
    return tuple(model.model_arn for model in described.models if model.model_arn)


def missing_access(client: Any, model_id: str) -> tuple[str, ...] | None:
    """Return what this account lacks to call a model, empty if nothing; None if the installed botocore cannot tell.

    GetFoundationModelAvailability came to botocore later than batch inference.
    """
    if not supports(client, "GetFoundationModelAvailability", "modelId"):
        return None
    answer = ask(
        "GetFoundationModelAvailability",
        client.get_foundation_model_availability,
        ModelAvailability,
        modelId=model_id,
    )
    states = {
        "agreement": answer.agreement_availability.status,
        "authorization": answer.authorization_status,
        "entitlement": answer.entitlement_availability,
        "region": answer.region_availability,
    }
    return tuple(f"{name} {state}" for name, state in states.items() if state not in ("AVAILABLE", "AUTHORIZED", None))


def find_model_arn(client: BedrockClient, profile: str, policy: RetryPolicy) -> str:
    """Return the ARN of a foundation model that an inference profile leads to; raise `AwsError` if there is none.

    The models of one profile are the same model in several regions
    (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_GetInferenceProfile.html).
    """

    def find() -> str:
        arns = profile_models(client, profile)
        if not arns:
            raise AwsError(ErrorKind.NOT_FOUND, "the profile names no model", operation="GetInferenceProfile")
        return arns[0]

    return call(find, policy)
