"""Text for people and for cells."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bedrock_batch.dataset.tables.cells import text_of
from bedrock_batch.text import cell_text, format_duration


@pytest.mark.parametrize(
    "value",
    [
        [1.5, float("nan"), None],
        {"a": float("inf"), "b": [float("nan")]},
        [{"day": date(2026, 1, 2)}],
        [b"\x00a"],
        ["é", '"'],
    ],
    ids=["list", "object", "date", "bytes", "text"],
)
def test_a_nested_cell_is_the_same_json_in_a_prompt_and_in_a_file(value: Any) -> None:
    """The prompt would show the model another value than the output file shows beside its answer."""
    (written,) = text_of(pa.array([value])).to_pylist()
    assert cell_text(value) == written
    json.loads(written, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_an_array_with_nan_is_json() -> None:
    """A prompt with an embedding would contain `NaN`, which is not JSON."""
    assert cell_text(np.array([1.0, np.nan])) == "[1.0, null]"


@pytest.mark.parametrize(
    ("seconds", "text", "exact"),
    [(0.0234, "0 s", "0.0234 s"), (95.37, "95 s", "95.4 s"), (120, "2 min", "2 min"), (7200, "2.0 h", "2.0 h")],
)
def test_a_duration_has_the_unit_that_fits(seconds: float, text: str, exact: str) -> None:
    """A user would read a job of two hours in seconds."""
    assert format_duration(seconds) == text
    assert format_duration(seconds, exact=True) == exact
