"""What a model is asked and what it answers, free of the shape of any one API."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]


@dataclass(frozen=True, slots=True)
class Question:
    """A request body, read: prompt, system text and the parameters that decide whether the model accepts it."""

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
    output_schema: Any = None
    """The schema of structured output, where the request has one."""
    thinking: str | None = None
    """`enabled`, `adaptive`, `disabled`, `between_tools`, or None when the request does not say."""
    effort: str | None = None
    has_cache_marker: bool = False
    extra_fields: tuple[str, ...] = ()
    """Names of the fields that a Converse request hands on to the model's own API."""

    @property
    def forces_tool(self) -> bool:
        """Whether the request leaves the model no choice but a tool."""
        return self.tool_choice == "any" or (self.tool_choice or "").startswith("tool:")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says: text, or a tool's input, with the reason it stopped and its usage."""

    text: str
    stop_reason: StopReason
    input_tokens: int
    output_tokens: int
    identity: str
    """Twenty-four hexadecimal digits that depend on model and prompt alone."""
    tool_name: str | None = None
    tool_input: Any = None
    thought: str | None = None
    stopped_at: str | None = None


def prompt_hash(prompt: str, system: str = "") -> str:
    """Identify a prompt (with its system text) in the server's records: 32 hexadecimal digits."""
    data = f"{system}\0{prompt}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=16).hexdigest()
