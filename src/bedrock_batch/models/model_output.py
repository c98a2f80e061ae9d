"""Reads the output of a model of any family: its text, its stop reason and its usage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bedrock_batch.records import Billing
from bedrock_batch.text import printable

# Stop reasons of a complete answer, in lower case: Anthropic, Converse, OpenAI, Cohere and Titan.
COMPLETE_STOP_REASONS = frozenset(
    {"end_turn", "stop_sequence", "tool_use", "stop", "tool_calls", "function_call", "complete", "finish", "finished"}
)
# Stop reasons of an answer that was cut off or withheld: the enumeration of Converse in botocore's service model, the
# stop reasons of Anthropic's SDK, and OpenAI's.
BROKEN_STOP_REASONS = frozenset(
    {"max_tokens", "length", "model_length", "model_context_window_exceeded", "pause_turn", "refusal"}
    | {"content_filter", "content_filtered", "guardrail_intervened", "malformed_model_output", "malformed_tool_use"}
)
_COUNT_LIMIT = 2**63


def is_complete(stop_reason: str | None) -> bool:
    """Return whether an answer with this stop reason ended by itself."""
    return (stop_reason or "").casefold() in COMPLETE_STOP_REASONS


@dataclass(slots=True)  # not frozen for speed: see `records`
class OutputContent:
    """The content of a model's output: its text or the input of the tool that the model called, and its token counts.

    `input_tokens` includes the tokens that a prompt cache supplied or stored.
    """

    text: str
    stop_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tool_input: dict[str, Any] | None = None
    billing: Billing | None = None


def read_output(body: Mapping[str, Any]) -> OutputContent:
    """Return the text, stop reason and usage of a body; the text is empty if the body has no known form. Never raises.

    The forms are Anthropic Messages, Converse (also that of Nova), OpenAI chat, and `generation` of Llama. In batch,
    Converse writes all members of a union, the absent ones as null.
    """
    body = _mapping(body)  # a result line may contain any JSON value
    if output := _mapping(body.get("output")):
        return _read_blocks(body, _mapping(output.get("message")).get("content"), body.get("stopReason"))
    if isinstance(body.get("content"), list):
        return _read_blocks(body, body["content"], body.get("stop_reason"))
    if choices := _items(body.get("choices")):
        return _read_choice(body, choices[0])
    return _content(body, _text(body.get("generation")), body.get("stop_reason"))


def _read_blocks(body: Mapping[str, Any], content: Any, stop_reason: Any) -> OutputContent:
    blocks = _items(content)
    text = "".join(_text(block.get("text")) for block in blocks if block.get("type") in (None, "text"))
    return _content(body, text, stop_reason, next(_tool_inputs(blocks), None))


def _tool_inputs(blocks: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for block in blocks:
        tool = block if block.get("type") == "tool_use" else _mapping(block.get("toolUse"))
        if isinstance(tool.get("input"), dict):
            yield tool["input"]


def _read_choice(body: Mapping[str, Any], choice: Mapping[str, Any]) -> OutputContent:
    message = _mapping(choice.get("message"))
    calls = [_mapping(call.get("function")).get("arguments") for call in _items(message.get("tool_calls"))]
    content = message.get("content")
    parts = [part.get("text") for part in _items(content)] if isinstance(content, list) else [content]
    text = "".join(map(_text, parts))
    if text or not calls:
        stop_reason = "refusal" if message.get("refusal") and not text else choice.get("finish_reason")
        return _content(body, text, stop_reason)
    return _content(body, _text(calls[0]), choice.get("finish_reason"))


def _content(
    body: Mapping[str, Any], text: str, stop_reason: Any, tool_input: dict[str, Any] | None = None
) -> OutputContent:
    usage = _mapping(body.get("usage")) or body
    reason = printable(stop_reason) if isinstance(stop_reason, str) else None
    billing = _billing(body, usage)
    return OutputContent(text, reason, _input_tokens(usage), _output_tokens(usage), tool_input, billing)


def _billing(body: Mapping[str, Any], usage: Mapping[str, Any]) -> Billing | None:
    """Return how the service says that it bills an answer; None if it says nothing but the number of tokens.

    `aws.runtime` writes the service tier of InvokeModel into the body, where Converse has it.
    """
    tier = _mapping(body.get("serviceTier")).get("type")
    read, written, for_an_hour = _cache_tokens(usage)
    if not (tier or read or written):
        return None
    return Billing(printable(str(tier or "")), read, max(0, written - for_an_hour), for_an_hour)


def _cache_tokens(usage: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return the tokens read from a prompt cache, those written into it, and those of the latter that stay an hour."""
    read, written, by_time = (
        _first_count(usage, _CACHE_READ) or 0,
        _first_count(usage, _CACHE_WRITTEN) or 0,
        _mapping(usage.get("cache_creation")),
    )
    for_an_hour = _count(by_time.get("ephemeral_1h_input_tokens")) or 0
    for detail in _items(usage.get("cacheDetails")):
        if detail.get("ttl") == "1h":
            for_an_hour += _count(detail.get("inputTokens")) or 0
    return read, written, min(for_an_hour, written)


# The names of Anthropic, Converse, OpenAI and Llama. The first two count the tokens of a prompt cache separately
# (https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html).
_INPUT_NAMES = ("input_tokens", "inputTokens", "prompt_tokens", "prompt_token_count")
_CACHE_READ = ("cache_read_input_tokens", "cacheReadInputTokens")
_CACHE_WRITTEN = ("cache_creation_input_tokens", "cacheWriteInputTokens")
_CACHE_NAMES = (*_CACHE_READ, *_CACHE_WRITTEN)
_OUTPUT_NAMES = ("output_tokens", "outputTokens", "completion_tokens", "generation_token_count")


def _input_tokens(usage: Mapping[str, Any]) -> int | None:
    plain = _first_count(usage, _INPUT_NAMES)
    if plain is None:
        return None
    return min(plain + sum(_count(usage[name]) or 0 for name in _CACHE_NAMES if name in usage), _COUNT_LIMIT - 1)


def _output_tokens(usage: Mapping[str, Any]) -> int | None:
    return _first_count(usage, _OUTPUT_NAMES)


def _first_count(usage: Mapping[str, Any], names: Iterable[str]) -> int | None:
    for name in names:
        count = _count(usage.get(name))
        if count is not None:
            return count
    return None


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _COUNT_LIMIT else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
