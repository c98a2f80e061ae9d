"""Input tokens counted by the service, on a sample, where the model has CountTokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from bedrock_batch.aws.retries import AwsError
from bedrock_batch.aws.runtime import can_count_tokens, count_tokens
from bedrock_batch.estimate import Estimate, Interval, PromptMeter
from bedrock_batch.families import base_model_id
from bedrock_batch.processor import BedrockProcessor

# A sample says little about the rows outside it: its interval is never narrower than this.
LEAST_ERROR = 0.02


def refine(estimate: Estimate, sample: Sequence[str], processor: BedrockProcessor) -> Estimate:
    """Return the estimate with its input tokens scaled to what the service counts for the sample.

    CountTokens is free and answers nothing else. Where it is not to be had, the estimate stays and says why.
    """
    client = processor.context.clients.bedrock_runtime
    if not can_count_tokens(client):
        return _unrefined(estimate, "the installed botocore has no CountTokens (1.40.14 or newer has)")
    # Profiles are refused: the bare id of the model counts the same.
    model_id = base_model_id(processor.settings.primary_model_id)
    ratios: list[float] = []
    counted = guessed = 0.0
    for prompt in sample:
        body = processor.model_input.body(prompt)
        try:
            tokens = count_tokens(client, model_id, processor.model_input.api, body)
        except AwsError as error:
            return _unrefined(estimate, f"CountTokens is not to be had here ({error.kind.value}: {error.message})")
        meter = PromptMeter()
        meter.add(prompt)
        guess = meter.tokens(processor.model_input)
        ratios.append(tokens / guess)
        counted, guessed = counted + tokens, guessed + guess
    return _scaled(estimate, ratios, counted / guessed) if ratios else estimate


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
