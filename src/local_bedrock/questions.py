"""The question to a model and its answer, independent of the format of any API."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """How texts become vectors: the numbers of a vector, whether its length is 1, and the types of the numbers."""

    dimensions: int = 1_024
    normalize: bool = True
    types: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A parsed request body: prompt, system text, and the parameters that decide whether the model accepts it."""

    prompt: str
    system: str = ""
    prefill: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: tuple[str, ...] = ()
    tools: Mapping[str, Any] = field(default_factory=dict)
    """Tool name to JSON schema."""
    tool_choice: str | None = None
    """`auto`, `any`, `none`, or `tool:<name>`."""
    has_tool_result: bool = False
    """Whether the last message brings the result of a tool, which the model answers in text unless a tool is forced."""
    output_schema: Any = None
    """The schema of structured output, or None."""
    thinking: str | None = None
    """`enabled`, `adaptive`, `disabled` or `between_tools`; None if the request does not set it."""
    effort: str | None = None
    has_dated_version: bool = False
    """Whether a Messages body names the version of the API that came with Claude 4.7."""
    has_cache_marker: bool = False
    texts: tuple[str, ...] = ()
    """What is embedded; `prompt` joins the texts."""
    embedding: EmbeddingRequest | None = None
    has_image: bool = False
    by_converse: bool = False
    extra_fields: tuple[str, ...] = ()
    """Names of the fields that a Converse request passes to the model's own API."""

    @property
    def forces_tool(self) -> bool:
        """Tell whether the request forces the model to use a tool."""
        return self.tool_choice == "any" or (self.tool_choice or "").startswith("tool:")


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a model: text or the input of a tool, with stop reason and usage."""

    text: str
    stop_reason: StopReason
    input_tokens: int
    output_tokens: int
    identity: str
    """24 hexadecimal digits that depend on model and prompt alone."""
    tool_name: str | None = None
    tool_input: Any = None
    thought: str | None = None
    stopped_at: str | None = None
    texts: tuple[str, ...] = ()
    vectors: tuple[tuple[float, ...], ...] = ()
    embedding: EmbeddingRequest | None = None
    cache_read: int = 0
    """Tokens that the prompt cache supplied; `input_tokens` does not include them."""
    cache_written: int = 0
    cache_ttl: str = "5m"


def prompt_hash(prompt: str, system: str = "") -> str:
    """Return the hash (32 hexadecimal digits) that identifies a prompt and its system text in `charges`."""
    data = f"{system}\0{prompt}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=16).hexdigest()
