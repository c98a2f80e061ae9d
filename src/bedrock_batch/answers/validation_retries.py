"""Validation retries: which records are asked again because their answer did not validate, and which answer is kept."""

from __future__ import annotations

from dataclasses import replace

from bedrock_batch.models.model_output import is_complete
from bedrock_batch.records import Answer


def is_worth_repeating(answer: Answer) -> bool:
    """Return whether a second answer may validate: the first did not, although the model completed it.

    A model that refused, or ran out of tokens, would do so again.
    """
    failed = answer.parse_status in ("validation_failed", "json_failed")
    return failed and (answer.stop_reason is None or is_complete(answer.stop_reason))


def merge_answers(first: Answer, second: Answer) -> Answer:
    """Return the second answer if it validated, else the first, with the attempts and tokens of both.

    The second comes from real time. The tokens that the first used in batch stay separate, so that the sums for each
    mode are right. A first answer from the answer store has cost this run nothing.
    """
    if first.source == "store":
        first = replace(first, attempts=0, input_tokens=None, output_tokens=None)
    kept = second if second.parse_status in ("success", "json_only") else first
    return replace(
        kept,
        source=second.source if first.source == "store" else kept.source,
        attempts=first.attempts + second.attempts,
        salvaged_from=first.salvaged_from or second.salvaged_from,
        input_tokens=_sum(first.input_tokens, second.input_tokens),
        output_tokens=_sum(first.output_tokens, second.output_tokens),
        batch_input_tokens=first.batch_input_tokens,
        batch_output_tokens=first.batch_output_tokens,
    )


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None and second is None else (first or 0) + (second or 0)
