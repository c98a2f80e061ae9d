"""The step as its caller sees it: paths, columns, order and exit codes, the same in both modes."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gzip
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bedrock_batch_processing as entry
from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor
from bedrock_batch.environment.container.paths import container_paths
from bedrock_batch.environment.context import RunContext, make_clients
from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.errors import ConfigurationError, InputError
from helpers.batch_runs import ENVIRON, MODEL, TEMPLATE, World, small
from helpers.table_files import write_table
from local_bedrock.behaviour import AnswerFaults, RecordFaults
from local_bedrock.journal import CallInfo

COLUMNS = [
    *("llm_category", "llm_confidence", "llm_reason"),
    *("llm_parse_status", "llm_validation_passed", "llm_status", "llm_error"),
    *("llm_validation_error", "llm_raw_response"),
]
METADATA = ["llm_model_id", "llm_input_tokens", "llm_output_tokens", "llm_stop_reason", "llm_attempts", "llm_source"]
METADATA += ["llm_repair", "llm_json_error"]

MakeWorld = Callable[..., World]


def outputs(world: World) -> list[str]:
    folder = world.processing / "output"
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_outputs_mirror_the_input(make_world: MakeWorld) -> None:
    """The next step of the pipeline would not find its files."""
    world = make_world()
    world.answer()
    found = outputs(world)
    assert found[:3] == [
        "data/test/test_processed_data.parquet",
        "data/train/train_processed_data.csv",
        "data/val/val_processed_data.tsv",
    ]
    assert all(name.startswith("summary/processing_") for name in found[3:])


@pytest.mark.parametrize("metadata", [False, True])
def test_the_columns_are_all_there_in_their_order(make_world: MakeWorld, metadata: bool) -> None:
    """Code that reads columns by position, or expects a column, would break."""
    world = make_world()
    world.answer(BEDROCK_OUTPUT_METADATA=str(metadata))
    table = pq.read_table(world.processing / "output/data/test/test_processed_data.parquet")
    assert table.column_names == ["id", "text", *COLUMNS, *(METADATA if metadata else [])]
    assert table.schema.field("llm_confidence").type == pa.float64()
    assert table.schema.field("llm_validation_passed").type == pa.bool_()


def test_both_modes_give_equal_tables(make_world: MakeWorld) -> None:
    """The outputs would depend on the mode that the step chooses, and so on the number of rows."""
    tables = []
    for mode in ("batch", "realtime"):
        world = make_world()
        run = world.answer(BEDROCK_BATCH_MODE=mode, BEDROCK_OUTPUT_METADATA="false", BEDROCK_BATCH_RESUME="false")
        assert run.summary["batch_processing_used"] == (mode == "batch")
        tables.append({name: (world.processing / "output" / name).read_bytes() for name in outputs(world)[1:3]})
        tables[-1]["parquet"] = pq.read_table(world.processing / "output" / outputs(world)[0])
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("threshold", "mode"), [pytest.param("60", "batch", id="reached"), pytest.param("61", "realtime", id="not reached")]
)
def test_auto_mode_counts_the_records_of_the_run(make_world: MakeWorld, threshold: str, mode: str) -> None:
    """Many small files would each be too small for batch and cost twice as much."""
    run = make_world().answer(BEDROCK_BATCH_MODE="auto", BEDROCK_BATCH_THRESHOLD=threshold)
    assert run.summary["batch_processing_used"] == (mode == "batch")


def test_the_variables_of_the_original_script_ask_for_a_tool(make_world: MakeWorld) -> None:
    """A caller of the original script would get answers by another way than it asks for, and would not be told."""
    names = {"BEDROCK_USE_TOOL_CALLING": "true", "BEDROCK_TOOL_NAME": "file_case"}
    tables = []
    for mode in ("realtime", "batch"):
        world = make_world(files={"train/a.csv": 12})
        run = world.answer(BEDROCK_BATCH_MODE=mode, BEDROCK_TOOL_DESCRIPTION="Files a case.", **names)
        assert run.summary["model"]["structured_output"] == "tool"
        assert sum("BEDROCK_USE_TOOL_CALLING='true' is read as" in line for line in run.log) == 1
        tables.append([{k: v for k, v in row.items() if k != "llm_source"} for row in run.all_rows])
    assert tables[0] == tables[1]


def test_a_frame_is_asked_for_under_the_keys_of_the_original_script(
    make_world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """A notebook that passes the configuration of the original script would not see what became of it."""
    caplog.set_level(logging.INFO, "bedrock_batch")
    processor = make_processor(make_world(), use_tool_calling=True, tool_name="file_case")
    processor.process_batch(FRAME)
    assert processor.model_input.body("x")["tool_choice"] == {"type": "tool", "name": "file_case"}
    assert "use_tool_calling=True is read as structured_output=tool" in caplog.messages


RENAMED = '{"category": "label", "reason": "why, in words"}'


@pytest.mark.parametrize("mode", ["batch", "realtime"])
def test_renamed_columns_are_those_of_every_output(make_world: MakeWorld, mode: str) -> None:
    """A step that reads the columns by the names of the original script would not find them."""
    world = make_world()
    plain = world.answer(BEDROCK_BATCH_MODE=mode)
    run = world.answer(BEDROCK_BATCH_MODE=mode, BEDROCK_OUTPUT_COLUMN_MAP=RENAMED, BEDROCK_REPORT_SAMPLES="2")
    columns = ["id", "text", "label", "llm_confidence", "why, in words", *COLUMNS[3:], *METADATA]
    assert [list(rows[0]) for rows in run.rows.values()] == [columns] * 3
    assert [[*row.values()] for row in run.all_rows] == [[*row.values()] for row in plain.all_rows]
    assert [each["field"] for each in run.summary["fields"]] == ["label", "confidence", "why, in words"]
    (*_, report) = sorted((world.processing / "output" / "summary").glob("*.html"), key=os.path.getmtime)
    page = report.read_text(encoding="utf-8")
    assert "<b>label</b>" in page
    assert "<b>llm_category</b>" not in page
    assert set(world.charges.values()) == {1}, "the names of columns are no part of a run"


def test_the_text_of_an_answer_without_a_schema_can_be_renamed(make_world: MakeWorld) -> None:
    """A run without a schema would have no way to name its one column."""
    world = make_world(files={"train/a.csv": 12})
    (schema,) = (world.processing / "input/schema").glob("*.json")
    schema.unlink()
    run = world.answer(BEDROCK_OUTPUT_COLUMN_MAP='{"response": "answer"}')
    assert list(run.all_rows[0])[2:4] == ["answer", "llm_parse_status"]
    assert run.logged("becomes JSON text in the column answer")


def test_a_frame_has_renamed_columns(make_world: MakeWorld) -> None:
    """A notebook would get other names than the output files have."""
    processor = make_processor(make_world(), output_column_map={"a": "label"})
    assert list(processor.process_batch(FRAME).columns[:4]) == ["text", "n", "label", "llm_parse_status"]
    joined = processor.convert_batch_results_to_df([], FRAME)
    assert list(joined.columns[:4]) == ["text", "n", "label", "llm_parse_status"]
    assert "a" in processor.process_single_case({"text": "x"}), "a single case has the names of the fields"
    with pytest.raises(ConfigurationError, match="BEDROCK_OUTPUT_COLUMN_MAP names 'b'"):
        make_processor(make_world(), output_column_map={"b": "label"})


def test_other_job_types_process_a_single_data_set(make_world: MakeWorld) -> None:
    """A calibration job would look for splits that it does not have."""
    world = make_world(files={"one.csv": 7, "b.parquet": 6})
    plain = world.processing / "input/data/two.csv"
    write_table(plain, [{"id": "x", "text": "zipped"}])
    (world.processing / "input/data/two.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    summary = run_main(world, "calibration")
    assert outputs(world)[:2] == ["data/calibration_processed_data.csv", "data/calibration_processed_data.parquet"]
    assert summary["total_records"] == 14
    ids = pd.read_csv(world.processing / "output/data/calibration_processed_data.csv", dtype=str)["id"]
    assert list(ids) == [*(f"{number:06d}" for number in range(7)), "x"]


def run_main(world: World, job_type: str = "training", **environ: str) -> dict[str, Any]:
    """Run the step by `main`, as other Python code does."""
    paths = container_paths(world.processing)
    settings = {
        **world.environ,
        **world.local.environment,
        "BEDROCK_BATCH_POLL_INITIAL_SECONDS": "0.05",
        "BEDROCK_BATCH_POLL_MAX_SECONDS": "0.1",
        **environ,
    }
    return entry.main(*paths, settings, argparse.Namespace(job_type=job_type), logging.getLogger("test"))


def test_training_without_split_folders_is_a_single_data_set(make_world: MakeWorld) -> None:
    """A user with a single file would be told that there are no data."""
    world = make_world(files={"all.csv": 12})
    run_main(world)
    assert outputs(world)[0] == "data/training_processed_data.csv"


def test_error_records_can_be_left_out(make_world: MakeWorld) -> None:
    """A user who trains on the outputs would train on rows without a label."""
    world = make_world(small(records=RecordFaults(error=0.3)))
    run = world.answer(BEDROCK_SKIP_ERROR_RECORDS="true")
    assert run.summary["failed_records"] > 0
    assert len(run.all_rows) == run.summary["successful_records"] < run.summary["total_records"] == 60


def test_the_error_rate_fails_the_run_after_the_outputs_are_written(make_world: MakeWorld) -> None:
    """A run with mostly failed rows would look like a success to the pipeline, or lose the other rows."""
    world = make_world(small(records=RecordFaults(error=0.5)))
    run = world.run(BEDROCK_MAX_ERROR_RATE="0.1")
    assert "BEDROCK_MAX_ERROR_RATE" in str(run.error)
    assert len(run.all_rows) == 60


def make_processor(world: World, **more: object) -> BedrockBatchProcessor:
    """Return a processor as a notebook makes it."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    config = {
        "primary_model_id": ENVIRON["BEDROCK_PRIMARY_MODEL_ID"],
        "user_prompt_template": "Judge {text}",
        "validation_schema": schema,
        "max_tokens": 200,
        **more,
    }
    context = RunContext(make_clients(settings_from_mapping(config), world.local.environment))
    return BedrockBatchProcessor(config, context)


