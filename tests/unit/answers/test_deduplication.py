"""Rows with the same prompt share an answer, and only the first of them has a cost."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.answers.columns import AnswerColumns
from bedrock_batch.answers.deduplication import SharedPrompts
from bedrock_batch.answers.segments import SegmentCursor, SegmentStore
from bedrock_batch.records import Answer

COLUMNS = AnswerColumns(None, "llm_")


def outcome(number: int) -> Answer:
    """The outcome of the prompt with a number; each ninth has no answer."""
    if number % 9 == 8:
        return Answer({}, "error", False, error=f"e{number}", error_kind="x")
    return Answer({}, "json_only", True, stop_reason=f"s{number}", input_tokens=number + 1, output_tokens=1)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(1, 5))
def test_each_row_gets_the_answer_to_its_prompt(prompts: list[int], per_segment: int) -> None:
    """A row would get the answer to the prompt of another row."""
    shared = SharedPrompts()
    asked = [prompt for prompt in prompts if shared.is_new(f"prompt {prompt} \ud800")]
    assert asked == list(dict.fromkeys(prompts))
    with tempfile.TemporaryDirectory() as folder:
        store = SegmentStore(Path(folder), COLUMNS.arrow_schema)
        for start in range(0, len(asked), per_segment):
            store.write(start, COLUMNS.to_batch([outcome(number) for number in asked[start : start + per_segment]]))
        spread = shared.spread(store, Path(folder))
        assert spread.missing(len(prompts)) == []
        table = SegmentCursor(spread).take(len(prompts))
        stops, errors = table["_stop_reason"].to_pylist(), table["llm_error"].to_pylist()
        tokens, attempts = table["_input_tokens"].to_pylist(), table["_attempts"].to_pylist()
    assert stops == [outcome(prompt).stop_reason for prompt in prompts]
    assert errors == [outcome(prompt).error for prompt in prompts]
    first = [prompt not in prompts[:place] for place, prompt in enumerate(prompts)]
    assert attempts == [1 if new else 0 for new in first]
    assert sum(token or 0 for token in tokens) == sum(outcome(prompt).input_tokens or 0 for prompt in asked)
    assert (shared.distinct, shared.rows) == (len(asked), len(prompts))


def test_more_rows_than_one_piece(tmp_path: Path) -> None:
    """Rows after the first few thousand would get the answers of the first rows."""
    shared = SharedPrompts()
    prompts = [number % 5000 for number in range(12_000)]
    for prompt in prompts:
        shared.is_new(str(prompt))
    store = SegmentStore(tmp_path, COLUMNS.arrow_schema)
    store.write(0, COLUMNS.to_batch([outcome(number) for number in range(5000)]))
    table = SegmentCursor(shared.spread(store, tmp_path)).take(len(prompts))
    assert table["_stop_reason"].to_pylist() == [outcome(prompt).stop_reason for prompt in prompts]
    assert sum(table["_attempts"].to_pylist()) == 5000
