"""Advice on `max_tokens`."""

from __future__ import annotations

import pytest

from bedrock_batch.costs.max_tokens_advice import TokenUse, token_advice

USE = TokenUse(answers=100, input_tokens=100_000, output_tokens=20_000, longest_answer=400, burndown=5.0)


def test_the_reservation_and_the_use_of_a_request_are_told() -> None:
    """A throttled user could not see that the cause is the user's own limit."""
    found = token_advice(32768, USE)
    assert (found["reserved_per_request"], found["used_per_request"]) == (33768, 2000)
    assert "BEDROCK_MAX_TOKENS=1024" in found["advice"]
    assert "16.7 times" in found["advice"]


@pytest.mark.parametrize(
    ("max_tokens", "use"),
    [
        (1024, USE),
        (1599, USE),
        (32768, TokenUse(19, 100, 100, 100, 1.0)),
        (512, TokenUse(100, 100, 100, 3, 1.0)),
        (32768, TokenUse(0, 0, 0, 0, 1.0)),
    ],
    ids=["enough", "not far", "few answers", "small already", "none"],
)
def test_no_advice_without_need(max_tokens: int, use: TokenUse) -> None:
    """A user would follow needless advice and cut off answers."""
    assert token_advice(max_tokens, use)["advice"] is None


def test_the_advice_leaves_room() -> None:
    """The recommended value would cut off the longest answer."""
    for longest in (0, 1, 127, 128, 129, 3000):
        text = token_advice(100_000, TokenUse(50, 50, 50, longest, 1.0))["advice"]
        advised = int(text.split("BEDROCK_MAX_TOKENS=")[1].split()[0])
        assert advised >= 2 * longest
        assert advised > 0
