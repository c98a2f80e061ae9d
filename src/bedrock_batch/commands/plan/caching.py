"""The part of the plan about prompt caching: whether requests are marked in real time, and what that saves."""

from __future__ import annotations

from typing import Any

from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor


def describe_caching(processor: BedrockBatchProcessor, requests: int) -> dict[str, Any]:
    """Return the estimated tokens that all requests begin with, and the likely saving in real time, in USD.

    `saved_usd` is None without a marker or a price, and where the estimate is below the minimum of the model.
    """
    plan = processor.realtime.caching.plan(processor.primary_model.capabilities, processor.model_input)
    price = processor.expected_price()
    saved: float | None = None
    if plan.marker is not None and price is not None and plan.tokens >= plan.minimum:
        saved = price.saved_by_cache(plan.tokens, requests, for_an_hour=plan.marker.ttl == "1h")
    return {
        "marked": plan.marker is not None,
        "lasts": plan.marker and plan.marker.ttl,
        "shared_tokens": round(plan.tokens),
        "minimum_tokens": plan.minimum,
        "saved_usd": None if saved is None else round(saved, 6),
        "reason": plan.reason or None,
    }
