"""The model families as data: the parameters that each accepts, and the pattern of its model ids.

Sources: the model tables and the documented refusals of AWS and Anthropic, and public reports from 2026-08 to 2026-11.
A pattern must match the whole id, so that `claude-sonnet-5` does not match `claude-sonnet-5-5`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

Shape = Literal[
    "anthropic", "nova", "llama", "chat", "titan_embedding_1", "titan_embedding_2", "cohere_embedding_3",
    "cohere_embedding_4",
]  # fmt: skip # a list of words
Sampling = Literal["any", "either", "none"]
Thinking = Literal["none", "budget", "budget_or_adaptive", "adaptive", "adaptive_by_default", "always"]


@dataclass(frozen=True, slots=True)
class Family:
    """The rules of one family. `pattern` matches a whole model id without profile prefix, version and date."""

    name: str
    pattern: str
    shape: Shape = "chat"
    sampling: Sampling = "any"
    top_k: bool = True
    prefill: bool = True
    forced_tool: bool = True
    thinking: Thinking = "none"
    json_schema: bool = False
    prompt_cache: bool = True
    streams_tools: bool = True
    images: bool = True
    dated_version: bool = False
    batch: bool = True
    profile_required: bool = False
    max_output_tokens: int = 8_192
    context_tokens: int = 128_000
    """The longest prompt of a request."""
    refusal: Literal["deprecated", "field"] = "deprecated"
    """The wording of a refused sampling parameter: Anthropic's (`deprecated`) or that of Converse (`field`)."""
    example: str = ""
    """The id of one model of the family, as `ListFoundationModels` returns it."""

    @property
    def embeds(self) -> bool:
        """Tell whether the models return a vector in place of text."""
        return "embedding" in self.shape


_CLAUDE = Family(
    "claude-3",
    r"anthropic\.claude-3-(?:haiku|sonnet|opus)",
    shape="anthropic",
    max_output_tokens=4_096,
    context_tokens=200_000,
)
_CLAUDE_35 = replace(
    _CLAUDE, name="claude-3-5", pattern=r"anthropic\.claude-3-5-(?:sonnet|haiku)", max_output_tokens=8_192
)
_CLAUDE_4 = replace(
    _CLAUDE,
    name="claude-4",
    pattern=r"anthropic\.claude-(?:3-7-sonnet|sonnet-4|opus-4)",
    thinking="budget",
    profile_required=True,
    max_output_tokens=64_000,
    example="anthropic.claude-sonnet-4-20250514-v1:0",
)
_CLAUDE_45 = replace(
    _CLAUDE_4,
    name="claude-4-5",
    pattern=r"anthropic\.claude-(?:haiku-4-5|sonnet-4-5|opus-4-5)",
    sampling="either",
    json_schema=True,
    example="anthropic.claude-haiku-4-5-20251001-v1:0",
)
_CLAUDE_46 = replace(
    _CLAUDE_45,
    name="claude-4-6",
    pattern=r"anthropic\.claude-sonnet-4-6",
    prefill=False,
    thinking="budget_or_adaptive",
    context_tokens=1_000_000,
    example="anthropic.claude-sonnet-4-6",
)
_CLAUDE_47 = replace(
    _CLAUDE_46,
    name="claude-opus-4-7",
    pattern=r"anthropic\.claude-opus-4-[78]",
    sampling="none",
    thinking="adaptive",
    dated_version=True,
    json_schema=False,
    max_output_tokens=128_000,
    example="anthropic.claude-opus-4-8",
)
_CLAUDE_5 = replace(
    _CLAUDE_47,
    name="claude-opus-5",
    pattern=r"anthropic\.claude-opus-5",
    top_k=False,
    thinking="adaptive_by_default",
    example="anthropic.claude-opus-5",
)
_CLAUDE_55 = replace(
    _CLAUDE_5,
    name="claude-opus-5-5",
    pattern=r"anthropic\.claude-(?:opus-5-5|fable-5(?:-1)?|mythos-5(?:-1)?)",
    forced_tool=False,
    thinking="always",
    batch=False,
    example="anthropic.claude-opus-5-5",
)
_NOVA = Family(
    "nova",
    r"amazon\.nova-(?:lite|pro)",
    shape="nova",
    max_output_tokens=10_240,
    context_tokens=300_000,
    example="amazon.nova-lite-v1:0",
)
_LLAMA = Family(
    "llama",
    r"meta\.llama3-(?:[13]-[a-z0-9-]+?|2-[13]b)-instruct",
    shape="llama",
    prefill=False,
    forced_tool=False,
    prompt_cache=False,
    streams_tools=False,
    images=False,
    profile_required=True,
    example="meta.llama3-3-70b-instruct-v1:0",
)
_CHAT = Family(
    "mistral", r"mistral\.(?:mistral|ministral|magistral|pixtral)-[a-z0-9-]+?", json_schema=True, prompt_cache=False
)
_EMBEDDING = Family(
    "titan-embedding",
    r"amazon\.titan-embed-text-v2",
    shape="titan_embedding_2",
    prompt_cache=False,
    images=False,
    example="amazon.titan-embed-text-v2:0",
)

