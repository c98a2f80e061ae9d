"""The step as its caller sees it: paths, columns, order, exit codes, and both modes alike."""

from __future__ import annotations

import argparse
import fcntl
import gzip
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_runs import ENVIRON, World, small, write_table

import bedrock_batch_processing as entry
from bedrock_batch.batch_processor import BedrockBatchProcessor
from bedrock_batch.config import settings_from_mapping
from bedrock_batch.container import container_paths
from bedrock_batch.context import RunContext, make_clients
from bedrock_batch.errors import InputError
from local_bedrock.behaviour import RecordFaults

COLUMNS = [
    *("llm_category", "llm_confidence", "llm_reason"),
    *("llm_parse_status", "llm_validation_passed", "llm_status", "llm_error"),
    *("llm_validation_error", "llm_raw_response"),
]
METADATA = ["llm_model_id", "llm_input_tokens", "llm_output_tokens", "llm_stop_reason", "llm_attempts", "llm_source"]

MakeWorld = Callable[..., World]


def outputs(world: World) -> list[str]:
    folder = world.processing / "output"
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_outputs_mirror_the_input(make_world: MakeWorld) -> None:
    """The training step behind this one would not find its files."""
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
    """Code that reads the outputs by position or expects a column to exist would break."""
    world = make_world()
    world.answer(BEDROCK_OUTPUT_METADATA=str(metadata))
    table = pq.read_table(world.processing / "output/data/test/test_processed_data.parquet")
    assert table.column_names == ["id", "text", *COLUMNS, *(METADATA if metadata else [])]
    assert table.schema.field("llm_confidence").type == pa.float64()
    assert table.schema.field("llm_validation_passed").type == pa.bool_()


def test_both_modes_give_equal_tables(make_world: MakeWorld) -> None:
    """A user who lets the step choose would get other outputs for other sizes of the same data."""
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
    """Many small files would each be too few for batch and cost twice as much."""
    run = make_world().answer(BEDROCK_BATCH_MODE="auto", BEDROCK_BATCH_THRESHOLD=threshold)
    assert run.summary["batch_processing_used"] == (mode == "batch")


def test_other_job_types_process_a_single_data_set(make_world: MakeWorld) -> None:
    """A calibration job would look for splits that it has not."""
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
    """A user with one file would be told that nothing is there."""
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
    """A run in which most rows failed would look like a success to the pipeline, or lose the rows that did not."""
    world = make_world(small(records=RecordFaults(error=0.5)))
    run = world.run(BEDROCK_MAX_ERROR_RATE="0.1")
    assert "BEDROCK_MAX_ERROR_RATE" in str(run.error)
    assert len(run.all_rows) == 60


def make_processor(world: World, **more: object) -> BedrockBatchProcessor:
    """A processor as a notebook makes it."""
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
    """A notebook user would get the index, the order or the types of the frame changed."""
    processor = make_processor(make_world())
    result = processor.process_batch(FRAME)
    pd.testing.assert_frame_equal(result[["text", "n"]], FRAME)
    assert list(result.columns[:4]) == ["text", "n", "llm_a", "llm_parse_status"]
    assert processor.process_single_case({"text": "x"})["llm_status"] == "success"


def test_a_frame_with_a_column_of_an_answer_is_refused(make_world: MakeWorld) -> None:
    """A notebook user would pay for a frame with two columns of one name."""
    world = make_world()
    with pytest.raises(InputError, match="llm_a"):
        make_processor(world).process_batch(FRAME.assign(llm_a=1))
    assert world.local.realtime_answers.total() == 0


def test_a_frame_is_continued_from_its_output_folder(make_world: MakeWorld, tmp_path: Path) -> None:
    """A notebook whose kernel died would pay for the same rows again, although it asked for progress to be saved."""
    world = make_world()
    results = [make_processor(world).process_batch(FRAME, output_dir=tmp_path / "out") for _ in range(2)]
    pd.testing.assert_frame_equal(*results)
    assert world.local.realtime_answers.total() == 3


def test_what_a_killed_process_left_is_removed(make_world: MakeWorld) -> None:
    """Prompts of killed runs would lie on the disk for ever."""
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
