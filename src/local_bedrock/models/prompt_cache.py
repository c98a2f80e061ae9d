"""The prompt cache: markers, minimum prefixes, and the tokens that a request reads from the cache or writes into it.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html. The minimums are those of the model
map of litellm of 2026-11, which follows Anthropic's and AWS's tables. Only the last marker of a request counts here.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local_bedrock.answers.schema_answers import estimate_tokens
from local_bedrock.jsonio import dump_json

SECONDS = {"5m": 300.0, "1h": 3600.0}
_MINIMUMS = (
    (re.compile(r"anthropic\.claude-(?:haiku-4-5|opus-4-5|opus-4-6)(?!\d).*"), 4_096),
    (re.compile(r"anthropic\.claude-3-5-haiku.*|anthropic\.claude-opus-4-7.*"), 2_048),
    (re.compile(r"anthropic\.claude-(?:[a-z]+-5-5|opus-5|fable-5|mythos-5)(?!\d).*"), 512),
)
_DEFAULT_MINIMUM = 1_024


@dataclass(frozen=True, slots=True)
class MarkedPrefix:
    """What stands before the last marker of a request: a digest of all of it, its text, and how long it is kept."""

    digest: str
    text: str
    ttl: str


@dataclass(frozen=True, slots=True)
class CachedTokens:
    """The tokens of a request that were read from the cache, and those that were written into it."""

    read: int = 0
    written: int = 0
    ttl: str = "5m"


def marked_prefix(body: Mapping[str, Any]) -> MarkedPrefix | None:
    """Return what stands before the last marker of a Messages body or a Converse request; None without a marker."""
    seen: list[dict[str, Any]] = []
    text, found = "", None
    for piece in _pieces(body):
        if "cachePoint" in piece:
            found = (len(seen), text, piece["cachePoint"].get("ttl") or "5m")
            continue
        control = piece.get("cache_control")
        plain = {name: value for name, value in piece.items() if name != "cache_control"}
        seen.append(plain)
        text += str(plain.get("text", ""))
        if control:
            found = (len(seen), text, control.get("ttl") or "5m")
    if found is None:
        return None
    count, before, ttl = found
    return MarkedPrefix(hashlib.sha256(dump_json(seen[:count])).hexdigest(), before, ttl)


def _pieces(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the tools, the blocks of the system prompt and those of the messages, in the order of the cache."""
    yield from (tool for tool in body.get("tools") or () if isinstance(tool, dict))
    yield from (tool for tool in (body.get("toolConfig") or {}).get("tools") or () if isinstance(tool, dict))
    yield from _blocks(body.get("system"))
    for message in body.get("messages") or ():
        yield {"role": message.get("role")}
        yield from _blocks(message.get("content"))


def _blocks(content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, str):
        yield {"text": content}
    elif isinstance(content, list | tuple):
        yield from (block for block in content if isinstance(block, dict))


def minimum_tokens(model_id: str) -> int:
    """Return the least tokens before a marker that a model keeps."""
    return next((least for pattern, least in _MINIMUMS if pattern.fullmatch(model_id)), _DEFAULT_MINIMUM)


class PromptCache:
    """What the models keep, with the time until which they keep it. It is thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], float] = {}

    def use(self, model_id: str, prefix: MarkedPrefix | None, input_tokens: int) -> CachedTokens:
        """Read a prefix from the cache, or write it; a prefix below the model's minimum is ignored."""
        if prefix is None:
            return CachedTokens()
        tokens = min(estimate_tokens(prefix.text), input_tokens)
        if tokens < minimum_tokens(model_id):
            return CachedTokens()
        key = model_id, prefix.digest
        with self._lock:
            is_kept = self._kept.get(key, 0.0) > self._clock()
            self._kept[key] = self._clock() + SECONDS.get(prefix.ttl, SECONDS["5m"])
        return CachedTokens(read=tokens, ttl=prefix.ttl) if is_kept else CachedTokens(written=tokens, ttl=prefix.ttl)
