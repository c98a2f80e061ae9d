"""Figures of a run are counted from the columns that are written, and refused if they do not add up."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from bedrock_batch.answers.columns import AnswerColumns
from bedrock_batch.errors import RunError
from bedrock_batch.outputs.figures import Figures
from bedrock_batch.outputs.summary import write_summary
from bedrock_batch.records import Answer

COLUMNS = AnswerColumns(None, "llm_")


def answered(**more: object) -> Answer:
    values: dict[str, object] = {"input_tokens": 10, "output_tokens": 2, "model_id": "m", "source": "batch"}
    values |= more
    if values["source"] == "batch":
        values = {"batch_input_tokens": values["input_tokens"], "batch_output_tokens": values["output_tokens"]} | values
    return Answer({}, "json_only", True, stop_reason="end_turn", **values)  # type: ignore[arg-type]  # fields of Answer


def failed(kind: str, message: str = "no", **more: object) -> Answer:
    return Answer({}, "error", False, error=message, error_kind=kind, source="batch", **more)  # type: ignore[arg-type]  # the same


def count(*outcomes: Answer, first_row: int = 1) -> Figures:
    figures = Figures()
    columns = pa.Table.from_batches([COLUMNS.to_batch(list(outcomes))])
    figures.add(columns, "llm_")
    figures.add_details(columns, "llm_", "a.csv", range(first_row, first_row + columns.num_rows))
    return figures


def test_every_row_is_counted_by_status_source_model_and_error() -> None:
    """The summary would contradict the rows."""
    figures = count(answered(), answered(source="realtime", attempts=3), failed("missing"), failed("missing"))
    found = figures.as_dict()
    assert (found["total_records"], found["successful_records"], found["failed_records"]) == (4, 2, 2)
    assert found["parse_status"] == {"json_only": 2, "error": 2}
    assert found["sources"] == {"batch": 3, "realtime": 1}
    assert found["models"] == {"m": 2}
    assert found["retries"] == 2
    assert found["error_kinds"] == {"missing": {"records": 2, "example": {"file": "a.csv", "row": 3, "message": "no"}}}
    figures.check("the run")


def test_tokens_are_summed_by_mode_and_by_the_cause_that_sent_a_record_to_real_time() -> None:
    """A user could not see what the real-time fallback cost."""
    figures = count(answered(), answered(source="realtime", salvaged_from="expired"), failed("x"))
    assert figures.as_dict()["tokens"] == {
        "batch_input_tokens": 10,
        "batch_output_tokens": 2,
        "realtime_input_tokens": 10,
        "realtime_output_tokens": 2,
    }
    assert figures.fallback_as_dict() == {"expired": {"records": 1, "input_tokens": 10, "output_tokens": 2}}


def test_an_answer_that_was_asked_for_again_is_counted_in_both_modes() -> None:
    """The tokens of the batch answer would be priced and counted as real-time tokens."""
    both = answered(
        source="realtime", salvaged_from="validation", input_tokens=25, output_tokens=7, batch_input_tokens=10,
        batch_output_tokens=2,
    )  # fmt: skip # the values of one row
    figures = count(both, answered())
    assert figures.as_dict()["tokens"] == {
        "batch_input_tokens": 20,
        "batch_output_tokens": 4,
        "realtime_input_tokens": 15,
        "realtime_output_tokens": 5,
    }
    assert figures.fallback_as_dict() == {"validation": {"records": 1, "input_tokens": 15, "output_tokens": 5}}
    shared = count(answered(source="realtime", attempts=0, input_tokens=0, output_tokens=0))
    figures.merge(shared)
    assert (figures.longest_answer, figures.realtime_answers) == (7, 1)


def test_merged_figures_are_those_of_all_rows_together() -> None:
    """The figures of the run would differ from the sum of its splits."""
    rows = [answered(), failed("a"), answered(salvaged_from="expired"), failed("b"), failed("a")]
    whole, parts = count(*rows), Figures()
    for number, row in enumerate(rows, 1):
        parts.merge(count(row, first_row=number))
    assert parts.as_dict() == whole.as_dict()
    assert parts.fallback_as_dict() == whole.fallback_as_dict()


def test_no_rows_give_rates_of_zero() -> None:
    """An empty split would fail the run with a division by zero."""
    found = count().as_dict()
    assert (found["total_records"], found["success_rate"], found["validation_rate"]) == (0, 0.0, 0.0)


def test_figures_that_do_not_add_up_are_refused() -> None:
    """A user would trust a summary that contradicts the outputs."""
    figures = count(answered())
    figures.total += 1
    with pytest.raises(RunError, match="the figures of split train do not add up"):
        figures.check("split train")


def test_a_summary_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """A program would read half a summary, or take the rest of a failed write for one."""
    path = write_summary({"name": "Grüße \u2028"}, tmp_path / "new" / "summary.json")
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "Grüße \u2028"}
    assert [file.name for file in path.parent.iterdir()] == ["summary.json"]
    with pytest.raises(TypeError):
        write_summary({"value": object()}, tmp_path / "other" / "summary.json")
    assert not (tmp_path / "other" / "summary.json").exists()


def test_a_file_name_that_is_not_utf8_does_not_lose_the_summary(tmp_path: Path) -> None:
    """A run of hours would end with an encoding error because of one old file name."""
    path = write_summary({"file": "caf\udce9.csv"}, tmp_path / "summary.json")
    assert json.loads(path.read_bytes()) == {"file": "caf\udce9.csv"}
