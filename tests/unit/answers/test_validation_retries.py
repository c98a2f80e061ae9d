"""Validation retries: which answers are asked for again, and what a second answer changes."""

from __future__ import annotations

import pytest

from bedrock_batch.answers.validation_retries import is_worth_repeating, merge_answers
from bedrock_batch.records import Answer, ParseStatus


def outcome(status: ParseStatus, stop_reason: str | None = "end_turn", **more: object) -> Answer:
    return Answer({}, status, status != "error", stop_reason=stop_reason, **more)  # type: ignore[arg-type]  # fields of Answer


@pytest.mark.parametrize(
    ("first", "worth"),
    [
        (outcome("validation_failed"), True),
        (outcome("json_failed"), True),
        (outcome("json_failed", None), True),
        (outcome("json_failed", "tool_calls"), True),
        (outcome("validation_failed", "COMPLETE"), True),
        (outcome("validation_failed", "FINISH"), True),
        (outcome("validation_failed", "unheard_of"), False),
        (outcome("json_failed", "max_tokens"), False),
        (outcome("json_failed", "refusal"), False),
        (outcome("success"), False),
        (outcome("json_only"), False),
        (outcome("error", None), False),
    ],
)
def test_which_answers_are_asked_for_again(first: Answer, worth: bool) -> None:
    """The run would pay again for an answer that can only fail again."""
    assert is_worth_repeating(first) == worth


BATCH = {"input_tokens": 10, "output_tokens": 2, "batch_input_tokens": 10, "batch_output_tokens": 2, "source": "batch"}
SECOND = {"input_tokens": 11, "output_tokens": 3, "attempts": 2, "salvaged_from": "validation"}


@pytest.mark.parametrize(("status", "source"), [("success", "realtime"), ("validation_failed", "batch")])
def test_both_answers_are_paid_for(status: ParseStatus, source: str) -> None:
    """The tokens of one answer would be missing, or be priced by the mode of the other."""
    both = merge_answers(outcome("validation_failed", **BATCH), outcome(status, **SECOND))
    assert (both.parse_status, both.source) == (status, source)
    assert (both.input_tokens, both.output_tokens, both.attempts) == (21, 5, 3)
    assert (both.batch_input_tokens, both.batch_output_tokens) == (10, 2)
    assert both.salvaged_from == "validation"


def test_a_second_try_without_an_answer_changes_nothing_but_the_attempts() -> None:
    """An error would replace the existing answer."""
    first = outcome("validation_failed", **BATCH, salvaged_from="expired")
    both = merge_answers(first, outcome("error", None, attempts=3))
    assert (both.parse_status, both.attempts, both.input_tokens, both.salvaged_from) == (
        "validation_failed",
        4,
        10,
        "expired",
    )
    assert merge_answers(outcome("json_failed"), outcome("error", None)).input_tokens is None
