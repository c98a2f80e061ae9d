"""Whether `max_tokens` is far above what answers use, which costs throughput in real time.

At its start a request reserves its input and `max_tokens` of the account's tokens per minute; at its end it has used
its input and its output, each output token counted by the family's factor
(https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ENOUGH_ANSWERS = 20
FAR_ABOVE = 4
ROOM = 2
STEP = 256


@dataclass(frozen=True, slots=True)
class TokenUse:
    """What the answers of a run used in real time, in tokens; an output token costs `burndown` tokens of quota."""

    answers: int
    input_tokens: int
    output_tokens: int
    longest_answer: int
    burndown: float


def token_advice(max_tokens: int, use: TokenUse) -> dict[str, Any]:
    """Return what a request reserved and used of the tokens per minute, and advice where the two are far apart."""
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


def _advice(max_tokens: int, use: TokenUse, reserved: float) -> str | None:
    enough = -(-max(1, use.longest_answer * ROOM) // STEP) * STEP
    if use.answers < ENOUGH_ANSWERS or max_tokens < FAR_ABOVE * max(use.longest_answer, STEP):
        return None
    times = reserved / (use.input_tokens / use.answers + enough)
    return (
        f"the longest of {use.answers} answers in real time took {use.longest_answer} tokens, and each request "
        f"reserved {max_tokens}: BEDROCK_MAX_TOKENS={enough} lets the same quota admit {times:.1f} times as many"
    )
