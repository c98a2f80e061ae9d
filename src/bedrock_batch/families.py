"""What each model family on Amazon Bedrock accepts, as data.

A model id is matched on the boundaries of its name: `claude-sonnet-5` is not `claude-sonnet-5-5`. Sources and dates of
every row stand in `docs/models.md`; what a row says can be overridden by settings, and the service has the last word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

Sampling = Literal["both", "either", "none"]

# Geographies and `global` as AWS prefixes them to a model id in an inference profile id.
PROFILE_PREFIX = re.compile(r"^(?:us-gov|us|eu|apac|jp|au|ca|sa|me|af|in|kr|mx|global)\.(?=[a-z0-9]+\.)")
_VERSION = re.compile(r"(?:-\d{8})?(?:-v\d+)?(?::\d+)?(?::\d+k)?\Z")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a family accepts in a request.

    `sampling`: `both` temperature and top_p, `either` of them, or `none`. `prefill`: a last message of the assistant.
    `forced_tool`: tool choice `tool`. `json_schema`: native structured output. `max_output_tokens`: the most that
    `max_tokens` may be, None where it is not known. `burndown`: how many tokens of quota one output token costs.
    `profile_required`: the bare model id has no on-demand throughput.
    """

    family: str
    anthropic: bool = False
    sampling: Sampling = "both"
    prefill: bool = False
    forced_tool: bool = False
    json_schema: bool = False
    profile_required: bool = False
    max_output_tokens: int | None = None
    burndown: float = 1.0


def _claude(family: str, limit: int, **changes: object) -> Capabilities:
    base = Capabilities(
        family, anthropic=True, prefill=True, forced_tool=True, max_output_tokens=limit, profile_required=True
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # the table below names real fields only


_NO_PREFILL = {"prefill": False}
_MODERN = {"prefill": False, "sampling": "none", "burndown": 10.0}

# Names are matched whole (up to date, version and context size); the first match wins.
_BY_NAME: dict[str, Capabilities] = {
    "anthropic.claude-3-haiku": _claude("claude-3", 4096, profile_required=False),
    "anthropic.claude-3-sonnet": _claude("claude-3", 4096, profile_required=False),
    "anthropic.claude-3-opus": _claude("claude-3", 4096, profile_required=False),
    "anthropic.claude-3-5-haiku": _claude("claude-3-5", 8192, profile_required=False),
    "anthropic.claude-3-5-sonnet": _claude("claude-3-5", 8192, profile_required=False),
    "anthropic.claude-3-7-sonnet": _claude("claude-3-7", 64000, burndown=5.0),
    "anthropic.claude-sonnet-4": _claude("claude-sonnet-4", 64000, burndown=5.0),
    "anthropic.claude-opus-4": _claude("claude-opus-4", 32000, burndown=5.0),
    "anthropic.claude-opus-4-1": _claude("claude-opus-4-1", 32000, sampling="either", burndown=5.0),
    "anthropic.claude-haiku-4-5": _claude("claude-4-5", 64000, sampling="either", json_schema=True, burndown=5.0),
    "anthropic.claude-sonnet-4-5": _claude("claude-4-5", 64000, sampling="either", json_schema=True, burndown=5.0),
    "anthropic.claude-opus-4-5": _claude("claude-4-5", 64000, sampling="either", json_schema=True, burndown=5.0),
    "anthropic.claude-sonnet-4-6": _claude(
        "claude-4-6", 64000, sampling="either", json_schema=True, burndown=5.0, **_NO_PREFILL
    ),
    "anthropic.claude-opus-4-6": _claude(
        "claude-4-6", 128000, sampling="either", json_schema=True, burndown=5.0, **_NO_PREFILL
    ),
    "anthropic.claude-opus-4-7": _claude("claude-4-7", 128000, sampling="none", burndown=5.0, **_NO_PREFILL),
    "anthropic.claude-opus-4-8": _claude("claude-4-8", 128000, sampling="none", burndown=15.0, **_NO_PREFILL),
    "anthropic.claude-sonnet-5": _claude("claude-5", 128000, **_MODERN),
    "anthropic.claude-opus-5": _claude("claude-5", 128000, **_MODERN),
    "anthropic.claude-haiku-5-5": _claude("claude-5-5", 128000, **_MODERN),
    "anthropic.claude-sonnet-5-5": _claude("claude-5-5", 128000, forced_tool=False, **_MODERN),
    "anthropic.claude-opus-5-5": _claude("claude-5-5", 128000, forced_tool=False, **_MODERN),
    "anthropic.claude-fable-5": _claude("claude-fable-5", 128000, forced_tool=False, **_MODERN),
    "anthropic.claude-fable-5-1": _claude("claude-fable-5", 128000, forced_tool=False, **_MODERN),
    "anthropic.claude-mythos-5-1": _claude("claude-mythos-5", 128000, forced_tool=False, **_MODERN),
}

# Whole families, by the beginning of the id; the first match wins. The last row is every other model.
_BY_PREFIX: tuple[tuple[str, Capabilities], ...] = (
    # A Claude that this table does not know is treated as the strictest that it does.
    ("anthropic.", Capabilities("claude", anthropic=True, sampling="none", profile_required=True, burndown=10.0)),
    ("amazon.nova-2", Capabilities("nova-2", forced_tool=True, max_output_tokens=64000)),
    ("amazon.nova", Capabilities("nova", forced_tool=True, max_output_tokens=10000)),
    ("meta.llama", Capabilities("llama", max_output_tokens=4096)),
    ("mistral.", Capabilities("mistral", max_output_tokens=8192)),
    ("deepseek.", Capabilities("deepseek", max_output_tokens=8192)),
    ("openai.gpt-oss", Capabilities("gpt-oss", max_output_tokens=16384)),
    ("qwen.", Capabilities("qwen", max_output_tokens=8192)),
    ("", Capabilities("other")),
)


def base_model_id(model_id: str) -> str:
    """Return the foundation model id inside an id, a profile id or an ARN of either.

    An application inference profile's ARN hides its model: the profile's own id comes back.
    """
    tail = model_id.rsplit("/", 1)[-1] if model_id.startswith("arn:") else model_id
    return PROFILE_PREFIX.sub("", tail)


def capabilities_of(model_id: str) -> Capabilities:
    """Return what the model named by an id, profile id or ARN accepts."""
    name = base_model_id(model_id)
    bare = _VERSION.sub("", name)
    if bare in _BY_NAME:
        return _BY_NAME[bare]
    return next(capabilities for prefix, capabilities in _BY_PREFIX if name.startswith(prefix))
