"""Single answers of a model: InvokeModel with a body of the model's own, and Converse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bedrock_batch.aws.retries import AwsError, ErrorKind, translating
from bedrock_batch.aws.service_models import supports

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


def can_count_tokens(client: BedrockRuntimeClient) -> bool:
    """Tell whether the installed botocore has CountTokens (1.40.14 or newer)."""
    return supports(client, "CountTokens", "input")


# What CountTokens reads of a Converse request.
_COUNTED = ("messages", "system", "toolConfig", "additionalModelRequestFields")


def count_tokens(client: BedrockRuntimeClient, model_id: str, api: str, body: Mapping[str, Any]) -> int:
    """Return how many input tokens a request has; free, one try, an `AwsError` if the model does not count."""
    if api == "invoke_model":
        # max_tokens must stand in the body all the same; nothing is generated.
        source: dict[str, Any] = {"invokeModel": {"body": json.dumps(body, allow_nan=False).encode("ascii")}}
    else:
        source = {"converse": {name: body[name] for name in _COUNTED if name in body}}
    count: Any = client.count_tokens
    with translating("CountTokens"):
        return int(count(modelId=model_id, input=source)["inputTokens"])


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
