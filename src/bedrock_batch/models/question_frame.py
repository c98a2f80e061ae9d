"""The frame of a question: everything that the model is asked beside the prompt.

A frame is named by a path of two parts, the foundation model and a digest of 32 hexadecimal digits. Under this name the
answer store keeps the answers that were given in the frame.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from bedrock_batch.families import base_model_id, hides_model

_PROMPT = json.dumps("prompt")


def frame_of(model: str, api: str, head: str, tail: str) -> str:
    """Return the frame in which a foundation model is asked through an API, by the body's JSON around the prompt.

    Output limits are left out, because an answer that ended by itself is the same answer under any limit.
    """
    body = json.loads(f"{head}{_PROMPT}{tail}")
    return _frame(model, [api, _without_limits(body)])


def fallback_frame(primary: str, model_id: str, fallback: str) -> str:
    """Return the frame in which a fallback model answers what the primary model was asked and refused.

    It differs from the fallback model's own frame, since the answers of a run that has this model as its primary model
    are none to a question to another model. `model_id` is the id by which the primary model was asked: another id of
    the model, such as that of a profile, may not be refused.
    """
    return _frame(model_of(fallback), ["fallback", primary, model_id, fallback])


def model_of(frame: str) -> str:
    """Return the foundation model of a frame."""
    return frame.rpartition("/")[0]


def foundation_model(model_id: str, primary_model_id: str = "") -> str:
    """Return the name of the foundation model behind an id, a profile id or an ARN, without slashes.

    An ARN that does not name its model stands for the model that the settings name with it (`primary_model_id`), and
    for itself if they name none.
    """
    if not hides_model(model_id):
        return base_model_id(model_id)
    named = primary_model_id and not hides_model(primary_model_id)
    return base_model_id(primary_model_id) if named else model_id.replace("/", "_")


def _frame(model: str, asked: list[Any]) -> str:
    text = json.dumps(asked, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return f"{model}/{hashlib.blake2b(text.encode('ascii'), digest_size=16).hexdigest()}"


def _without_limits(body: dict[str, Any]) -> dict[str, Any]:
    body.pop("max_tokens", None)
    if isinstance(inference := body.get("inferenceConfig"), dict):
        inference.pop("maxTokens", None)
    return body
