"""The capabilities of each model family on Amazon Bedrock, as data.

`docs/models.md` gives the source and date of every row. A setting can override a row, and the service has the last
word (see `models.refusals`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, Literal, get_args

Sampling = Literal["both", "either", "none"]
Thinking = Literal["none", "budget", "any", "adaptive", "default", "always"]

# Geographies and `global` as AWS prefixes them to a model id in an inference profile id.
PROFILE_PREFIX = re.compile(r"^(?:us-gov|us|eu|apac|jp|au|ca|sa|me|af|in|kr|mx|global)\.(?=[a-z0-9]+\.)")
_VERSION = re.compile(r"(?:-\d{8})?(?:-v\d+)?(?::\d+)?(?::\d+k)?\Z")
_OPAQUE = re.compile(r"arn:[^:]*:bedrock:[^:]*:[^:]*:(?!foundation-model/|inference-profile/)")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model family accepts in a request; None means unknown.

    The step never uses an unknown capability by default, but follows a setting that asks for it.
    """

    family: str
    anthropic: bool = False
    """Requests have the body of Anthropic Messages; every other family is asked through Converse."""
    sampling: Sampling = "both"
    """`temperature` and `top_p` together, one of them at a time, or neither."""
    prefill: bool | None = None
    """A last message of the assistant that the answer continues."""
    forced_tool: bool | None = None
    """Tool choice `tool`: the model must call the tool that is named."""
    json_schema: bool | None = None
    """The service's own structured output."""
    thinking: Thinking = "none"
    """`default` thinks unless a request disables it, `always` cannot be disabled; both think within `max_tokens`."""
    prompt_cache: bool | None = None
    """Cache markers, in real time only."""
    cache_minimum: int | None = None
    """The least tokens before a cache marker; the service ignores a marker behind fewer."""
    cache_hour: bool | None = None
    """Cache markers that last for an hour, not only for five minutes."""
    flex: bool | None = None
    """The service tier `flex`, in real time only."""
    priority: bool | None = None
    """The service tier `priority`, in real time only."""
    batch: bool | None = None
    """Batch inference. It differs by region: if this is None, only creating a job shows it."""
    realtime: bool = True
    """Requests in real time; without them, a batch run has no canary."""
    profile_required: bool = False
    """The model has no on-demand throughput and is reached through an inference profile only."""
    national_profiles: bool = False
    """In Asia the profiles are `jp`, `au` and `global`, not `apac`."""
    max_output_tokens: int | None = None
    burndown: float = 1.0
    """How many tokens of the quota one output token uses in real time."""


@dataclass(frozen=True, slots=True)
class Family:
    """A row of the table: the names of its models, without profile prefix, date and version.

    A `*` in a name matches any text.
    """

    names: tuple[str, ...]
    accepts: Capabilities
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        parts = [re.escape(name).replace(r"\*", ".*") for name in self.names]
        object.__setattr__(self, "pattern", re.compile("|".join(parts)))


_CLAUDE_3 = Capabilities(
    "claude-3", anthropic=True, prefill=True, forced_tool=True, json_schema=False, prompt_cache=False, flex=False,
    priority=False, batch=True, max_output_tokens=4096,
)  # fmt: skip
_CLAUDE_4 = replace(
    _CLAUDE_3, family="claude-4", thinking="budget", prompt_cache=True, cache_minimum=1024, cache_hour=False,
    profile_required=True, max_output_tokens=64000, burndown=5.0,
)  # fmt: skip
_CLAUDE_45 = replace(
    _CLAUDE_4, family="claude-4-5", sampling="either", json_schema=True, cache_minimum=4096, cache_hour=True,
    national_profiles=True,
)  # fmt: skip
_CLAUDE_46 = replace(_CLAUDE_45, family="claude-sonnet-4-6", prefill=False, thinking="any", cache_minimum=1024)
_CLAUDE_47 = replace(
    _CLAUDE_46, family="claude-opus-4-7", sampling="none", thinking="adaptive", json_schema=False, cache_minimum=2048,
    batch=None, max_output_tokens=128000,
)  # fmt: skip
_CLAUDE_5 = replace(
    _CLAUDE_47, family="claude-sonnet-5", json_schema=True, thinking="default", cache_minimum=1024, burndown=10.0
)
_CLAUDE_55 = replace(
    _CLAUDE_5, family="claude-sonnet-5-5", json_schema=False, forced_tool=False, thinking="always", cache_minimum=512
)
_NOVA = Capabilities(
    "nova", prefill=True, forced_tool=True, prompt_cache=True, cache_minimum=1024, cache_hour=False,
    flex=False, priority=False, batch=True, max_output_tokens=10000,
)  # fmt: skip
_OPEN = Capabilities("mistral", json_schema=True, prompt_cache=False, batch=True, max_output_tokens=8192)
_TIERS = replace(_OPEN, flex=True, priority=True)

