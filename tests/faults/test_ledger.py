"""The ledger under faults of its store, of the machine and of users."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from helpers.forked_steps import (
    BUCKET,
    StepFolder,
    batch_settings,
    kill,
    lay_out,
    realtime_settings,
    run_to_end,
    start,
)
from local_bedrock.behaviour import Behaviour, CallFault, Phases
from local_bedrock.journal import CallInfo
from local_bedrock.server import LocalBedrock

Settings = Callable[..., dict[str, str]]
BOTH_MODES = pytest.mark.parametrize("settings", [batch_settings, realtime_settings], ids=["batch", "realtime"])


@pytest.fixture
def local() -> Iterator[LocalBedrock]:
    with LocalBedrock(Behaviour(min_records_per_job=10, phases=Phases(0.01, 0.01, 0.01, 0.05))) as server:
        server.create_bucket(BUCKET)
        yield server


def ledger_key(local: LocalBedrock) -> str:
    """Return the key of the only ledger in the bucket."""
    (key,) = [key for key in keys(local) if key.endswith("/ledger.json")]
    return key


def keys(local: LocalBedrock) -> list[str]:
    return [item["Key"] for item in local.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def put(local: LocalBedrock, key: str, data: bytes) -> None:
    local.client("s3").put_object(Bucket=BUCKET, Key=key, Body=data)


def read(local: LocalBedrock, key: str) -> bytes:
    return local.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()


def paid(local: LocalBedrock) -> int:
    return sum(local.charges.values())


@BOTH_MODES
def test_a_finished_run_is_written_again_without_asking_the_model(
    tmp_path: Path, local: LocalBedrock, settings: Settings
) -> None:
    """A user who starts a finished step again to get its outputs would pay for every row a second time."""
    step = lay_out(tmp_path, 40, settings(local))
    assert run_to_end(step) == 0, step.log
    outputs, cost = step.outputs, paid(local)
    shutil.rmtree(step.root / "output")
    assert run_to_end(step) == 0, step.log
    assert step.outputs == outputs
    assert paid(local) == cost == 40


def test_a_finished_run_without_s3_is_written_again_without_asking_the_model(
    tmp_path: Path, local: LocalBedrock
) -> None:
    """A user without S3 paths would lose the protection of the ledger without a warning."""
    without_s3 = {"BEDROCK_BATCH_INPUT_S3_PATH": "", "BEDROCK_BATCH_OUTPUT_S3_PATH": ""}
    step = lay_out(tmp_path, 12, realtime_settings(local, **without_s3))
    assert run_to_end(step) == 0, step.log
    outputs = step.outputs
    shutil.rmtree(step.root / "output")
    assert run_to_end(step) == 0, step.log
    assert step.outputs == outputs
    assert paid(local) == 12


def test_resume_false_begins_a_new_run(tmp_path: Path, local: LocalBedrock) -> None:
    """A user who wants new answers would always get the old ones."""
    step = lay_out(tmp_path, 12, realtime_settings(local))
    assert run_to_end(step) == 0, step.log
    fresh = StepFolder(step.root, {**step.settings, "BEDROCK_BATCH_RESUME": "false"})
    assert run_to_end(fresh) == 0, fresh.log
    assert paid(local) == 24
    assert "BEDROCK_BATCH_RESUME=false" in fresh.log


@pytest.mark.parametrize(
    ("change", "named", "asked"),
    [
        pytest.param("data", "inputs", 1, id="a changed cell"),
        pytest.param("template", "template", 12, id="a changed template"),
        pytest.param("schema", "schema", 0, id="a changed schema"),
        pytest.param("temperature", "parameters", 12, id="a changed parameter"),
    ],
)
def test_what_changes_an_answer_begins_a_new_run_and_says_why(
    tmp_path: Path, local: LocalBedrock, change: str, named: str, asked: int
) -> None:
    """A user who changes the input would get answers to the old one, or pay for those that have not changed."""
    step = lay_out(tmp_path, 12, realtime_settings(local))
    assert run_to_end(step) == 0, step.log
    paths = {
        "data": step.root / "input/data/train/train.csv",
        "template": step.root / "input/templates/prompts.json",
        "schema": step.root / "input/schema/validation_schema_1.json",
    }
    words = {
        "data": ("review number 0", "review number O"),
        "template": ("Judge this", "Judge the"),
        "schema": ("9", "8"),
    }
    if change in paths:
        text = paths[change].read_text(encoding="utf-8")
        paths[change].write_text(text.replace(*words[change]), encoding="utf-8")
    else:
        step = StepFolder(step.root, {**step.settings, "BEDROCK_TEMPERATURE": "0.5"})
    assert run_to_end(step) == 0, step.log
    assert f"{named} changed" in step.log
    assert paid(local) == 12 + asked


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"BEDROCK_CONCURRENCY_MODE": "concurrent"}, id="concurrency"),
        pytest.param({"BEDROCK_BATCH_POLL_MAX_SECONDS": "0.3"}, id="polling"),
        pytest.param({"BEDROCK_RATE_LIMIT_PER_SECOND": "77"}, id="rate"),
        pytest.param({"BEDROCK_MAX_RECORDS_PER_JOB": "33"}, id="size of jobs"),
        pytest.param({"BEDROCK_BATCH_MODE": "realtime"}, id="mode"),
    ],
)
def test_settings_that_cannot_change_an_answer_continue_the_run(
    tmp_path: Path, local: LocalBedrock, more: dict[str, str]
) -> None:
    """A user who restarts with another rate would pay for everything again."""
    step = lay_out(tmp_path, 40, batch_settings(local))
    assert run_to_end(step) == 0, step.log
    assert run_to_end(StepFolder(step.root, {**step.settings, **more})) == 0, step.log
    assert paid(local) == 40


@pytest.mark.parametrize(("first", "then"), [("90000", "6000"), ("6000", "90000")])
def test_a_record_between_two_limits_of_bytes_stays_where_it_was(
    tmp_path: Path, local: LocalBedrock, first: str, then: str
) -> None:
    """A user who restarts with another job size would be told that the inputs differ, and pay for everything again."""
    step = lay_out(tmp_path, 40, batch_settings(local, BEDROCK_MAX_JOB_FILE_BYTES=first))
    path = step.root / "input/data/train/train.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("review number 11", "long " * 1500, 1), encoding="utf-8")
    assert run_to_end(step) == 0, step.log
    outputs = step.outputs
    again = StepFolder(step.root, {**step.settings, "BEDROCK_MAX_JOB_FILE_BYTES": then})
    assert run_to_end(again) == 0, again.log
    assert again.outputs == outputs
    assert paid(local) == 40


def test_two_runs_of_one_identity_end_with_one_of_them_stopping(tmp_path: Path, local: LocalBedrock) -> None:
    """Two pipelines started on the same data would both pay for it."""
    slow = {"BEDROCK_RATE_LIMIT_PER_SECOND": "10"}
    first = lay_out(tmp_path / "first", 40, realtime_settings(local, **slow))
    second = lay_out(tmp_path / "second", 40, realtime_settings(local, **slow))
    process = start(first)
    while local.count("InvokeModel") < 3:
        time.sleep(0.02)
    assert run_to_end(second) == 1
    assert "another process" in second.log
    assert "BEDROCK_BATCH_RESUME=false" in second.log
    process.join(60)
    assert process.exitcode == 0, first.log
    assert paid(local) == 40


def test_the_claim_of_a_dead_process_is_taken_over(tmp_path: Path, local: LocalBedrock) -> None:
    """A user whose container has died could not continue the run."""
    step = lay_out(tmp_path, 30, realtime_settings(local, BEDROCK_RATE_LIMIT_PER_SECOND="20"))
    process = start(step)
    while local.count("InvokeModel") < 5:
        time.sleep(0.02)
    kill(process)
    assert json.loads(read(local, ledger_key(local)))["owner"] is not None
    assert run_to_end(step) == 0, step.log
    assert paid(local) <= 31


def test_a_process_that_was_taken_over_stops_before_it_pays_for_more(tmp_path: Path, local: LocalBedrock) -> None:
    """A suspended container that wakes up would continue beside its successor and pay for jobs twice."""
    step = lay_out(tmp_path, 60, batch_settings(local, BEDROCK_MAX_CONCURRENT_BATCH_JOBS="1"))

    def steal(call: CallInfo) -> CallFault | None:
        if call.operation == "CreateModelInvocationJob" and call.when == "after" and call.operation_ordinal == 1:
            document = json.loads(read(local, ledger_key(local)))
            put(local, ledger_key(local), json.dumps({**document, "owner": "somebody else"}).encode())
        return None

    local.on_call(steal)
    assert run_to_end(step) == 1
    assert "taken over" in step.log
    assert len(local.jobs) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b'{"schema_version": 1, "run_id": ', "damaged", id="damaged"),
        pytest.param(b'{"schema_version": 99, "new_field": 1}', "version 99", id="newer"),
    ],
)
def test_a_ledger_that_cannot_be_read_stops_the_run_and_says_what_to_do(
    tmp_path: Path, local: LocalBedrock, content: bytes, words: str
) -> None:
    """A user would pay again without being asked, or see a traceback."""
    step = lay_out(tmp_path, 12, realtime_settings(local))
    assert run_to_end(step) == 0, step.log
    put(local, ledger_key(local), content)
    assert run_to_end(step) == 1
    assert words in step.log.splitlines()[-1]
    assert "BEDROCK_BATCH_RESUME=false" in step.log.splitlines()[-1]
    assert "Traceback" not in step.log
    assert paid(local) == 12


@pytest.mark.parametrize("status", [500, 503])
def test_writes_of_the_ledger_that_fail_for_a_while_are_repeated(
    tmp_path: Path, local: LocalBedrock, status: int
) -> None:
    """A short failure of S3 would end a run of hours."""
    stumbles = (2, 5, 6, 9)

    def stumble(call: CallInfo) -> CallFault | None:
        if call.operation == "S3.PutObject" and call.when == "before" and call.operation_ordinal in stumbles:
            return CallFault("S3.PutObject", code="InternalError", status=status)
        return None

    local.on_call(stumble)
    step = lay_out(tmp_path, 30, batch_settings(local))
    assert run_to_end(step) == 0, step.log
    assert paid(local) == 30


def test_a_lost_response_to_a_write_of_the_ledger_is_not_taken_for_another_process(
    tmp_path: Path, local: LocalBedrock
) -> None:
    """After a dropped connection, a run would stop as if another process had taken it over."""

    def drop(call: CallInfo) -> CallFault | None:
        if call.operation == "S3.PutObject" and call.when == "after" and call.operation_ordinal in (3, 7):
            return CallFault("S3.PutObject", drop=True, when="after")
        return None

    local.on_call(drop)
    step = lay_out(tmp_path, 30, batch_settings(local))
    assert run_to_end(step) == 0, step.log
    assert paid(local) == 30


def test_no_right_to_write_the_ledger_ends_the_run_before_anything_is_paid(tmp_path: Path, local: LocalBedrock) -> None:
    """A run without s3:PutObject would work for hours and keep no answer."""

    def deny(call: CallInfo) -> CallFault | None:
        if call.operation == "S3.PutObject" and call.when == "before":
            return CallFault("S3.PutObject", code="AccessDenied", status=403)
        return None

    local.on_call(deny)
    step = lay_out(tmp_path, 30, batch_settings(local))
    assert run_to_end(step) == 1
    assert "s3:PutObject" in step.log
    assert paid(local) == 0


def killed_after(local: LocalBedrock, step: StepFolder, operation: str, count: int) -> None:
    """Start the step and kill it at the given call of an operation."""
    process = start(step)
    before = local.count(operation)
    while local.count(operation) < before + count and process.is_alive():
        time.sleep(0.005)
    kill(process)


def test_a_staged_object_that_was_deleted_is_uploaded_again(tmp_path: Path, local: LocalBedrock) -> None:
    """A lifecycle rule on the input path would make the restarted run fail, or lose the rows of a job."""
    step = lay_out(tmp_path, 60, batch_settings(local, BEDROCK_MAX_CONCURRENT_BATCH_JOBS="1"))
    killed_after(local, step, "CreateModelInvocationJob", 1)
    local.wait_for_jobs()
    for key in keys(local):
        if key.endswith(".jsonl") and "/answers/" not in key:
            local.client("s3").delete_object(Bucket=BUCKET, Key=key)
    assert run_to_end(step) == 0, step.log
    assert paid(local) == 60


def test_results_that_were_deleted_are_not_silently_paid_for_again(tmp_path: Path, local: LocalBedrock) -> None:
    """After a lifecycle rule on the output path, writing the outputs again would pay for every row again."""
    step = lay_out(tmp_path, 40, batch_settings(local))
    assert run_to_end(step) == 0, step.log
    for key in keys(local):
        if key.endswith(".jsonl.out"):
            local.client("s3").delete_object(Bucket=BUCKET, Key=key)
    assert run_to_end(step) == 1
    assert "restore" in step.log.splitlines()[-1]
    assert paid(local) == 40


def test_a_run_is_continued_on_another_machine(tmp_path: Path, local: LocalBedrock) -> None:
    """A SageMaker retry, which runs on a new machine with an empty disk, would begin a new run."""
    settings = realtime_settings(local, BEDROCK_RATE_LIMIT_PER_SECOND="30")
    first = lay_out(tmp_path / "first machine", 30, settings)
    killed_after(local, first, "InvokeModel", 10)
    second = lay_out(tmp_path / "second machine", 30, settings)
    assert run_to_end(second) == 0, second.log
    assert paid(local) <= 31
    assert "continues" in second.log


@BOTH_MODES
def test_a_full_disk_ends_the_run_with_advice_and_a_larger_one_continues_it(
    tmp_path: Path, local: LocalBedrock, settings: Settings
) -> None:
    """A user whose volume is too small would see a traceback and pay again after the next start."""
    step = lay_out(tmp_path, 40, settings(local))
    small = StepFolder(step.root, {**step.settings, "TEST_FILE_BYTES": "3000"})
    assert run_to_end(small) == 1
    assert "VolumeSizeInGB" in small.log.splitlines()[-1]
    assert "Traceback" not in small.log
    assert run_to_end(step) == 0, step.log
    assert paid(local) == 40


def test_no_output_appears_if_another_does_not_fit_on_the_disk(tmp_path: Path, local: LocalBedrock) -> None:
    """A reader would combine the new output of one split with the old or missing output of another."""
    step = lay_out(tmp_path, 40, realtime_settings(local))
    data = step.root / "input" / "data" / "train" / "train.csv"
    rows = pa_csv.read_csv(data)
    noise = pa.array([os.urandom(20_000).hex() for _ in range(rows.num_rows)])
    pq.write_table(rows.append_column("noise", noise), data.with_suffix(".parquet"))
    data.unlink()
    small = StepFolder(step.root, {**step.settings, "TEST_FILE_BYTES": "300000"})
    assert run_to_end(small) == 1
    assert "VolumeSizeInGB" in small.log.splitlines()[-1]
    assert [path for path in (step.root / "output" / "data").rglob("*") if path.is_file()] == []
    assert run_to_end(step) == 0, step.log
    assert paid(local) == 40


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, local: LocalBedrock) -> None:
    """A corrected clock would end leases or waits early, or make a run ask records again."""
    step = lay_out(tmp_path, 40, batch_settings(local, TEST_CLOCK_JUMPS="yes"))
    killed_after(local, step, "GetModelInvocationJob", 1)
    assert run_to_end(step) == 0, step.log
    assert paid(local) == 40


def test_an_interrupted_run_leaves_its_jobs_running_and_says_so(tmp_path: Path, local: LocalBedrock) -> None:
    """A stopped pipeline would discard jobs that are paid for."""
    slow = LocalBedrock(Behaviour(min_records_per_job=10, phases=Phases(0.1, 0.1, 0.1, 2.0)))
    with slow as server:
        server.create_bucket(BUCKET)
        step = lay_out(tmp_path, 40, batch_settings(server))
        (step.root.parent / "output").mkdir(exist_ok=True)
        (step.root.parent / "config").mkdir()
        (step.root.parent / "config" / "resourceconfig.json").write_text('{"current_host": "a", "hosts": ["a"]}')
        process = start(step)
        while server.count("GetModelInvocationJob") < 2:
            time.sleep(0.02)
        process.terminate()
        process.join(30)
        assert process.exitcode == 1
        assert "SIGTERM" in step.log
        assert "left=running" in step.log
        assert "SIGTERM" in (step.root.parent / "output" / "message").read_text(encoding="utf-8")
        assert server.count("StopModelInvocationJob") == 0
        assert run_to_end(step) == 0, step.log
        assert sum(server.charges.values()) == 40
        assert len(server.jobs) == 2