FRAME = pd.DataFrame({"text": ["x", None, "z"], "n": [1, 2, 3]}, index=["r", "s", "t"])


def test_a_frame_comes_back_with_its_own_columns_untouched(make_world: MakeWorld) -> None:
    """A notebook user would get a frame with another index, order or types."""
    processor = make_processor(make_world())
    result = processor.process_batch(FRAME)
    pd.testing.assert_frame_equal(result[["text", "n"]], FRAME)
    assert list(result.columns[:4]) == ["text", "n", "llm_a", "llm_parse_status"]
    assert processor.process_single_case({"text": "x"})["llm_status"] == "success"


@pytest.mark.parametrize(
    ("faults", "failed"),
    [(AnswerFaults(not_json=1.0), True), (AnswerFaults(truncated=1.0), True), (AnswerFaults(), False)],
    ids=["not-json", "cut-off", "good"],
)
def test_a_single_case_tells_what_was_no_json(make_world: MakeWorld, faults: AnswerFaults, failed: bool) -> None:
    """A caller would find neither text nor reason of a JSON failure, or a failure in a good answer."""
    processor = make_processor(make_world(small(answers=faults)))
    case = processor.process_single_case({"text": "x"})
    parsed = processor._parse_response_with_pydantic(processor._invoke_bedrock(processor._format_prompt({"text": "x"})))
    for found in (case, parsed):
        assert ("raw_response" in found, "json_error" in found) == (failed, failed)
        if failed:
            assert found["parse_status"] == "json_failed"
            assert found["raw_response"]
            assert found["json_error"]


