"""The request bodies of the two APIs: Anthropic's Messages for InvokeModel, and Converse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bedrock_batch.environment.variables.model import OutputMode
from bedrock_batch.errors import InputError

ANTHROPIC_VERSION = "bedrock-2023-05-31"
PREFILL = "{"
SCHEMA_NAME = "record_answer"  # Converse requires a name for the schema of json_schema


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """How the model is asked for JSON: the output mode, and the schema and the tool for the modes that send them."""

    output_mode: OutputMode
    schema: Mapping[str, Any] | None
    tool_name: str
    tool_description: str


def anthropic_body(
    prompt: str,
    system_prompt: str,
    sampling: dict[str, float],
    max_tokens: int,
    form: AnswerForm,
) -> dict[str, Any]:
    """Return a body of Anthropic's Messages API, which InvokeModel passes to the model."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    body: dict[str, Any] = {"anthropic_version": ANTHROPIC_VERSION, "max_tokens": max_tokens, **sampling}
    body["messages"] = messages
    if system_prompt:
        body["system"] = system_prompt
    if form.output_mode == "prefill":
        messages.append({"role": "assistant", "content": PREFILL})
    elif form.output_mode == "json_schema":
        body["output_config"] = {"format": {"type": "json_schema", "schema": form.schema}}
    elif form.output_mode == "tool":
        tool = {"name": form.tool_name, "description": form.tool_description, "input_schema": form.schema}
        body["tools"] = [tool]
        body["tool_choice"] = {"type": "tool", "name": form.tool_name}
    return body


def converse_body(
    prompt: str,
    system_prompt: str,
    sampling: dict[str, float],
    max_tokens: int,
    form: AnswerForm,
) -> dict[str, Any]:
    """Return the members of a Converse request, without the model id."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"text": prompt}]}]
    wire_names = {"temperature": "temperature", "top_p": "topP"}
    inference = {"maxTokens": max_tokens, **{wire_names[name]: value for name, value in sampling.items()}}
    body: dict[str, Any] = {"messages": messages, "inferenceConfig": inference}
    if system_prompt:
        body["system"] = [{"text": system_prompt}]
    if form.output_mode == "prefill":
        messages.append({"role": "assistant", "content": [{"text": PREFILL}]})
    elif form.output_mode == "json_schema":
        structure = {"jsonSchema": {"schema": _json_text(form.schema), "name": SCHEMA_NAME}}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": structure}}
    elif form.output_mode == "tool":
        tool = {"name": form.tool_name, "description": form.tool_description, "inputSchema": {"json": form.schema}}
        body["toolConfig"] = {"tools": [{"toolSpec": tool}], "toolChoice": {"tool": {"name": form.tool_name}}}
    return body


def compact_json(value: Any) -> str:
    """Return a value as ASCII JSON without spaces."""
    return _json_text(value, separators=(",", ":"))


def _json_text(value: Any, separators: tuple[str, str] | None = None) -> str:
    """Return a value as ASCII JSON; InputError for NaN and Infinity, which `json.loads` accepts in a schema."""
    try:
        return json.dumps(value, allow_nan=False, separators=separators)
    except ValueError:
        raise InputError("the validation schema holds NaN or Infinity, which JSON does not have: remove it") from None
