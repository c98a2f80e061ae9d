"""Questions that are asked again because their answer did not validate: which, and what comes of both answers."""

from __future__ import annotations

from dataclasses import replace

from bedrock_batch.records import Outcome

_USABLE_STOPS = frozenset({None, "end_turn", "stop_sequence", "tool_use", "stop"})


def is_worth_repeating(outcome: Outcome) -> bool:
    """Whether another answer may validate: not where the model refused or ran out of tokens."""
    failed = outcome.parse_status in ("validation_failed", "json_failed")
    return failed and outcome.stop_reason in _USABLE_STOPS


def combine(first: Outcome, second: Outcome) -> Outcome:
    """Return the second outcome where it validated, else the first, with the tries and tokens of both.

    The second is of real time; what the first used in batch stays told apart, so that the sums by mode are right.
    """
    kept = second if second.parse_status in ("success", "json_only") else first
    return replace(
        kept,
        attempts=first.attempts + second.attempts,
        salvaged_from=first.salvaged_from or second.salvaged_from,
        input_tokens=_sum(first.input_tokens, second.input_tokens),
        output_tokens=_sum(first.output_tokens, second.output_tokens),
        batch_input_tokens=first.batch_input_tokens,
        batch_output_tokens=first.batch_output_tokens,
    )


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None and second is None else (first or 0) + (second or 0)