def test_a_frame_with_a_column_of_an_answer_is_refused(make_world: MakeWorld) -> None:
    """A notebook user would pay for a frame with two columns of the same name."""
    world = make_world()
    with pytest.raises(InputError, match="llm_a"):
        make_processor(world).process_batch(FRAME.assign(llm_a=1))
    assert world.local.realtime_answers.total() == 0


@pytest.mark.parametrize("output_dir", ["out", ""])
def test_a_frame_is_continued_from_its_output_folder(
    make_world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output_dir: str
) -> None:
    """A notebook would pay for the same rows again after its kernel died, although it saves its progress."""
    world = make_world()
    monkeypatch.chdir(tmp_path)
    results = [make_processor(world).process_batch(FRAME, output_dir=output_dir) for _ in range(2)]
    pd.testing.assert_frame_equal(*results)
    assert world.local.realtime_answers.total() == 3


def test_what_a_killed_process_left_is_removed(make_world: MakeWorld) -> None:
    """The prompts of killed runs would stay on the disk forever."""
    world = make_world()
    left, used = (world.processing / ".bedrock-batch" / name for name in ("work-killed", "work-running"))
    for folder in (left, used):
        folder.mkdir(parents=True)
        (folder / "lock").touch()
    with (used / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        world.answer()
        assert not left.exists()
        assert used.exists()


@pytest.mark.parametrize("output", ["output/data", "output/data/train", "output/summary"])
def test_an_output_folder_that_is_an_input_folder_is_refused(make_world: MakeWorld, output: str) -> None:
    """Outputs would replace inputs of the same name, or become inputs of the next run."""
    world = make_world(files={"train/a.csv": 6})
    source = {"output/data": "data", "output/data/train": "data/train", "output/summary": "schema"}[output]
    link = world.processing / output
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(world.processing / "input" / source)
    before = sorted((world.processing / "input").rglob("*"))
    run = world.run()
    assert isinstance(run.error, ConfigurationError)
    assert "is the input folder" in str(run.error)
    assert not world.local.charges
    assert sorted((world.processing / "input").rglob("*")) == before


def test_a_split_is_not_written_to_the_folder_that_it_is_read_from(make_world: MakeWorld) -> None:
    """The next run of a notebook would read the outputs as inputs, and pay for them."""
    world = make_world(files={"train/a.csv": 6})
    folder = world.processing / "input" / "data" / "train"
    settings = settings_from_mapping({"primary_model_id": MODEL, "user_prompt_template": TEMPLATE})
    environ = {**ENVIRON, **world.local.environment}
    processor = BedrockBatchProcessor(settings, RunContext(make_clients(settings, environ)))
    with pytest.raises(InputError, match="is the input folder"):
        entry.process_split_directory("train", folder, folder, processor)
    assert [path.name for path in folder.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("mode", ["batch", "realtime"])
def test_what_a_run_works_with_is_for_its_owner_alone(make_world: MakeWorld, mode: str) -> None:
    """Other users could read the prompts and answers that a killed process leaves behind."""
    world = make_world(BEDROCK_BATCH_MODE=mode, BEDROCK_DEDUPLICATE_PROMPTS="true")
    state = world.processing / ".bedrock-batch"
    modes: dict[str, int] = {}

    def look(_: CallInfo) -> None:
        for path in state.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                modes[path.name] = path.stat().st_mode & 0o7777

    world.local.on_call(look)
    before = os.umask(0)
    try:
        world.answer()
    finally:
        os.umask(before)
    assert any(name.endswith((".jsonl", ".arrow")) for name in modes)
    assert {name: oct(mode) for name, mode in modes.items() if mode not in {0o700, 0o600}} == {}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"train/a.csv.gz": 6, "train/b.csv.gz": 6}, "data/train/train_processed_data.csv.gz"),
        ({"train/a.csv.gz": 6, "train/b.csv": 6}, "data/train/train_processed_data.csv"),
    ],
    ids=["all-compressed", "some-compressed"],
)
def test_compressed_inputs_are_mirrored(make_world: MakeWorld, files: dict[str, int], expected: str) -> None:
    """The next step would not find the output files by their names."""
    world = make_world(files=files)
    run = world.answer()
    assert [name for name in outputs(world) if name.startswith("data/")] == [expected]
    assert [row["id"] for row in run.all_rows] == [row["id"] for row in world.inputs]


@pytest.mark.parametrize("escape", [False, True])
def test_formulas_in_answers_are_escaped_on_request(make_world: MakeWorld, escape: bool) -> None:
    """The text of a row could make the model write a formula that a spreadsheet would run."""
    evil = '=HYPERLINK("http://x")'
    schema = {
        "type": "object",
        "properties": {"text": {"const": evil}, "minus": {"const": "-1+1"}, "n": {"const": -5}, "ok": {"const": "a=b"}},
        "required": ["text", "minus", "n", "ok"],
    }
    world = make_world(
        files={"train/a.csv": 6, "val/b.tsv": 6, "test/c.parquet": 6},
        schema=schema,
        BEDROCK_CSV_ESCAPE_FORMULAS=str(escape),
    )
    rows = world.answer().rows
    mark = "'" if escape else ""
    for split, prefix in (("train", mark), ("val", mark), ("test", "")):
        for row in rows[split]:
            assert (row["llm_text"], row["llm_minus"]) == (prefix + evil, prefix + "-1+1")
            assert (row["llm_n"], row["llm_ok"]) == ("-5", "a=b")
