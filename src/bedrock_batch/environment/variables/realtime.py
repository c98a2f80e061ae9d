"""The variables of real-time inference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bedrock_batch.environment.variables import value_types as values
from bedrock_batch.environment.variables.variable import Group

REALTIME = Group("Real time")

ConcurrencyMode = Literal["sequential", "concurrent"]
PromptCaching = Literal["auto", "off", "5m", "1h"]
ServiceTier = Literal["default", "flex", "priority", "reserved", "auto"]


@dataclass(frozen=True, kw_only=True)
class RealtimeSettings:
    """The pace, the retries and the deduplication of requests."""

    concurrency_mode: ConcurrencyMode = REALTIME.setting(
        values.choice(ConcurrencyMode), "One request after the other, or several at a time.", default="sequential"
    )
    max_concurrent_workers: int = REALTIME.setting(
        values.integer(1, 1000), "Requests at a time in concurrent mode.", default="5"
    )
    rate_limit_per_second: float = REALTIME.setting(
        values.PACE,
        "Requests started in any one second, at most. 0.5 is one every two seconds.",
        default="10",
    )
    adaptive_rate: bool = REALTIME.setting(
        values.BOOLEAN,
        "Lower the rate when the service throttles and raise it again on success, never above the limit.",
        default="true",
    )
    batch_size: int = REALTIME.setting(
        values.integer(1),
        "Records per step of the real-time mode: progress is saved after each. `--batch-size` wins over it.",
        default="10",
    )
    max_retries: int = REALTIME.setting(
        values.integer(0, 100),
        "Attempts per request, the first included; 0 and 1 both mean no retry. Throttled attempts cost nothing and are "
        "counted apart. `--max-retries` wins over it.",
        default="3",
    )
    read_timeout_seconds: float = REALTIME.setting(
        values.PACE,
        "How long to wait for an answer. AWS advises an hour for long generations.",
        default="3600",
    )
    service_tier: ServiceTier = REALTIME.setting(
        values.choice(ServiceTier),
        "The service tier of real-time requests, where the model has it: `flex` costs less and may take longer, "
        "`priority` costs more, `reserved` uses capacity that the account has reserved, and `auto` takes `flex` for "
        "the real-time fallback of a batch run. After a refusal, the rest of the run uses `default`.",
        default="default",
    )
    prompt_caching: PromptCaching = REALTIME.setting(
        values.choice(PromptCaching),
        "Mark what all prompts begin with, so that the service keeps it for 5 minutes or an hour after each use and "
        "charges less for it. `auto` marks it for 5 minutes where the model takes markers and the text is long enough.",
        default="auto",
    )
    validation_retries: int = REALTIME.setting(
        values.integer(0, 100),
        "How often to ask again, in real time, for a record whose answer did not validate.",
        default="0",
    )
    deduplicate_prompts: bool = REALTIME.setting(
        values.BOOLEAN,
        "Send identical prompts of a run once (in both modes) and share the answer.",
        default="false",
    )
