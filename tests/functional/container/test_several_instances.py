"""One processing job on several instances: every row once, none twice, and together the outputs of one instance."""

from __future__ import annotations

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from helpers.batch_runs import BUCKET, ENVIRON, SCHEMA, small, write_inputs
from helpers.step_command import step_command, step_environ
from helpers.table_files import make_rows, read_outputs, write_table
from local_bedrock import LocalBedrock
from local_bedrock.behaviour import Phases

INSTANCES = ("algo-1", "algo-2", "algo-3")
# A split of two files, one with fewer rows than there are instances, and one that is Parquet.
FILES = {"train/a.csv": 40, "train/b.csv": 21, "val/c.tsv": 2, "test/d.parquet": 30}
DATA = "/opt/ml/processing/input/data"
SETTINGS = {
    **ENVIRON,
    "BEDROCK_BATCH_POLL_INITIAL_SECONDS": "0.05",
    "BEDROCK_BATCH_POLL_MAX_SECONDS": "0.2",
    "BEDROCK_MAX_CONCURRENT_BATCH_JOBS": "3",
}


def make_instance(root: Path, instance: str, distribution: str = "FullyReplicated") -> Path:
    """Make the /opt/ml of an instance, with SageMaker's configuration files, and return its processing directory."""
    config = root / instance / "ml" / "config"
    config.mkdir(parents=True)
    (config / "resourceconfig.json").write_text(json.dumps({"current_host": instance, "hosts": INSTANCES}))
    source = {"LocalPath": DATA, "S3Uri": "s3://data/x", "S3DataDistributionType": distribution}
    job = {"ProcessingInputs": [{"InputName": "data", "S3Input": source}]}
    (config / "processingjobconfig.json").write_text(json.dumps(job))
    return root / instance / "ml" / "processing"


