"""InvokeModel bodies of the families other than Claude: Nova, Llama and OpenAI-compatible chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_bedrock.body_checks import BodyError, read_count, read_number, read_texts, require_field
from local_bedrock.jsonio import dump_json
from local_bedrock.models.converse import read_block_text, read_tool_choice, read_tools, write_converse
from local_bedrock.models.embeddings import malformed
from local_bedrock.questions import Answer, Question

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def read_nova(body: Mapping[str, Any]) -> Question:
    """Read Amazon Nova's body: Converse-like blocks, `inferenceConfig` in camel case."""
    require_nova(body)
    inference = body.get("inferenceConfig") or {}
    tool_config = body.get("toolConfig") or {}
    turns = [(message["role"], _block_text(message.get("content"))) for message in body["messages"]]
    prefill = turns.pop()[1] if turns[-1][0] == "assistant" else None
    return Question(
        prompt="\n\n".join(text for _, text in turns),
        system=_block_text(body.get("system")),
        prefill=prefill,
        max_tokens=read_count(inference, "maxTokens"),
        temperature=read_number(inference, "temperature", 0, 1),
        top_p=read_number(inference, "topP", 0, 1),
        stop_sequences=read_texts(inference, "stopSequences"),
        tools=read_tools(tool_config),
        tool_choice=read_tool_choice(tool_config.get("toolChoice")),
        has_tool_result=any("toolResult" in block for block in body["messages"][-1]["content"]),
    )


def require_nova(body: Mapping[str, Any]) -> None:
    """Raise `BodyError`, in the wording of Nova's schema check, if a body is not valid for Nova."""
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise malformed("#: required key [messages] not found")
    known = {"messages", "system", "inferenceConfig", "toolConfig", "schemaVersion", "additionalModelRequestFields"}
    for name in body:
        if name not in known:
            raise malformed(f"#: extraneous key [{name}] is not permitted")
    for message in body["messages"]:
        if not isinstance(message, dict) or not isinstance(message.get("content"), list):
            raise malformed("#/messages/0/content: expected type: JSONArray")


def _block_text(blocks: Any) -> str:
    texts = [read_block_text(block) for block in blocks or () if isinstance(block, dict)]
    return "\n".join(text for text in texts if text)


def write_nova(answer: Answer, _model: str) -> dict[str, Any]:
    """Return Nova's response, which is that of Converse without metrics."""
    document = write_converse(answer)
    del document["metrics"]
    return document


def read_llama(body: Mapping[str, Any]) -> Question:
    """Read Meta Llama's body: one prompt that contains the chat template."""
    if not isinstance(body.get("prompt"), str):
        raise malformed("#: required key [prompt] not found")
    for name in body:
        if name not in {"prompt", "max_gen_len", "temperature", "top_p", "images"}:
            raise malformed(f"#: extraneous key [{name}] is not permitted")
    return Question(
        prompt=body["prompt"],
        max_tokens=read_count(body, "max_gen_len") or 512,
        temperature=read_number(body, "temperature", 0, 1),
        top_p=read_number(body, "top_p", 0, 1),
    )


def write_llama(answer: Answer, _model: str) -> dict[str, Any]:
    """Return Llama's response."""
    return {
        "generation": answer.text,
        "prompt_token_count": answer.input_tokens,
        "generation_token_count": answer.output_tokens,
        "stop_reason": "length" if answer.stop_reason == "max_tokens" else "stop",
    }


def read_chat(body: Mapping[str, Any]) -> Question:
    """Read the OpenAI-compatible body of the open-weight models."""
    require_field(body, "messages")
    if not isinstance(body["messages"], list) or not body["messages"]:
        raise BodyError("messages: at least one message is required")
    turns = [(message.get("role"), _chat_text(message.get("content"))) for message in body["messages"]]
    prefill = turns.pop()[1] if turns[-1][0] == "assistant" else None
    turns = turns or [("user", "")]
    tools = [tool["function"] for tool in body.get("tools") or ()]
    form = body.get("response_format") or {}
    return Question(
        prompt="\n\n".join(text for role, text in turns if role not in ("system", "developer")),
        system="\n".join(text for role, text in turns if role in ("system", "developer")),
        prefill=prefill,
        max_tokens=read_count(body, "max_tokens") or read_count(body, "max_completion_tokens"),
        temperature=read_number(body, "temperature", 0, 2),
        top_p=read_number(body, "top_p", 0, 1),
        stop_sequences=read_texts(body, "stop") if isinstance(body.get("stop"), list) else (),
        tools={tool["name"]: tool.get("parameters", {}) for tool in tools},
        tool_choice=_chat_tool_choice(body.get("tool_choice")),
        has_tool_result=turns[-1][0] == "tool",
        output_schema=form.get("json_schema", {}).get("schema") if form.get("type") == "json_schema" else None,
    )


def _chat_text(content: Any) -> str:
    return content if isinstance(content, str) else _block_text(content)


def _chat_tool_choice(choice: Any) -> str | None:
    if isinstance(choice, Mapping):
        return f"tool:{choice['function']['name']}"
    return "any" if choice == "required" else choice


def write_chat(answer: Answer, model: str) -> dict[str, Any]:
    """Return an OpenAI-compatible response. gpt-oss puts its reasoning before the text."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if "gpt-oss" in model:
        message["content"] = f"<reasoning>The user wants an answer.</reasoning>{answer.text}"
    if answer.tool_name is not None:
        function = {"name": answer.tool_name, "arguments": dump_json(answer.tool_input).decode()}
        message["tool_calls"] = [{"id": f"call_{answer.identity}", "type": "function", "function": function}]
    return {
        "id": f"chatcmpl-{answer.identity}",
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": _FINISH_REASONS[answer.stop_reason]}],
        "usage": {
            "prompt_tokens": answer.input_tokens,
            "completion_tokens": answer.output_tokens,
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
    }
