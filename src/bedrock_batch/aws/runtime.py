"""Single answers of a model: InvokeModel with a body of the model's own, and Converse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bedrock_batch.aws.retries import AwsError, ErrorKind, translating

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient


def invoke_model(client: BedrockRuntimeClient, model_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Send `body` to a model and return the body that it answers with; one try, an `AwsError` if it fails."""
    data = json.dumps(body, allow_nan=False, separators=(",", ":")).encode("ascii")
    with translating("InvokeModel"):
        response = client.invoke_model(
            modelId=model_id, body=data, contentType="application/json", accept="application/json"
        )
        answer = response["body"].read()
    return _parse(answer, response["ResponseMetadata"])


def converse(client: BedrockRuntimeClient, model_id: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Send a Converse request (without `modelId`) and return the response; one try, an `AwsError` if it fails."""
    send: Any = client.converse
    with translating("Converse"):
        response: dict[str, Any] = send(modelId=model_id, **request)
    response.pop("ResponseMetadata", None)
    return response


def _parse(answer: bytes, metadata: Mapping[str, Any]) -> dict[str, Any]:
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    raise AwsError(
        ErrorKind.INVALID_RESPONSE,
        f"the answer of {len(answer):,} bytes is not a JSON object",
        operation="InvokeModel",
        status=metadata.get("HTTPStatusCode"),
        request_id=metadata.get("RequestId"),
    )
