"""Observers cannot fail a run: figures, samples, report, sections of the summary, and progress."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.commands import run as step
from bedrock_batch.outputs import summary as run_summary
from bedrock_batch.outputs.distributions import Distributions
from bedrock_batch.outputs.figures import Figures
from bedrock_batch.outputs.sample_rows import SampleCollector
from bedrock_batch.progress import LineProgress, Progress
from helpers.batch_runs import World

MakeWorld = Callable[..., World]
FILES = {"train/a.csv": 8, "val/b.parquet": 8}
# Order numbers and nanosecond times lie above 2^53, where a double cannot hold each integer.
NUMBERS = {
    "type": "object",
    "properties": {
        "order": {"type": "integer", "minimum": 17_000_000_000_000_001, "maximum": 17_000_000_000_000_003},
        "share": {"type": "number", "minimum": 0.3, "maximum": 0.30000000000000004},
        "most": {"type": "integer", "minimum": 9_223_372_036_854_775_806, "maximum": 9_223_372_036_854_775_807},
    },
    "required": ["order", "share", "most"],
}


def outputs(world: World) -> dict[str, bytes]:
    folder = world.processing / "output" / "data"
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.*"))}


@pytest.mark.parametrize("mode", ["batch", "realtime"])
def test_integers_above_2_53_are_answers_like_others(make_world: MakeWorld, mode: str) -> None:
    """A run over order numbers would fail after everything was charged, and so would every restart."""
    world = make_world(files=FILES, schema=NUMBERS, BEDROCK_BATCH_MODE=mode)
    run = world.answer()
    assert {int(row["llm_order"]) for row in run.all_rows} <= set(range(17_000_000_000_000_001, 17_000_000_000_000_004))
    assert run.summary["validation_passed_records"] == 16
    assert [field["field"] for field in run.summary["fields"]] == ["order", "share", "most"]
    assert not run.logged("please report")
    (report,) = (world.processing / "output" / "summary").glob("*.html")
    assert "share" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize("mode", ["batch", "realtime"])
def test_an_integer_beyond_64_bits_fails_its_row_and_says_why(make_world: MakeWorld, mode: str) -> None:
    """One answer that no column can hold would fail the run, or be changed silently."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    world = make_world(files=FILES, schema={**schema, "properties": {"n": {"const": 2**63}}}, BEDROCK_BATCH_MODE=mode)
    (path,) = (world.processing / "input" / "schema").glob("*.json")
    path.write_text(json.dumps(schema), encoding="utf-8")
    run = world.answer()
    assert {row["llm_parse_status"] for row in run.all_rows} == {"validation_failed"}
    assert all("n:" in row["llm_validation_error"] for row in run.all_rows)


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("a defect in an observer")


@pytest.mark.parametrize(
    ("owner", "name", "told"),
    [
        (Distributions, "add", "the figures of fields"),
        (Figures, "add_details", "the figures of tokens and errors"),
        (SampleCollector, "take", "the samples of the report"),
        (run_summary, "describe_fields", "the figures of fields"),
        (run_summary, "_histograms", "the histograms"),
        (run_summary, "_max_tokens", "the advice on max_tokens"),
        (run_summary, "_estimated", "the estimate"),
        (step, "write_report", "the report"),
    ],
)
def test_a_defect_in_an_observer_is_one_warning(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, told: str
) -> None:
    """A defect in a chart would fail a run that was paid for."""
    sound = make_world(files=FILES)
    sound.answer()
    world = make_world(files=FILES, BEDROCK_REPORT_SAMPLES="2")
    monkeypatch.setattr(owner, name, broken)
    run = world.answer()
    assert outputs(world) == outputs(sound)
    assert run.summary["total_records"] == run.summary["validation_passed_records"] == 16
    warnings = [line for line in run.log if "not in the summary and report" in line]
    assert len(warnings) == 1
    assert told in warnings[0]
    assert "a defect in an observer" in warnings[0]


@pytest.mark.parametrize("event", ["begin", "answered", "job", "end"])
def test_a_defect_in_the_display_of_progress_is_one_warning(
    make_world: MakeWorld, caplog: pytest.LogCaptureFixture, event: str
) -> None:
    """A closed terminal would fail the run."""
    from dataclasses import replace

    class Broken(Progress):
        def show(self, what: str) -> None:
            if what == event:
                raise BrokenPipeError("the terminal is gone")

    world = make_world(files=FILES)
    run = world.run(adapt=lambda context: replace(context, progress=Broken(context.clock, context.log)))
    assert run.error is None
    assert sum("progress is not shown any more" in line for line in run.log) == 1


def test_closed_standard_output_does_not_fail_the_metrics(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A log router that stopped would fail the run."""
    out = (tmp_path / "out").open("w", encoding="utf-8")
    out.close()
    progress = LineProgress(logging.getLogger("metrics"), metrics="Name", out=out)
    progress.begin((("rows", 1),), lambda: 0.0)
    progress.end()
    assert "progress is not shown any more" in caplog.text


def test_the_last_line_counts_valid_invalid_and_failed_rows(make_world: MakeWorld) -> None:
    """A user would read `failed=0` for a run without one valid answer."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    world = make_world(files=FILES, schema={**schema, "properties": {"n": {"const": "no number"}}})
    (path,) = (world.processing / "input" / "schema").glob("*.json")
    path.write_text(json.dumps(schema), encoding="utf-8")
    run = world.answer()
    assert run.logged("records=16 valid=0 invalid=16 failed=0 reasons: validation_failed=16")