FAMILIES: tuple[Family, ...] = (
    Family(("anthropic.claude-3-haiku", "anthropic.claude-3-sonnet", "anthropic.claude-3-opus"), _CLAUDE_3),
    Family(
        ("anthropic.claude-3-5-haiku", "anthropic.claude-3-5-sonnet"),
        replace(_CLAUDE_3, family="claude-3-5", prompt_cache=None, cache_minimum=2048, max_output_tokens=8192),
    ),
    Family(("anthropic.claude-3-7-sonnet", "anthropic.claude-sonnet-4"), _CLAUDE_4),
    Family(("anthropic.claude-opus-4",), replace(_CLAUDE_4, family="claude-opus-4", max_output_tokens=32000)),
    Family(
        ("anthropic.claude-opus-4-1",),
        replace(_CLAUDE_4, family="claude-opus-4-1", sampling="either", max_output_tokens=32000),
    ),
    Family(("anthropic.claude-haiku-4-5", "anthropic.claude-opus-4-5"), _CLAUDE_45),
    Family(("anthropic.claude-sonnet-4-5",), replace(_CLAUDE_45, family="claude-sonnet-4-5", cache_minimum=1024)),
    Family(("anthropic.claude-sonnet-4-6",), _CLAUDE_46),
    Family(
        ("anthropic.claude-opus-4-6",),
        replace(_CLAUDE_46, family="claude-opus-4-6", cache_minimum=4096, max_output_tokens=128000),
    ),
    Family(("anthropic.claude-opus-4-7",), _CLAUDE_47),
    Family(
        ("anthropic.claude-opus-4-8",),
        replace(_CLAUDE_47, family="claude-opus-4-8", json_schema=None, cache_minimum=1024, burndown=15.0),
    ),
    Family(("anthropic.claude-sonnet-5",), _CLAUDE_5),
    Family(
        ("anthropic.claude-haiku-5-5",),
        replace(_CLAUDE_5, family="claude-haiku-5-5", json_schema=None, cache_minimum=512),
    ),
    Family(
        ("anthropic.claude-opus-5",),
        replace(_CLAUDE_5, family="claude-opus-5", json_schema=False, cache_minimum=512, batch=True),
    ),
    Family(("anthropic.claude-sonnet-5-5",), _CLAUDE_55),
    Family(("anthropic.claude-opus-5-5",), replace(_CLAUDE_55, family="claude-opus-5-5", json_schema=None)),
    Family(
        ("anthropic.claude-fable-5", "anthropic.claude-fable-5-1"),
        replace(_CLAUDE_55, family="claude-fable-5"),
    ),
    Family(
        ("anthropic.claude-mythos-5", "anthropic.claude-mythos-5-1"),
        replace(_CLAUDE_55, family="claude-mythos-5", json_schema=None),
    ),
    # An unknown Claude is asked for nothing that a known one refuses.
    Family(
        ("anthropic.*",),
        Capabilities("claude", anthropic=True, sampling="none", profile_required=True, national_profiles=True,
                     burndown=15.0),
    ),
    Family(("amazon.nova-micro", "amazon.nova-lite"), _NOVA),
    Family(("amazon.nova-pro",), replace(_NOVA, family="nova-pro", flex=True, priority=True)),
    Family(
        ("amazon.nova-premier",),
        replace(_NOVA, family="nova-premier", flex=None, priority=True, profile_required=True),
    ),
    Family(
        ("amazon.nova-2-*",),
        replace(_NOVA, family="nova-2", prefill=None, flex=True, priority=True, profile_required=True,
                max_output_tokens=64000),
    ),
    Family(
        ("meta.llama4-*",),
        Capabilities("llama-4", forced_tool=False, prompt_cache=False, batch=True, profile_required=True,
                     max_output_tokens=8192),
    ),
    Family(
        ("meta.llama*",),
        Capabilities("llama-3", forced_tool=False, prompt_cache=False, batch=True, profile_required=True,
                     max_output_tokens=4096),
    ),
    Family(
        ("mistral.mistral-large-3-*",),
        replace(_TIERS, family="mistral-large-3", max_output_tokens=32000),
    ),
    Family(("mistral.ministral-3-*",), replace(_TIERS, family="ministral-3")),
    Family(("mistral.*",), replace(_OPEN, family="mistral", json_schema=None)),
    Family(
        ("deepseek.r1",),
        Capabilities("deepseek-r1", forced_tool=False, json_schema=False, thinking="always", prompt_cache=False,
                     profile_required=True, max_output_tokens=8192),
    ),
    Family(("deepseek.v3.2",), replace(_TIERS, family="deepseek-v3-2")),
    Family(("deepseek.v3", "deepseek.v3.*"), replace(_OPEN, family="deepseek-v3")),
    Family(
        ("openai.gpt-oss-*",),
        replace(_TIERS, family="gpt-oss", thinking="always", max_output_tokens=16384),
    ),
    Family(
        ("openai.gpt-5*", "openai.gpt-6*"),
        Capabilities("gpt-5", sampling="none", thinking="default", max_output_tokens=128000),
    ),
    Family(("xai.grok-*",), Capabilities("grok", sampling="none", thinking="default")),
    Family(
        ("qwen.qwen3-32b", "qwen.qwen3-coder-next", "qwen.qwen3-next-80b-a3b"),
        replace(_TIERS, family="qwen-3-tiers"),
    ),
    Family(("qwen.qwen3-235b-a22b-2507",), replace(_OPEN, family="qwen-3-235b", flex=True)),
    Family(("qwen.qwen3-*",), replace(_OPEN, family="qwen-3")),
)  # fmt: skip # a row reads better on a line of its own
UNKNOWN = Capabilities("other")
FAMILY_NAMES: tuple[str, ...] = (*(row.accepts.family for row in FAMILIES), UNKNOWN.family)


