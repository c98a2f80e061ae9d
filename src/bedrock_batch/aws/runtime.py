"""Single requests to a model: InvokeModel with the model's own body, Converse, and CountTokens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError, answering, ask
from bedrock_batch.aws.clients import supports
from bedrock_batch.aws.shapes import ConverseAnswer, CountedTokens

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient


# No real answer is nested so deeply, and the json module fails on little more.
NESTING_LIMIT = 200


def ask_model(
    client: BedrockRuntimeClient, model_id: str, request: bytes | Mapping[str, Any], tier: str | None = None
) -> dict[str, Any]:
    """Send JSON bytes by InvokeModel and a mapping by Converse; try once, raise `AwsError` if that fails.

    `tier` is the service tier to ask for; see `knows_service_tier`.
    """
    if isinstance(request, bytes):
        return invoke_model(client, model_id, request, tier)
    return converse(client, model_id, request if tier is None else {**request, "serviceTier": {"type": tier}})


def knows_service_tier(client: BedrockRuntimeClient, operation: str) -> bool:
    """Return whether the installed botocore sends service tiers with an operation (1.40.76 or newer)."""
    return supports(client, operation, "serviceTier")


def knows_cache_points(client: BedrockRuntimeClient, *, for_an_hour: bool = False) -> bool:
    """Return whether the installed botocore sends cache points with Converse, and for an hour if that is asked."""
    model = client.meta.service_model
    if "CachePointBlock" not in model.shape_names:
        return False
    shape: Any = model.shape_for("CachePointBlock")
    return not for_an_hour or "ttl" in shape.members


def invoke_model(client: BedrockRuntimeClient, model_id: str, body: bytes, tier: str | None = None) -> dict[str, Any]:
    """Send a JSON body to a model and return the body of the response; try once, raise `AwsError` if that fails.

    If a `tier` is asked for, the body gets the tier that served as its member `serviceTier`, as in Converse.
    """
    send: Any = client.invoke_model
    asked = {} if tier is None else {"serviceTier": tier}
    with answering("InvokeModel"):
        response = send(modelId=model_id, body=body, contentType="application/json", accept="application/json", **asked)
        answer = response["body"].read()
        served = response.get("serviceTier")
    parsed = _parse(answer, response["ResponseMetadata"])
    return {**parsed, "serviceTier": {"type": served}} if tier and served else parsed


def converse(client: BedrockRuntimeClient, model_id: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Send a Converse request (without `modelId`) and return the response; try once, raise `AwsError` if that fails."""
    send: Any = client.converse
    with answering("Converse"):
        response: dict[str, Any] = send(modelId=model_id, **request)
        ConverseAnswer.model_validate(response)
        if _is_too_deep(response):
            raise ValueError("too deep")
    response.pop("ResponseMetadata", None)
    return response


def can_count_tokens(client: BedrockRuntimeClient) -> bool:
    """Return whether the installed botocore has CountTokens (1.40.14 or newer)."""
    return supports(client, "CountTokens", "input")


# The members of a Converse request that CountTokens takes.
_COUNTED = ("messages", "system", "toolConfig", "additionalModelRequestFields")


def count_tokens(client: BedrockRuntimeClient, model_id: str, request: bytes | Mapping[str, Any]) -> int:
    """Return the number of input tokens of a request to `ask_model`; free, try once.

    `AwsError` if the model cannot count. A body of InvokeModel must have `max_tokens`, although nothing is generated.
    """
    if isinstance(request, bytes):
        source: dict[str, Any] = {"invokeModel": {"body": request}}
    else:
        source = {"converse": {name: request[name] for name in _COUNTED if name in request}}
    send: Any = client.count_tokens
    return ask("CountTokens", send, CountedTokens, modelId=model_id, input=source).input_tokens


def _parse(answer: bytes, metadata: Mapping[str, Any]) -> dict[str, Any]:
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict) and not _is_too_deep(value):
        return value
    raise AwsError(
        ErrorKind.INVALID_RESPONSE,
        f"the answer of {len(answer):,} bytes is not a JSON object of at most {NESTING_LIMIT} levels",
        operation="InvokeModel",
        status=metadata.get("HTTPStatusCode"),
        request_id=metadata.get("RequestId"),
    )


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(NESTING_LIMIT):
        level = [child for each in level if isinstance(each, dict | list) for child in _children(each)]
        if not level:
            return False
    return True


def _children(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
