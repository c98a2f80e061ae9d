"""Converse requests and responses, in real time and in batch records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from botocore.model import OperationModel

from local_bedrock.body_checks import BodyError
from local_bedrock.errors import AwsError
from local_bedrock.jsonio import dump_json
from local_bedrock.models.converse_rules import refuse_conversation
from local_bedrock.questions import Answer, Question
from local_bedrock.wire.constraints import violations
from local_bedrock.wire.shapes import read_value

_STOP_REASONS = {"refusal": "content_filtered"}
_NOT_IN_RECORDS = frozenset({"modelId", "serviceTier", "requestMetadata"})


def read_converse(params: Mapping[str, Any]) -> Question:
    """Read the parameters of a Converse call, after the checks of its service model."""
    messages = params.get("messages") or ()
    if not messages:
        raise BodyError("messages: at least one message is required")
    tool_config = params.get("toolConfig") or {}
    refuse_conversation(messages, tool_config)
    turns = [(message["role"], _read_text(message["content"])) for message in messages]
    prefill = turns.pop()[1] if turns[-1][0] == "assistant" else None
    inference = params.get("inferenceConfig") or {}
    extra = params.get("additionalModelRequestFields") or {}
    blocks = [block for message in messages for block in message["content"]]
    everything = [*blocks, *(params.get("system") or ()), *tool_config.get("tools", ())]
    return Question(
        prompt="\n\n".join(text for _, text in turns),
        system="\n".join(block["text"] for block in params.get("system") or () if "text" in block),
        prefill=prefill,
        max_tokens=inference.get("maxTokens"),
        temperature=inference.get("temperature", extra.get("temperature")),
        top_p=inference.get("topP", extra.get("top_p")),
        top_k=extra.get("top_k"),
        stop_sequences=tuple(inference.get("stopSequences") or ()),
        tools=read_tools(tool_config),
        tool_choice=read_tool_choice(tool_config.get("toolChoice")),
        has_tool_result=any("toolResult" in block for block in messages[-1]["content"]),
        output_schema=_read_output_schema(params, extra),
        thinking=(extra.get("thinking") or {}).get("type"),
        effort=(params.get("outputConfig") or extra.get("output_config") or {}).get("effort"),
        has_cache_marker=any("cachePoint" in block for block in everything),
        has_image=any("image" in block for block in blocks),
        by_converse=True,
        extra_fields=tuple(extra),
    )


def _read_text(blocks: Iterable[Mapping[str, Any]]) -> str:
    texts: list[str] = []
    behind_marker = False
    for block in blocks:
        text = read_block_text(block)
        if text and behind_marker and texts:  # a marker splits a text and adds nothing to it
            texts[-1] += text
        elif text:
            texts.append(text)
        behind_marker = "cachePoint" in block
    return "\n".join(texts)


def read_tools(tool_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of each tool by its name."""
    tools = [tool["toolSpec"] for tool in tool_config.get("tools", ()) if "toolSpec" in tool]
    return {tool["name"]: tool["inputSchema"].get("json", {}) for tool in tools}


def read_tool_choice(choice: Mapping[str, Any] | None) -> str | None:
    """Return the choice of a tool as `Question.tool_choice` has it."""
    if not choice:
        return None
    kind, value = next(iter(choice.items()))
    return f"tool:{value['name']}" if kind == "tool" else kind


def read_block_text(block: Mapping[str, Any]) -> str | None:
    """Return the text of a content block: what it says, or what a tool has returned."""
    if "toolResult" not in block:
        return block.get("text")
    parts = block["toolResult"].get("content") or ()
    return "\n".join(part["text"] if "text" in part else dump_json(part.get("json")).decode() for part in parts)


def _read_output_schema(params: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
    text_format = (params.get("outputConfig") or {}).get("textFormat")
    if text_format:
        return text_format["structure"]["jsonSchema"]["schema"]
    return ((extra.get("output_config") or {}).get("format") or {}).get("schema")


def read_converse_record(operation: OperationModel, body: Mapping[str, Any]) -> Question:
    """Read a batch record of type Converse, a request without model id, with the strict checks of AWS."""
    if body.get("toolConfig"):
        raise BodyError("Tool calling is not supported for batch inference jobs with the Converse invocation type.")
    shape = operation.input_shape
    assert shape is not None  # noqa: S101 - tells mypy that Converse has an input
    try:
        params = read_value(shape, body, "", _refuse_unknown)
    except AwsError as error:
        raise BodyError(error.message) from error
    for name in _NOT_IN_RECORDS & body.keys():
        _refuse_unknown("", name)
    found = [text for text in violations(shape, params) if "'modelId'" not in text]
    if found:
        raise BodyError("; ".join(found))
    return read_converse(params)


def _refuse_unknown(path: str, name: str) -> None:
    raise BodyError(f'Unrecognized field "{name}"' + (f" at {path}" if path else ""))


def write_converse(answer: Answer, latency_ms: int = 1) -> dict[str, Any]:
    """Return the Converse response for an answer."""
    content: list[dict[str, Any]] = []
    if answer.thought:
        reasoning = {"text": answer.thought, "signature": answer.identity}
        content.append({"reasoningContent": {"reasoningText": reasoning}})
    if answer.tool_name is not None:
        identity = f"tooluse_{answer.identity}"
        content.append({"toolUse": {"toolUseId": identity, "name": answer.tool_name, "input": answer.tool_input}})
    elif answer.text:
        content.append({"text": answer.text})
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _STOP_REASONS.get(answer.stop_reason, answer.stop_reason),
        "usage": {
            "inputTokens": answer.input_tokens,
            "outputTokens": answer.output_tokens,
            "totalTokens": answer.input_tokens + answer.output_tokens + answer.cache_read + answer.cache_written,
            **_cache_counters(answer),
        },
        "metrics": {"latencyMs": latency_ms},
    }


def _cache_counters(answer: Answer) -> dict[str, Any]:
    """Return the counters of the prompt cache; none for a request that did not use it."""
    if not (answer.cache_read or answer.cache_written):
        return {}
    counters: dict[str, Any] = {
        "cacheReadInputTokens": answer.cache_read,
        "cacheWriteInputTokens": answer.cache_written,
    }
    if answer.cache_written:
        counters["cacheDetails"] = [{"ttl": answer.cache_ttl, "inputTokens": answer.cache_written}]
    return counters


class ConverseRecordWriter:
    """Writes Converse answers as batch output does: all members of a union are present, and all but one are null."""

    def __init__(self, operation: OperationModel) -> None:
        shape: Any = operation.output_shape
        message = shape.members["output"].members["message"]
        self._members = dict.fromkeys(message.members["content"].member.members)

    def __call__(self, answer: Answer) -> dict[str, Any]:
        """Return the `modelOutput` of a record."""
        document = write_converse(answer)
        message = document["output"]["message"]
        message["content"] = [{**self._members, **block} for block in message["content"]]
        return {**document, "additionalModelResponseFields": None, "trace": None, "performanceConfig": None}
