"""The records of a canary, and how many of its answers may be invalid."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.batch.canary import draw_numbers, expected_share
from bedrock_batch.batch.canary_advice import advise, describe_reason
from bedrock_batch.records import Answer


@given(count=st.integers(1, 5000), data=st.data())
def test_a_canary_is_spread_over_the_run(count: int, data: st.DataObject) -> None:
    """A canary would ask one record twice, or only those of the first split."""
    wanted = data.draw(st.integers(1, count))
    numbers = draw_numbers(count, wanted)
    assert numbers == draw_numbers(count, wanted)
    assert [number * wanted // count for number in numbers] == pytest.approx(range(wanted), abs=1)
    assert len({*numbers}) == wanted
    assert 0 <= numbers[0] <= numbers[-1] < count


def test_retries_raise_the_share_that_is_expected() -> None:
    """A run with validation retries would be refused although they mend most answers."""
    assert expected_share(0.7, 0) == pytest.approx(0.7)
    assert expected_share(0.7, 1) == pytest.approx(0.91)
    assert expected_share(0.0, 9) == 0


def test_a_reason_quotes_nothing_of_an_answer() -> None:
    """Text of a row, which the answer repeats, would be in the log of the pipeline."""
    answer = Answer({}, "validation_failed", True, validation_error="category: 'Jane Doe' is not one of [\"a\"]")
    assert describe_reason(answer) == "category: ... is not one of [...]"
    assert describe_reason(replace(answer, error="bad request (HTTP 400)")) == "bad request (HTTP 400)"


@pytest.mark.parametrize("kind", ["max_tokens", "json_failed", "refusal"])
def test_each_reason_has_advice(kind: str) -> None:
    """A user would see that answers fail and not what to change."""
    assert len(advise(kind)) > 20
