"""The service tiers of real-time requests: which models have them, and how AWS refuses them.

Sources: the models with prices for `flex` and `priority` in AWS's price list of 2026-11, and the refusals in
github.com/envoyproxy/ai-gateway/pull/1749 and github.com/NousResearch/hermes-agent/pull/34476.
"""

from __future__ import annotations

import re

from local_bedrock.behaviour import Behaviour
from local_bedrock.errors import AwsError

TIERS = ("default", "flex", "priority", "reserved")
_FLEX_AND_PRIORITY = re.compile(
    r"amazon\.nova-(?:pro|2-.+)-v1:0|mistral\.(?:mistral-large-3|ministral-3)-.+|deepseek\.v3\.2|openai\.gpt-oss-.+"
    r"|qwen\.qwen3-(?:32b-v1:0|coder-next|next-80b-a3b)"
)


def check_tier(behaviour: Behaviour, model_id: str, tier: str | None) -> str | None:
    """Return the tier that serves a request, None if it names none; raise `AwsError` if AWS refuses it."""
    if tier is None or tier == "default":
        return tier
    if tier not in TIERS:
        raise AwsError("ValidationException", "The service tier provided is invalid.")
    if tier == "reserved":
        if model_id not in behaviour.reserved_models:
            raise AwsError("ValidationException", "Reservation not found.")
    elif model_id in behaviour.no_service_tiers or not _FLEX_AND_PRIORITY.fullmatch(model_id):
        raise AwsError("ValidationException", "The provided service tier is not supported for this model.")
    return tier
