"""The answers of the simulated models: each depends on its question, so that a mix-up is noticed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

TEMPLATE = "Judge this review: {review}"
SCHEMA = {
    "type": "object",
    "properties": {"code": {"type": "integer", "minimum": 0}, "label": {"type": "string"}},
    "required": ["code", "label"],
}


def question_in(body: Mapping[str, Any]) -> str:
    """Return the prompt in an InvokeModel body of Anthropic Messages."""
    (asked,) = [message for message in body["messages"] if message["role"] == "user"]
    content = asked["content"]
    return content if isinstance(content, str) else content[0]["text"]


def prompt_of_text(text: str) -> str:
    """Return the prompt of a row."""
    return TEMPLATE.replace("{review}", text)


def code_of(question: str) -> int:
    return zlib.crc32(question.encode())


def answer_to(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the response body of a model; after a prefill, the text continues where the prefill ends."""
    question = question_in(body)
    text = json.dumps({"code": code_of(question), "label": f"label of {question}"})
    if body["messages"][-1]["role"] == "assistant":
        text = text.removeprefix("{")
    return {
        "type": "message",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 10},
    }
