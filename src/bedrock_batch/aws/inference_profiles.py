"""Inference profiles: which model stands behind one whose id does not say."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bedrock_batch.aws.retries import AwsError, ErrorKind, call, translating
from bedrock_batch.aws.service_models import sdk_version, supports

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient


def find_model_arn(
    client: BedrockClient, profile: str, *, attempts: int = 3, sleep: Callable[[float], object] = time.sleep
) -> str:
    """Return the ARN of a foundation model that an inference profile leads to; an `AwsError` where none can be told.

    The models of one profile are the same model in several regions
    (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_GetInferenceProfile.html).
    """
    if not supports(client, "GetInferenceProfile", "inferenceProfileIdentifier"):
        raise AwsError(ErrorKind.CONFIGURATION, f"botocore {sdk_version()} has no GetInferenceProfile: update it")

    def ask() -> str:
        with translating("GetInferenceProfile"):
            models = client.get_inference_profile(inferenceProfileIdentifier=profile)["models"]
        arn = next((model["modelArn"] for model in models if model.get("modelArn")), None)
        if arn is None:
            raise AwsError(ErrorKind.NOT_FOUND, "the profile names no model", operation="GetInferenceProfile")
        return arn

    return call(ask, attempts=attempts, sleep=sleep)