def base_model_id(model_id: str) -> str:
    """Return the foundation model id in a model id, a profile id or an ARN of either.

    For an ARN that hides its model (see `hides_model`), return the id of the resource.
    """
    tail = model_id.rsplit("/", 1)[-1] if model_id.startswith("arn:") else model_id
    return PROFILE_PREFIX.sub("", tail)


def model_name(model_id: str) -> str:
    """Return the foundation model id in a model id, a profile id or an ARN, without date, version and context size."""
    return _VERSION.sub("", base_model_id(model_id))


def same_model(one: str, other: str) -> bool:
    """Return whether two ids, profile ids or ARNs name one model; an id without date and version fits any of them."""
    first, second = base_model_id(one), base_model_id(other)
    return first == second or (model_name(one) == model_name(other) and model_name(one) in (first, second))


def hides_model(model_id: str) -> bool:
    """Return whether an id is an ARN that does not name its model, such as that of an application profile."""
    return _OPAQUE.match(model_id) is not None


def is_profile(model_id: str) -> bool:
    """Return whether an id is an inference profile, or an ARN of anything but a foundation model."""
    tail = model_id.rsplit("/", 1)[-1] if model_id.startswith("arn:") else model_id
    return PROFILE_PREFIX.match(tail) is not None or hides_model(model_id)


@lru_cache(maxsize=256)
def capabilities_of(model_id: str) -> Capabilities:
    """Return the capabilities of the model that an id, profile id or ARN names.

    Names are matched as a whole: only a date, a version and a context size may follow, so that `claude-sonnet-5` does
    not match `claude-sonnet-5-5`.
    """
    if hides_model(model_id):
        return UNKNOWN
    name = model_name(model_id)
    return next((row.accepts for row in FAMILIES if row.pattern.fullmatch(name)), UNKNOWN)


def parse_overrides(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the overrides that a user gives for members of `Capabilities`; ValueError for an invalid one.

    `family` names the row to start from; the other keys change single members of it.
    """
    kinds = {each.name: str(each.type) for each in fields(Capabilities)}
    for name, value in given.items():
        if not _accepts(kinds.get(name), value):
            raise ValueError
    return dict(given)


def _accepts(kind: str | None, value: Any) -> bool:
    match kind:
        case "str":
            return value in FAMILY_NAMES
        case "bool":
            return isinstance(value, bool)
        case "bool | None":
            return value is None or isinstance(value, bool)
        case "Sampling":
            return value in get_args(Sampling)
        case "Thinking":
            return value in get_args(Thinking)
        case "int | None":
            return value is None or (type(value) is int and value > 0)
        case "float":
            return type(value) in (int, float) and 0 < value < 1000
        case _:
            return False


def with_overrides(able: Capabilities, overrides: Mapping[str, Any]) -> Capabilities:
    """Return capabilities with the overrides of `parse_overrides` applied."""
    named = overrides.get("family")
    base = next((row.accepts for row in FAMILIES if row.accepts.family == named), UNKNOWN) if named else able
    return replace(base, **{name: value for name, value in overrides.items() if name != "family"})