def run_together(folders: list[Path], environ: Mapping[str, str]) -> list[str]:
    """Run a step in each folder, all at the same time, and return their logs."""
    processes = [
        subprocess.Popen(
            step_command(folder, "--job_type", "training"),
            env=step_environ(environ),
            stderr=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]
    logs = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(folders), "\n".join(logs)
    return logs


def read_summary(folder: Path) -> dict[str, Any]:
    (path,) = (folder / "output" / "summary").glob("processing_summary_*.json")
    summary: dict[str, Any] = json.loads(path.read_text())
    assert path.stem.endswith(summary["instance"]["host"]) == (summary["instance"]["hosts"] > 1)
    return summary


def answers_in(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(row["id"], row["llm_category"], row["llm_reason"]) for row in rows]


def names_of(folder: Path) -> set[str]:
    data = folder / "output" / "data"
    return {path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file()}


@pytest.fixture
def local() -> Any:
    # Three jobs at once are what the service takes: instances that did not share them would be refused.
    with LocalBedrock(small(max_concurrent_jobs=3), answers=SCHEMA) as local:
        local.create_bucket(BUCKET)
        yield local


def test_three_instances_divide_replicated_inputs(local: LocalBedrock, tmp_path: Path) -> None:
    """A user who sets the instance count to 3 would pay for every row three times, or lose rows, or overwrite files."""
    environ = {**SETTINGS, **local.environment, "BEDROCK_ANSWER_REUSE": "false"}
    alone = tmp_path / "alone" / "ml" / "processing"
    write_inputs(alone / "input", FILES)
    run_together([alone], environ)
    paid = Counter(local.charges)
    assert set(paid.values()) == {1}
    assert len(paid) == sum(FILES.values())

    folders = [make_instance(tmp_path, instance) for instance in INSTANCES]
    for folder in folders:
        write_inputs(folder / "input", FILES)
    run_together(folders, environ)
    assert Counter(local.charges) == paid + paid
    whole = read_outputs(alone / "output" / "data")
    parts = [read_outputs(folder / "output" / "data") for folder in folders]
    assert {split: [row for part in parts for row in part.get(split, [])] for split in whole} == whole

    for instance, folder in zip(INSTANCES, folders, strict=True):
        assert names_of(folder) == {
            f"train/train_processed_data-{instance}.csv",
            f"val/val_processed_data-{instance}.tsv",
            f"test/test_processed_data-{instance}.parquet",
        }
    summaries = [read_summary(folder) for folder in folders]
    assert sum(summary["total_records"] for summary in summaries) == sum(FILES.values())
    assert len({summary["run_id"] for summary in summaries}) == len(INSTANCES)
    assert {summary["settings"]["max_concurrent_batch_jobs"] for summary in summaries} == {1}
    refused = [call.error for call in local.calls if call.operation == "CreateModelInvocationJob" and call.error]
    assert refused == []


def test_sharded_inputs_are_taken_as_they_are_and_an_instance_may_get_none(local: LocalBedrock, tmp_path: Path) -> None:
    """Only a third of the rows would be answered if SageMaker divides the files, or an idle instance would fail."""
    folders = [make_instance(tmp_path, instance, "ShardedByS3Key") for instance in INSTANCES]
    for folder in folders:
        write_inputs(folder / "input", {})
    rows = make_rows(30)
    write_table(folders[0] / "input" / "data" / "train" / "a.csv", rows[:20])
    write_table(folders[1] / "input" / "data" / "train" / "b.csv", rows[20:])
    run_together(folders, {**SETTINGS, **local.environment})
    outputs = [read_outputs(folder / "output" / "data") for folder in folders]
    assert [[row["id"] for row in output.get("train", [])] for output in outputs] == [
        [row["id"] for row in rows[:20]],
        [row["id"] for row in rows[20:]],
        [],
    ]
    assert set(local.charges.values()) == {1}
    idle = read_summary(folders[2])
    assert (idle["total_records"], idle["splits_processed"], idle["run_id"]) == (0, [], None)
    assert names_of(folders[2]) == set()


def test_an_instance_without_rows_writes_an_empty_output(local: LocalBedrock, tmp_path: Path) -> None:
    """A downstream step that reads a file of each instance would miss one, or an idle instance would fail the job."""
    folders = [make_instance(tmp_path, instance) for instance in INSTANCES]
    for folder in folders:
        write_inputs(folder / "input", {"val/c.tsv": 2, "test/d.parquet": 2})
    logs = run_together(folders, {**SETTINGS, **local.environment, "BEDROCK_BATCH_MODE": "auto"})
    totals = [read_summary(folder)["total_records"] for folder in folders]
    assert sum(totals) == 4
    assert totals.count(0) == 1, logs
    idle = folders[totals.index(0)]
    assert len(names_of(idle)) == 2
    header = (idle / "output" / "data" / "val" / f"val_processed_data-{INSTANCES[totals.index(0)]}.tsv").read_text()
    assert header.startswith("id\ttext\tllm_category")
    assert header.count("\n") == 1


def test_the_same_instances_again_pay_nothing(local: LocalBedrock, tmp_path: Path) -> None:
    """A retried pipeline step on several instances would pay again, or stop because another instance holds its run."""
    environ = {**SETTINGS, **local.environment}
    for attempt in ("first", "second"):
        folders = [make_instance(tmp_path / attempt, instance) for instance in INSTANCES]
        for folder in folders:
            write_inputs(folder / "input", {"train/a.csv": 45})
        logs = run_together(folders, environ)
    assert set(local.charges.values()) == {1}
    assert len(local.charges) == 45
    assert all("continues" in log for log in logs)


def test_three_instances_take_what_one_has_paid_for(local: LocalBedrock, tmp_path: Path) -> None:
    """A user who sets the instance count to 3 for the second run would pay for every row again."""
    environ = {**SETTINGS, **local.environment, "BEDROCK_ANSWERS_S3_PATH": f"s3://{BUCKET}/shared"}
    alone = tmp_path / "alone" / "ml" / "processing"
    folders = [make_instance(tmp_path, instance) for instance in INSTANCES]
    for folder in (alone, *folders):
        write_inputs(folder / "input", {"train/a.csv": 60})
    run_together([alone], environ)
    assert local.charges.total() == 60
    run_together(folders, environ)
    assert local.charges.total() == 60
    parts = [read_outputs(folder / "output" / "data")["train"] for folder in folders]
    whole = read_outputs(alone / "output" / "data")["train"]
    assert answers_in([row for part in parts for row in part]) == answers_in(whole)


def test_a_run_waits_for_the_job_of_another_run_at_work(tmp_path: Path) -> None:
    """Two pipelines that ask the same questions at the same time would both pay for them."""
    with LocalBedrock(small(phases=Phases(0.1, 0.1, 0.1, 8.0)), answers=SCHEMA) as local:
        local.create_bucket(BUCKET)
        shared = {"BEDROCK_ANSWERS_S3_PATH": f"s3://{BUCKET}/shared", "BEDROCK_CANARY_RECORDS": "0"}
        environ = step_environ({**SETTINGS, **local.environment, **shared})
        folders = [tmp_path / name / "ml" / "processing" for name in ("first", "second")]
        for folder, rows in zip(folders, (60, 80), strict=True):
            write_inputs(folder / "input", {"train/a.csv": rows})
        polled = threading.Event()
        local.on_call(lambda call: polled.set() if call.operation == "GetModelInvocationJob" else None)
        first, second = (step_command(folder, "--job_type", "training") for folder in folders)
        with subprocess.Popen(first, env=environ, stderr=subprocess.DEVNULL) as at_work:
            assert polled.wait(60)
            done = subprocess.run(second, env=environ, capture_output=True, text=True, timeout=120, check=False)
            assert (at_work.wait(120), done.returncode) == (0, 0), done.stderr
        assert "attached=" in done.stderr
        assert local.charges.total() == 80
        whole = [read_outputs(folder / "output" / "data")["train"] for folder in folders]
        assert answers_in(whole[1][:60]) == answers_in(whole[0])
