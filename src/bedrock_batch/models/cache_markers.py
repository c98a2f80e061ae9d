"""Cache markers: a request with the mark up to which the service keeps it, for the same question as without.

Anthropic's body has `cache_control` at a block, and Converse a block `cachePoint` behind one. What is marked must be
the same in many requests, so no text of a row may stand before the marker
(https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from bedrock_batch.models.model_input import ModelInput, ascii_json
from bedrock_batch.models.request_bodies import compact_json

Ttl = Literal["5m", "1h"]
# Stands for the prompt while a body is changed around it. No text of a user contains it by accident.
_PROMPT_MARK = "0d2c7f5e-prompt-4b1a-8f0e-marked-91a6c3d7e2b8"


@dataclass(frozen=True, slots=True)
class CacheMarker:
    """A marker behind `prefix`, with which every prompt begins; behind the system prompt if `prefix` is empty."""

    prefix: str
    ttl: Ttl = "5m"


def marked_request(model: ModelInput, marker: CacheMarker, prompt: str) -> bytes | dict[str, Any] | None:
    """Return the request of a model for a prompt with the marker, or None if this prompt cannot have it.

    Both parts of the prompt need text: the service refuses a block of spaces.
    """
    rest = prompt[len(marker.prefix) :]
    if not prompt.startswith(marker.prefix) or not rest.strip():
        return None
    head, tail = _around(model, marker)
    data = b"".join((head.encode("ascii"), ascii_json(rest), tail.encode("ascii")))
    if model.api == "invoke_model":
        return data
    body: dict[str, Any] = json.loads(data)
    return body


@lru_cache(maxsize=16)
def _around(model: ModelInput, marker: CacheMarker) -> tuple[str, str]:
    """Return the JSON before and after the rest of the prompt."""
    body = json.loads(f"{model.head}{json.dumps(_PROMPT_MARK)}{model.tail}")
    mark = _mark_anthropic if model.api == "invoke_model" else _mark_converse
    mark(body, marker)
    head, tail = compact_json(body).split(compact_json(_PROMPT_MARK))
    return head, tail


def _mark_anthropic(body: dict[str, Any], marker: CacheMarker) -> None:
    control = {"type": "ephemeral", **({"ttl": marker.ttl} if marker.ttl == "1h" else {})}
    text = marker.prefix or body["system"]
    block = {"type": "text", "text": text, "cache_control": control}
    if marker.prefix:
        body["messages"][0]["content"] = [block, {"type": "text", "text": _PROMPT_MARK}]
    else:
        body["system"] = [block]


def _mark_converse(body: dict[str, Any], marker: CacheMarker) -> None:
    point = {"cachePoint": {"type": "default", **({"ttl": marker.ttl} if marker.ttl == "1h" else {})}}
    if marker.prefix:
        body["messages"][0]["content"] = [{"text": marker.prefix}, point, {"text": _PROMPT_MARK}]
    else:
        body["system"].append(point)
