"""Estimates how long real-time answers take, from their tokens, before any is measured."""

from __future__ import annotations

from bedrock_batch.costs.estimate import Interval

# A second to the first token, then 30 to 100 tokens per second, most likely 60.
FIRST_TOKEN_SECONDS = 1.0
TOKENS_PER_SECOND = (100.0, 60.0, 30.0)


def answer_seconds(tokens: Interval) -> Interval:
    """Return the seconds from a request to an answer of so many tokens."""
    lengths = (tokens.low, tokens.likely, tokens.high)
    return Interval(
        *(FIRST_TOKEN_SECONDS + length / speed for length, speed in zip(lengths, TOKENS_PER_SECOND, strict=True))
    )