FAMILIES: tuple[Family, ...] = (
    replace(_CLAUDE, example="anthropic.claude-3-haiku-20240307-v1:0"),
    replace(_CLAUDE_35, example="anthropic.claude-3-5-sonnet-20240620-v1:0"),
    _CLAUDE_4,
    replace(
        _CLAUDE_4,
        name="claude-opus-4-1",
        pattern=r"anthropic\.claude-opus-4-1",
        sampling="either",
        max_output_tokens=32_000,
        example="anthropic.claude-opus-4-1-20250805-v1:0",
    ),
    _CLAUDE_45,
    _CLAUDE_46,
    replace(
        _CLAUDE_46,
        name="claude-opus-4-6",
        pattern=r"anthropic\.claude-opus-4-6",
        max_output_tokens=128_000,
        example="anthropic.claude-opus-4-6-v1",
    ),
    _CLAUDE_47,
    _CLAUDE_5,
    replace(
        _CLAUDE_5,
        name="claude-sonnet-5",
        pattern=r"anthropic\.claude-(?:sonnet-5|haiku-5-5)",
        json_schema=True,
        example="anthropic.claude-sonnet-5",
    ),
    _CLAUDE_55,
    replace(
        _CLAUDE_55,
        name="claude-sonnet-5-5",
        pattern=r"anthropic\.claude-sonnet-5-5",
        example="anthropic.claude-sonnet-5-5",
    ),
    _NOVA,
    replace(_NOVA, name="nova-micro", pattern=r"amazon\.nova-micro", images=False, context_tokens=128_000,
            example="amazon.nova-micro-v1:0"),
    replace(
        _NOVA,
        name="nova-premier",
        pattern=r"amazon\.nova-(?:premier|2-lite)",
        profile_required=True,
        max_output_tokens=65_536,
        context_tokens=1_000_000,
        example="amazon.nova-premier-v1:0",
    ),
    _LLAMA,
    replace(
        _LLAMA,
        name="llama-vision",
        pattern=r"meta\.llama(?:3-2-(?:11|90)b|4-[a-z0-9-]+?)-instruct",
        images=True,
        context_tokens=1_000_000,
        example="meta.llama4-maverick-17b-instruct-v1:0",
    ),
    replace(_CHAT, name="mistral-large-3", pattern=r"mistral\.mistral-large-3-[a-z0-9-]+?", max_output_tokens=32_768,
            context_tokens=256_000, example="mistral.mistral-large-3-675b-instruct"),
    replace(_CHAT, example="mistral.ministral-3-8b-instruct"),
    replace(_CHAT, name="deepseek-r1", pattern=r"deepseek\.r1", batch=False, forced_tool=False, json_schema=False,
            images=False, max_output_tokens=32_768, example="deepseek.r1-v1:0", profile_required=True),
    replace(_CHAT, name="deepseek", pattern=r"deepseek\.v3(?:\.\d)?", images=False, context_tokens=163_840,
            example="deepseek.v3-v1:0"),
    replace(_CHAT, name="gpt-oss", pattern=r"openai\.gpt-oss-\d+b", images=False, prefill=False,
            max_output_tokens=16_384, example="openai.gpt-oss-120b-1:0"),
    replace(_CHAT, name="gpt-5", pattern=r"openai\.gpt-[56](?:[.-][a-z0-9.-]+?)?", prefill=False, sampling="none",
            refusal="field", max_output_tokens=128_000, context_tokens=400_000, example="openai.gpt-5-mini"),
    replace(_CHAT, name="grok", pattern=r"xai\.grok-[a-z0-9.-]+?", prefill=False, sampling="none", refusal="field",
            max_output_tokens=128_000, context_tokens=2_000_000, example="xai.grok-4-fast"),
    replace(_CHAT, name="qwen", pattern=r"qwen\.qwen3-(?!vl-)[a-z0-9-]+?", images=False,
            context_tokens=262_144, example="qwen.qwen3-32b-v1:0"),
    replace(_CHAT, name="qwen-vision", pattern=r"qwen\.qwen3-vl-[a-z0-9-]+?", context_tokens=262_144,
            example="qwen.qwen3-vl-235b-a22b"),
    replace(_EMBEDDING, name="titan-embedding-1", pattern=r"amazon\.titan-embed-text-v1", shape="titan_embedding_1",
            batch=False, example="amazon.titan-embed-text-v1"),
    _EMBEDDING,
    replace(_EMBEDDING, name="cohere-embed-3", pattern=r"cohere\.embed-(?:english|multilingual)-v3", batch=False,
            shape="cohere_embedding_3", example="cohere.embed-english-v3"),
    replace(_EMBEDDING, name="cohere-embed-4", pattern=r"cohere\.embed-v4", batch=False, shape="cohere_embedding_4",
            example="cohere.embed-v4:0"),
)  # fmt: skip # one row per family reads better than one line per field
"""Every family that the local Bedrock knows. The order does not matter, because patterns match whole ids."""

_SUFFIX = r"(?:-\d{8})?(?:-v\d)?(?:-?\d?:\d)?(?::\d+k)?"
_PATTERNS = tuple((re.compile(family.pattern + _SUFFIX), family) for family in FAMILIES)
PROFILE_PREFIXES = ("us-gov", "global", "apac", "us", "eu", "jp", "au", "ca", "sa")
_PREFIX = re.compile(rf"(?:{'|'.join(PROFILE_PREFIXES)})\.")


@lru_cache(maxsize=512)
def family_of(model_id: str) -> Family | None:
    """Return the family of a model id without profile prefix, or None if no such model exists."""
    return next((family for pattern, family in _PATTERNS if pattern.fullmatch(model_id)), None)


@lru_cache(maxsize=512)
def split_prefix(model_id: str) -> tuple[str | None, str]:
    """Split `eu.anthropic.claude-...` into `eu` and the rest. The prefix of a bare id is None."""
    found = _PREFIX.match(model_id)
    return (found.group()[:-1], model_id[found.end() :]) if found else (None, model_id)
