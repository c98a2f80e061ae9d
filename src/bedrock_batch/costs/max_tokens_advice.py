"""Advises a lower `max_tokens` if it is far above what answers use, which costs throughput in real time.

When a request starts, it reserves its input tokens and `max_tokens` from the account's quota of tokens per minute. When
it ends, the quota is charged its input tokens and its output tokens, the latter times the family's factor
(https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ENOUGH_ANSWERS = 20
FAR_ABOVE = 4
NEAR = 1.25
ROOM = 2
STEP = 256


@dataclass(frozen=True, slots=True)
class TokenUse:
    """The tokens that the answers of a run used in real time; an output token takes `burndown` tokens of the quota."""

    answers: int
    input_tokens: int
    output_tokens: int
    longest_answer: int
    burndown: float


def token_advice(max_tokens: int, use: TokenUse) -> dict[str, Any]:
    """Return the tokens of the quota that a request reserved and used, and advice if the two are far apart."""
    answers = max(1, use.answers)
    reserved = use.input_tokens / answers + max_tokens
    used = (use.input_tokens + use.output_tokens * use.burndown) / answers
    return {
        "max_tokens": max_tokens,
        "longest_answer": use.longest_answer,
        "burndown": use.burndown,
        "reserved_per_request": round(reserved),
        "used_per_request": round(used),
        "advice": _advice(max_tokens, use, reserved),
    }


def near_limit_advice(max_tokens: int, use: TokenUse) -> str | None:
    """Return advice to raise `max_tokens` if an answer comes near it: the longest of many more is longer."""
    if use.longest_answer * NEAR < max_tokens:
        return None
    return (
        f"the longest of {use.answers} answers has {use.longest_answer} of BEDROCK_MAX_TOKENS={max_tokens} tokens: "
        "longer ones will be cut off, which are paid for and of no use; raise it, or ask for shorter answers"
    )


def _advice(max_tokens: int, use: TokenUse, reserved: float) -> str | None:
    enough = -(-max(1, use.longest_answer * ROOM) // STEP) * STEP
    if use.answers < ENOUGH_ANSWERS or max_tokens < FAR_ABOVE * max(use.longest_answer, STEP):
        return None
    times = reserved / (use.input_tokens / use.answers + enough)
    return (
        f"the longest of {use.answers} real-time answers has {use.longest_answer} tokens, and each request reserved "
        f"{max_tokens}: with BEDROCK_MAX_TOKENS={enough} the same quota admits {times:.1f} times as many requests"
    )
