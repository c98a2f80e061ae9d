"""Refines an estimate by the CountTokens operation, on a sample of the prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.runtime import can_count_tokens, count_tokens
from bedrock_batch.costs.estimate import Estimate, Interval, PromptSize
from bedrock_batch.families import base_model_id
from bedrock_batch.realtime.bedrock_processor import BedrockProcessor

# The relative error of an interval is never smaller, because a sample says little about the other rows.
LEAST_ERROR = 0.02


def refine(estimate: Estimate, sample: Sequence[str], processor: BedrockProcessor) -> Estimate:
    """Return the estimate with its input tokens scaled to the counts of the service for the sample.

    CountTokens is free. If it is unavailable, the estimate keeps its numbers and its method says why.
    """
    client = processor.context.clients.bedrock_runtime
    if not can_count_tokens(client):
        return _unrefined(estimate, "the installed botocore has no CountTokens (1.40.14 or newer does)")
    # CountTokens refuses inference profiles; the id of the foundation model gives the same count.
    model_id = base_model_id(processor.settings.primary_model_id)
    ratios: list[float] = []
    counted = estimated = 0.0
    for prompt in sample:
        try:
            tokens = count_tokens(client, model_id, processor.model_input.request(prompt))
        except AwsError as error:
            return _unrefined(estimate, f"CountTokens is not available ({error.kind.value}: {error.message})")
        size = PromptSize()
        size.add(prompt)
        guess = size.tokens(processor.model_input)
        ratios.append(tokens / guess)
        counted, estimated = counted + tokens, estimated + guess
    return _scaled(estimate, ratios, counted / estimated) if ratios else estimate


def _scaled(estimate: Estimate, ratios: list[float], ratio: float) -> Estimate:
    likely = estimate.input_tokens.likely * ratio
    error = max(LEAST_ERROR, _relative_error(ratios))
    return replace(
        estimate,
        input_tokens=Interval(likely * (1 - error), likely, likely * (1 + error)),
        method=f"CountTokens on {len(ratios)} prompts drawn at random, scaled to all by their length (±{error:.0%})",
    )


def _relative_error(ratios: list[float]) -> float:
    """Return twice the standard error of the mean ratio, as a share of it."""
    mean = sum(ratios) / len(ratios)
    if len(ratios) < 2 or not mean:
        return LEAST_ERROR
    variance = sum((ratio - mean) ** 2 for ratio in ratios) / (len(ratios) - 1)
    return min(0.5, 2 * math.sqrt(variance / len(ratios)) / mean)


def _unrefined(estimate: Estimate, reason: str) -> Estimate:
    return replace(estimate, method=f"{estimate.method}; {reason}")
