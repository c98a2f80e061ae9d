"""Event handlers of an S3 client: they validate the responses to s3transfer and add headers that botocore lacks."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from bedrock_batch.aws.calls.failures import UNREADABLE, damaged
from bedrock_batch.aws.clients import supports
from bedrock_batch.aws.shapes import BegunUpload, ReadObject, WrittenObject

# s3transfer validates nothing: it takes any response to a write for a success, and any body for the object.
_TRANSFERRED: dict[str, type[BaseModel]] = {
    "PutObject": WrittenObject,
    "UploadPart": WrittenObject,
    "CreateMultipartUpload": BegunUpload,
    "CompleteMultipartUpload": WrittenObject,
    "HeadObject": ReadObject,
    "GetObject": ReadObject,
}


def check_transfers(client: Any) -> None:
    """Make damaged responses to a client's reads and writes fail, also inside s3transfer."""

    def check(http_response: Any, parsed: Any, model: Any, **_: Any) -> None:
        if http_response.status_code < 300:
            try:
                _TRANSFERRED[model.name].model_validate(parsed)
            except UNREADABLE as error:
                raise damaged(model.name, error) from error

    for operation in _TRANSFERRED:
        client.meta.events.register(f"after-call.s3.{operation}", check, unique_id=f"bedrock-batch-check-{operation}")


_CONDITIONS = {"IfNoneMatch": "If-None-Match", "IfMatch": "If-Match"}


def teach_conditions(client: Any) -> None:
    """Let a client that is too old for conditional writes send their headers.

    S3 has conditional writes since August (If-None-Match) and November 2024 (If-Match); botocore 1.35.1 is older. A
    client whose service model has the members sends them itself.
    """
    missing = {name: header for name, header in _CONDITIONS.items() if not supports(client, "PutObject", name)}
    if not missing:
        return

    def take(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["conditions"] = {header: params.pop(name) for name, header in missing.items() if name in params}

    def send(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        params["headers"].update(context.get("conditions", {}))

    events = client.meta.events
    events.register("before-parameter-build.s3.PutObject", take, unique_id="bedrock-batch-take-conditions")
    events.register("before-call.s3.PutObject", send, unique_id="bedrock-batch-send-conditions")
