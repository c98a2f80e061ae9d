"""Responses split into the events of a stream: those of ConverseStream, and the chunks of each family.

Sources: the service model of ConverseStream, Anthropic's page on streaming, and the pages on Nova, Llama and OpenAI's
models in AWS's user guides. AWS adds `amazon-bedrock-invocationMetrics` to the last chunk of every family.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from local_bedrock.jsonio import dump_json
from local_bedrock.models.families import Shape
from local_bedrock.wire.event_stream import Event

_PIECE = 16
"""Characters of a delta. The deltas of a model differ in length; what reads them must not depend on it."""

Chunk = tuple[dict[str, Any], int]
"""A chunk of a model's own stream, with the number of its tokens."""


def split_converse(document: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the events of ConverseStream for a response of Converse."""
    yield Event("messageStart", {"role": "assistant"})
    for index, block in enumerate(document["output"]["message"]["content"]):
        yield from _split_converse_block(block, index)
    yield Event("messageStop", {"stopReason": document["stopReason"]})
    yield Event("metadata", {name: document[name] for name in document if name not in ("output", "stopReason")})


def _split_converse_block(block: Mapping[str, Any], index: int) -> Iterator[Event]:
    """Yield the events of one block. Only the block of a tool begins with an event of its own."""
    deltas: list[tuple[dict[str, Any], int]]
    if "toolUse" in block:
        tool = block["toolUse"]
        start = {name: tool[name] for name in ("toolUseId", "name")}
        yield Event("contentBlockStart", {"start": {"toolUse": start}, "contentBlockIndex": index})
        deltas = [({"toolUse": {"input": piece}}, tokens) for piece, tokens in _pieces(_json_text(tool["input"]))]
    elif "reasoningContent" in block:
        thought = block["reasoningContent"]["reasoningText"]
        deltas = [({"reasoningContent": {"text": piece}}, tokens) for piece, tokens in _pieces(thought["text"])]
        deltas.append(({"reasoningContent": {"signature": thought["signature"]}}, 0))
    else:
        deltas = [({"text": piece}, tokens) for piece, tokens in _pieces(block["text"])]
    for delta, tokens in deltas:
        yield Event("contentBlockDelta", {"delta": delta, "contentBlockIndex": index}, tokens)
    yield Event("contentBlockStop", {"contentBlockIndex": index})


def split_model_output(shape: Shape, document: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the events of InvokeModelWithResponseStream for a response of InvokeModel."""
    *chunks, (last, tokens) = _SPLITTERS[shape](document)
    for chunk, count in (*chunks, ({**last, "amazon-bedrock-invocationMetrics": metrics}, tokens)):
        yield Event("chunk", {"bytes": base64.b64encode(dump_json(chunk)).decode()}, count)


def _split_messages(document: Mapping[str, Any]) -> Iterator[Chunk]:
    """Yield the chunks of the Messages API."""
    usage = document["usage"]
    begun: dict[str, Any] = {
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    yield {"type": "message_start", "message": {**document, **begun}}, 0
    for index, block in enumerate(document["content"]):
        start, deltas = _open_block(block)
        yield {"type": "content_block_start", "index": index, "content_block": start}, 0
        for delta, tokens in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}, tokens
        yield {"type": "content_block_stop", "index": index}, 0
    stop = {name: document[name] for name in ("stop_reason", "stop_sequence")}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": usage["output_tokens"]}}, 0
    yield {"type": "message_stop"}, 0


def _open_block(block: Mapping[str, Any]) -> tuple[dict[str, Any], list[Chunk]]:
    """Return a block of the Messages API as it begins, and the deltas that complete it."""
    match block["type"]:
        case "tool_use":
            pieces = [("", 0), *_pieces(_json_text(block["input"]))]
            deltas = [({"type": "input_json_delta", "partial_json": piece}, tokens) for piece, tokens in pieces]
            return {**block, "input": {}}, deltas
        case "thinking":
            thought = _pieces(block["thinking"])
            deltas = [({"type": "thinking_delta", "thinking": piece}, tokens) for piece, tokens in thought]
            deltas.append(({"type": "signature_delta", "signature": block["signature"]}, 0))
            return {**block, "thinking": "", "signature": ""}, deltas
        case _:
            texts = _pieces(block["text"])
            return {**block, "text": ""}, [({"type": "text_delta", "text": piece}, tokens) for piece, tokens in texts]


def _split_nova(document: Mapping[str, Any]) -> Iterator[Chunk]:
    """Yield Nova's chunks, which are the events of ConverseStream, each under its name."""
    for event in split_converse(document):
        more: dict[str, Any] = {"metrics": {}, "trace": {}} if event.name == "metadata" else {}
        yield {event.name: {**event.document, **more}}, event.tokens


def _split_llama(document: Mapping[str, Any]) -> Iterator[Chunk]:
    """Yield Llama's chunks. The first alone counts the prompt, and the last alone has a stop reason."""
    prompt, stop = document["prompt_token_count"], document["stop_reason"]
    total = 0
    for piece, tokens in _pieces(document["generation"]):
        total += tokens
        yield _llama_chunk(piece, prompt, total, None), tokens
        prompt = None
    yield _llama_chunk("", prompt, document["generation_token_count"], stop), 0


def _llama_chunk(text: str, prompt_tokens: int | None, tokens: int, stop_reason: str | None) -> dict[str, Any]:
    return {
        "generation": text,
        "prompt_token_count": prompt_tokens,
        "generation_token_count": tokens,
        "stop_reason": stop_reason,
    }


def _split_chat(document: Mapping[str, Any]) -> Iterator[Chunk]:
    """Yield the chunks of OpenAI's chat format."""
    frame = {name: document[name] for name in ("id", "model")} | {"object": "chat.completion.chunk"}
    (choice,) = document["choices"]

    def chunk(delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        return {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}

    yield chunk({"role": "assistant", "content": ""}), 0
    for piece, tokens in _pieces(choice["message"]["content"]):
        yield chunk({"content": piece}), tokens
    for index, call in enumerate(choice["message"].get("tool_calls", ())):
        opened = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        yield chunk({"tool_calls": [opened]}), 0
        for piece, tokens in _pieces(call["function"]["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}), tokens
    yield {**chunk({}, choice["finish_reason"]), "usage": document["usage"]}, 0


def _pieces(text: str) -> Iterator[tuple[str, int]]:
    """Yield the pieces of a text, each with its number of tokens."""
    for start in range(0, len(text), _PIECE):
        piece = text[start : start + _PIECE]
        yield piece, -(-len(piece) // 4)


def _json_text(value: Any) -> str:
    return dump_json(value).decode()


_SPLITTERS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Chunk]]] = {
    "anthropic": _split_messages,
    "nova": _split_nova,
    "llama": _split_llama,
    "chat": _split_chat,
}
