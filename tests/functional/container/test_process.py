"""The step as SageMaker runs it: exit code and message, the configuration of the job, and signals."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.batch_runs import BUCKET, ENVIRON, SCHEMA, small, write_inputs
from helpers.step_command import run_process, step_command, step_environ
from helpers.table_files import read_outputs
from local_bedrock import Behaviour, LocalBedrock
from local_bedrock.behaviour import JobFault

FILES = {"val/c.tsv": 20}
POLLING = {"BEDROCK_BATCH_POLL_INITIAL_SECONDS": "0.05", "BEDROCK_BATCH_POLL_MAX_SECONDS": "0.2"}
# SageMaker kills a container 120 s after its signal; what has not ended by then fails the test.
GRACE_SECONDS = 30


@pytest.fixture
def serve() -> Iterator[Callable[..., LocalBedrock]]:
    servers: list[LocalBedrock] = []

    def start(behaviour: Behaviour) -> LocalBedrock:
        local = LocalBedrock(behaviour, answers=SCHEMA).start()
        servers.append(local)
        local.create_bucket(BUCKET)
        return local

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def opt_ml(tmp_path: Path) -> Path:
    """The /opt/ml of a container, with the folder for the exit message and some rows."""
    (tmp_path / "output").mkdir()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "resourceconfig.json").write_text('{"current_host": "algo-1", "hosts": ["algo-1"]}')
    write_inputs(tmp_path / "processing" / "input", FILES)
    return tmp_path


def message(opt_ml: Path) -> str:
    data = (opt_ml / "output" / "message").read_bytes()
    assert len(data) <= 1024
    return data.decode("utf-8")


def start_step(opt_ml: Path, environ: dict[str, str]) -> subprocess.Popen[str]:
    command = step_command(opt_ml / "processing", "--job_type", "training")
    return subprocess.Popen(command, env=step_environ(environ), stderr=subprocess.PIPE, text=True)


def wait_for_call(local: LocalBedrock, operation: str) -> threading.Event:
    """Return an event that is set when the service has handled the first call of an operation."""
    seen = threading.Event()

    def hook(info: Any) -> None:
        if info.operation == operation and info.when == "after":
            seen.set()

    local.hooks.append(hook)
    return seen


@pytest.mark.parametrize("mode", ["batch", "realtime"])
def test_a_signal_ends_the_step_in_time_and_the_next_start_pays_for_the_rest_only(
    serve: Callable[..., LocalBedrock], opt_ml: Path, mode: str
) -> None:
    """A stopped pipeline step would be killed with its answers unsaved, and its retry would pay for all again."""
    slow = small(jobs=(JobFault(ordinals=(1,), ends="Completed"),), latency_seconds={"InvokeModel": 0.05})
    local = serve(slow)
    environ = {**ENVIRON, **POLLING, **local.environment, "BEDROCK_BATCH_MODE": mode}
    environ |= {"BEDROCK_CONCURRENCY_MODE": "sequential"}
    begun = wait_for_call(local, "CreateModelInvocationJob" if mode == "batch" else "InvokeModel")
    with start_step(opt_ml, environ) as process:
        assert begun.wait(GRACE_SECONDS)
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=GRACE_SECONDS)[1]
    assert process.returncode == 1, log
    assert "Traceback" not in log
    assert "SIGTERM" in message(opt_ml)
    assert not (opt_ml / "processing" / "output" / "data" / "val" / "val_processed_data.tsv").exists()

    environ["BEDROCK_BATCH_LEASE_SECONDS"] = "0.2"
    again = run_process(step_command(opt_ml / "processing", "--job_type", "training"), step_environ(environ))
    assert again.returncode == 0, again.stderr
    assert len(read_outputs(opt_ml / "processing" / "output" / "data")["val"]) == FILES["val/c.tsv"]
    assert len(local.charges) == FILES["val/c.tsv"]
    if mode == "batch":
        assert set(local.charges.values()) == {1}
    else:
        # A request that was on its way when the signal came may have been answered to nobody.
        assert sorted(local.charges.values())[:-1] == [1] * (FILES["val/c.tsv"] - 1)


def test_the_time_that_sagemaker_grants_is_kept(serve: Callable[..., LocalBedrock], opt_ml: Path) -> None:
    """A step whose batch job stays in the queue would be killed at MaxRuntimeInSeconds with nothing written."""
    local = serve(small(jobs=(JobFault(ends="NeverStarts"),)))
    job = {"StoppingCondition": {"MaxRuntimeInSeconds": 306}}
    (opt_ml / "config" / "processingjobconfig.json").write_text(json.dumps(job))
    environ = step_environ(ENVIRON, POLLING, local.environment, {"BEDROCK_BATCH_MODE": "batch"})
    done = run_process(step_command(opt_ml / "processing", "--job_type", "training"), environ)
    assert done.returncode == 0, done.stderr
    assert "the time of this container runs out" in done.stderr
    rows = read_outputs(opt_ml / "processing" / "output" / "data")["val"]
    assert {(row["llm_status"], row["llm_source"]) for row in rows} == {("success", "realtime")}


@pytest.mark.parametrize(
    ("environ", "job_type", "parts"),
    [
        pytest.param(
            {"BEDROCK_MAX_TOKENS": "many", "BEDROCK_BATCH_TIMEOUT_HOURS": "0"},
            "training",
            ["BEDROCK_PRIMARY_MODEL_ID", "BEDROCK_MAX_TOKENS", "BEDROCK_BATCH_TIMEOUT_HOURS"],
            id="settings",
        ),
        pytest.param(ENVIRON, "testing", ["no .csv, .tsv or .parquet file in"], id="no-data"),
    ],
)
def test_the_reason_of_a_failure_is_the_exit_message(
    opt_ml: Path, environ: dict[str, str], job_type: str, parts: list[str]
) -> None:
    """A person who sees `Failed` in the console would have to search the log for the reason."""
    done = run_process(step_command(opt_ml / "processing", "--job_type", job_type), step_environ(environ))
    assert done.returncode == 2, done.stderr
    for part in parts:
        assert part in message(opt_ml)
        assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_a_message_longer_than_sagemaker_shows_is_cut_between_characters(opt_ml: Path) -> None:
    """SageMaker fails a job whose exit message is no UTF-8, which would hide the reason."""
    folder = opt_ml / "processing" / "input" / "data" / "val"
    for number in range(40):
        (folder / f"{'é' * 30}-{number:02d}.csv").write_text("a,b\n1\n")
    done = run_process(step_command(opt_ml / "processing", "--job_type", "training"), step_environ(ENVIRON))
    assert done.returncode == 2
    assert 1000 < len((opt_ml / "output" / "message").read_bytes()) <= 1024
    assert "é" in message(opt_ml)


def test_a_damaged_description_of_the_job_is_told_before_anything_is_paid(opt_ml: Path) -> None:
    """An instance that takes itself for the only one would pay for the rows of all."""
    (opt_ml / "config" / "resourceconfig.json").write_text('{"current_host": "algo-9", "hosts": ["algo-1"]}')
    done = run_process(step_command(opt_ml / "processing", "--job_type", "training"), step_environ(ENVIRON))
    assert done.returncode == 2
    assert "current_host is not one of hosts" in message(opt_ml)


def test_an_output_folder_that_cannot_be_written_is_told_before_anything_is_paid(
    serve: Callable[..., LocalBedrock], opt_ml: Path
) -> None:
    """A read-only mount would be noticed after every answer was paid for, by a traceback."""
    local = serve(small())
    (opt_ml / "processing" / "output").mkdir()
    (opt_ml / "processing" / "output" / "data").write_text("not a folder")
    environ = step_environ(ENVIRON, POLLING, local.environment)
    done = run_process(step_command(opt_ml / "processing", "--job_type", "training"), environ)
    assert done.returncode == 2
    assert "output/data: nothing can be written to this folder" in message(opt_ml)
    assert local.charges == {}


def run_step_on(root: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run_process(step_command(root, "--job_type", "training"), step_environ(POLLING, environ))


@pytest.mark.parametrize("beside", ["nothing", "file", "unrelated-json", "no-json", "list", "one-host-key"])
def test_what_lies_beside_the_processing_folder_is_left_alone(
    serve: Callable[..., LocalBedrock], tmp_path: Path, beside: str
) -> None:
    """A file of another program would be overwritten, or stop the step."""
    local = serve(small())
    root = tmp_path / "project" / "processing"
    write_inputs(root / "input", FILES)
    message = tmp_path / "project" / "output" / "message"
    message.parent.mkdir()
    message.write_text("mine")
    config = tmp_path / "project" / "config"
    match beside:
        case "file":
            config.write_text("mine")
        case "unrelated-json" | "no-json" | "list" | "one-host-key":
            config.mkdir()
            texts = {"no-json": "mine", "list": "[1]", "one-host-key": '{"hosts": ["a", "b"]}'}
            (config / "resourceconfig.json").write_text(texts.get(beside, '{"kind": "mine"}'))
    assert run_step_on(root, {**ENVIRON, **local.environment}).returncode == 0
    assert run_step_on(root, {**ENVIRON, **local.environment, "BEDROCK_BATCH_MODE": "bad"}).returncode == 2
    assert message.read_text() == "mine"


@pytest.mark.parametrize("name", ["output", "output/data", "output/data/val", "output/summary", ".bedrock-batch"])
def test_an_output_folder_that_leads_elsewhere_is_refused(
    serve: Callable[..., LocalBedrock], opt_ml: Path, tmp_path: Path, name: str
) -> None:
    """Answers would be written over files outside of the processing folder."""
    local = serve(small())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = opt_ml / "processing" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere)
    done = run_step_on(opt_ml / "processing", {**ENVIRON, **local.environment})
    assert done.returncode == 2
    assert "symbolic link" in done.stderr
    assert name.split("/")[-1] in done.stderr
    assert list(elsewhere.iterdir()) == []
    assert not local.charges


def test_links_in_the_place_of_output_files_are_replaced_and_not_followed(
    serve: Callable[..., LocalBedrock], opt_ml: Path, tmp_path: Path
) -> None:
    """A link left in the output folder would send the answers into a file outside of it."""
    local = serve(small())
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = opt_ml / "processing" / "output" / "data" / "val"
    folder.mkdir(parents=True)
    for name in ("val_processed_data.tsv", ".val_processed_data.tsv.part"):
        (folder / name).symlink_to(victim)
    assert run_step_on(opt_ml / "processing", {**ENVIRON, **local.environment}).returncode == 0
    assert victim.read_text() == "mine"
    assert not (folder / "val_processed_data.tsv").is_symlink()


@pytest.mark.parametrize("umask", ["0000", "0022"])
def test_the_state_folder_is_for_its_owner_alone(serve: Callable[..., LocalBedrock], opt_ml: Path, umask: str) -> None:
    """Prompts and answers would be readable for everybody on the machine."""
    local = serve(small())
    environ = {**ENVIRON, **local.environment, "BEDROCK_BATCH_MODE": "realtime", "BEDROCK_BATCH_INPUT_S3_PATH": ""}
    state = opt_ml / "processing" / ".bedrock-batch"
    state.mkdir(mode=0o755)
    command = " ".join(step_command(opt_ml / "processing", "--job_type", "training"))
    done = run_process(["bash", "-c", f"umask {umask}; {command}"], step_environ(environ))
    assert done.returncode == 0, done.stderr
    found = [state, *state.rglob("*")]
    assert any(path.suffix == ".jsonl" for path in found)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in found}
    assert modes == {path.name: "0o700" if path.is_dir() else "0o600" for path in found}
