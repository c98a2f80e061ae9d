"""Request and response bodies of Anthropic's Messages API on Bedrock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_bedrock.body_checks import BodyError, read_count, read_number, read_texts, refuse_unknown, require_field
from local_bedrock.models.converse_rules import wrong_tool_schema
from local_bedrock.models.tool_schemas import is_json_schema
from local_bedrock.questions import Answer, Question

_VERSION = "bedrock-2023-05-31"
_DATED_VERSION = "2026-10-21"
"""Sent by Anthropic's SDK 2. On Bedrock, Claude 4.7 and later take it (Anthropic's page on versions)."""
MESSAGES_FIELDS = frozenset(
    {
        "anthropic_version", "anthropic_beta", "max_tokens", "messages", "system", "temperature", "top_p", "top_k",
        "stop_sequences", "tools", "tool_choice", "thinking", "output_config", "metadata", "context_management",
    }
)  # fmt: skip # a set of words
_BLOCK_TYPES = frozenset(
    {
        "text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking", "search_result",
        "server_tool_use",
    }
)  # fmt: skip # a set of words


def read_messages(body: Mapping[str, Any]) -> Question:
    """Read a Messages body; raise `BodyError` if it is invalid."""
    require_field(body, "anthropic_version", "max_tokens", "messages")
    refuse_unknown(body, MESSAGES_FIELDS)
    if body["anthropic_version"] not in (_VERSION, _DATED_VERSION):
        raise wrong_version()
    system, system_marked = _read_text(body.get("system"), "system")
    prompt, prefill, marked = _read_turns(body["messages"])
    tools = body.get("tools") or ()
    return Question(
        prompt=prompt,
        system=system,
        prefill=prefill,
        max_tokens=read_count(body, "max_tokens"),
        temperature=read_number(body, "temperature", 0, 1),
        top_p=read_number(body, "top_p", 0, 1),
        top_k=read_count(body, "top_k", 0),
        stop_sequences=read_texts(body, "stop_sequences"),
        tools=_read_tools(tools) if tools else {},
        tool_choice=_read_tool_choice(body.get("tool_choice")),
        has_tool_result=_has_tool_result(body["messages"][-1]["content"]),
        output_schema=_read_output_schema(body.get("output_config")),
        thinking=_read_thinking(body),
        effort=(body.get("output_config") or {}).get("effort"),
        has_dated_version=body["anthropic_version"] == _DATED_VERSION,
        has_cache_marker=marked or system_marked or any("cache_control" in tool for tool in tools),
    )


def wrong_version() -> BodyError:
    """Return the error for a version of the API that the model does not have."""
    return BodyError(f"anthropic_version: Input should be '{_VERSION}'")


def _read_turns(messages: Any) -> tuple[str, str | None, bool]:
    if not isinstance(messages, list):
        raise BodyError("messages: Input should be a valid list")
    if not messages:
        raise BodyError("messages: at least one message is required")
    texts = []
    marked = False
    for i, message in enumerate(messages):
        path = f"messages.{i}"
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("user", "assistant"):
            raise _role_error(path, message, role)
        if "content" not in message:
            raise BodyError(f"{path}.content: Field required")
        unknown = [name for name in message if name not in ("role", "content")]
        if unknown:
            raise BodyError(f"{path}.{unknown[0]}: Extra inputs are not permitted")
        text, cached = _read_text(message["content"], f"{path}.content")
        last_assistant = role == "assistant" and i == len(messages) - 1
        if not message["content"] and not last_assistant:
            raise BodyError(
                f"{path}: all messages must have non-empty content except for the optional final assistant message"
            )
        marked = marked or cached
        texts.append((role, text))
    if texts[0][0] != "user":
        raise BodyError('messages: first message must use the "user" role')
    prefill = texts.pop()[1] if texts[-1][0] == "assistant" else None
    return "\n\n".join(text for _, text in texts), prefill, marked


def _role_error(path: str, message: Any, role: Any) -> BodyError:
    if not isinstance(message, dict):
        return BodyError(f"{path}: Input should be a valid dictionary or object to extract fields from")
    if role is None:
        return BodyError(f"{path}.role: Field required")
    if role == "system":
        return BodyError(
            'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, '
            'not "system" as an input message role.'
        )
    return BodyError(f"{path}.role: Input should be 'user' or 'assistant'")


def _read_text(content: Any, path: str) -> tuple[str, bool]:
    if content is None or isinstance(content, str):
        return content or "", False
    if not isinstance(content, list):
        raise BodyError(f"{path}: Input should be a valid string or list")
    texts: list[str] = []
    marked = behind_marker = False
    for i, block in enumerate(content):
        kind = block.get("type") if isinstance(block, dict) else None
        if kind is None:
            raise BodyError(f"{path}.{i}.type: Field required")
        if kind not in _BLOCK_TYPES:
            raise BodyError(
                f"{path}.{i}: Input tag '{kind}' found using 'type' does not match any of the expected tags"
            )
        if kind == "text":
            if not isinstance(block.get("text"), str):
                raise BodyError(f"{path}.{i}.text.text: Field required")
            if not block["text"]:
                raise BodyError("messages: text content blocks must be non-empty")
            if not block["text"].strip():
                raise BodyError("messages: text content blocks must contain non-whitespace text")
            if behind_marker:  # a marker splits a text and adds nothing to it
                texts[-1] += block["text"]
            else:
                texts.append(block["text"])
        if kind == "tool_result":
            texts.append(_read_text(block.get("content"), f"{path}.{i}.tool_result.content")[0])
        behind_marker = kind == "text" and "cache_control" in block
        marked = marked or "cache_control" in block
    return "\n".join(texts), marked


def _has_tool_result(content: Any) -> bool:
    return isinstance(content, list) and any(block["type"] == "tool_result" for block in content)


def _read_tools(tools: Any) -> dict[str, Any]:
    result = {}
    for i, tool in enumerate(tools):
        for name in ("name", "input_schema"):
            if not isinstance(tool, dict) or name not in tool:
                raise BodyError(f"tools.{i}.custom.{name}: Field required")
        if not is_json_schema(tool["input_schema"]):
            raise wrong_tool_schema(i)
        if tool["name"] in result:
            raise BodyError("tools: Tool names must be unique.")
        result[tool["name"]] = tool["input_schema"]
    return result


def _read_tool_choice(choice: Any) -> str | None:
    if choice is None:
        return None
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "tool":
        if "name" not in choice:
            raise BodyError("tool_choice.tool.name: Field required")
        return f"tool:{choice['name']}"
    if kind not in ("auto", "any", "none"):
        raise BodyError("tool_choice: Input should be auto, any, tool or none")
    return str(kind)


def _read_output_schema(config: Any) -> Any:
    form = config.get("format") if isinstance(config, dict) else None
    if form is None:
        return None
    if not isinstance(form, dict) or form.get("type") != "json_schema" or not isinstance(form.get("schema"), dict):
        raise BodyError("output_config.format: Input should be a json_schema format with a schema")
    return form["schema"]


def _read_thinking(body: Mapping[str, Any]) -> str | None:
    thinking = body.get("thinking")
    if thinking is None:
        return None
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind not in ("enabled", "adaptive", "disabled", "between_tools"):
        raise BodyError(
            "thinking: Input tag does not match any of the expected tags: 'adaptive', 'disabled', 'enabled'"
        )
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        if budget is None:
            raise BodyError("thinking.enabled.budget_tokens: Field required")
        if budget < 1024:
            raise BodyError("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if isinstance(body["max_tokens"], int) and budget >= body["max_tokens"]:
            raise BodyError("`max_tokens` must be greater than `thinking.budget_tokens`.")
    return str(kind)


def _written_by_time(answer: Answer) -> dict[str, int]:
    times = {"5m": 0, "1h": 0, answer.cache_ttl: answer.cache_written}
    return {f"ephemeral_{ttl}_input_tokens": count for ttl, count in times.items()}


def write_message(answer: Answer, model: str) -> dict[str, Any]:
    """Return the Messages response for an answer."""
    content: list[dict[str, Any]] = []
    if answer.thought:
        content.append({"type": "thinking", "thinking": answer.thought, "signature": answer.identity})
    if answer.tool_name is not None:
        identity = f"toolu_bdrk_{answer.identity}"
        content.append({"type": "tool_use", "id": identity, "name": answer.tool_name, "input": answer.tool_input})
    elif answer.text:
        content.append({"type": "text", "text": answer.text})
    return {
        "model": model.removeprefix("anthropic."),
        "id": f"msg_bdrk_{answer.identity}",
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stopped_at,
        "usage": {
            "input_tokens": answer.input_tokens,
            "cache_creation_input_tokens": answer.cache_written,
            "cache_read_input_tokens": answer.cache_read,
            **({"cache_creation": _written_by_time(answer)} if answer.cache_written else {}),
            "output_tokens": answer.output_tokens,
        },
    }
