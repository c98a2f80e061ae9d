"""The step ends within seconds after a signal, even if a call hangs, and the next start continues its run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from helpers.forked_steps import BUCKET, StepFolder, batch_settings, lay_out, realtime_settings
from local_bedrock.behaviour import Behaviour, Phases
from local_bedrock.journal import CallInfo
from local_bedrock.server import LocalBedrock

ENTRY = Path(__file__).resolve().parents[2] / "src" / "bedrock_batch_processing.py"
ROWS = 40
# The goal is 5 s; hanging calls take longer than this.
SECONDS = 25.0
CALLS_AT_ONCE = 4
SEQUENTIAL = {"BEDROCK_CONCURRENCY_MODE": "sequential"}
CONCURRENT = {"BEDROCK_CONCURRENCY_MODE": "concurrent", "BEDROCK_MAX_CONCURRENT_WORKERS": str(CALLS_AT_ONCE)}


class Hang:
    """Makes calls of an operation hang, from an ordinal on, until `release`; `begun` is set once one hangs."""

    def __init__(self, local: LocalBedrock, operation: str, key: str = "", first: int = 1) -> None:
        self._operation = operation
        self._key = key
        self._first = first
        self._count = 0
        self._lock = threading.Lock()
        self._released = threading.Event()
        self.begun = threading.Event()
        local.hooks.append(self._hook)

    def release(self) -> None:
        self._released.set()

    def _hook(self, info: CallInfo) -> None:
        if info.when != "before" or info.operation != self._operation or self._key not in json.dumps(dict(info.detail)):
            return
        with self._lock:
            self._count += 1
            if self._count < self._first:
                return
        if not self._released.is_set():
            self.begun.set()
            self._released.wait(SECONDS * 3)


@pytest.fixture
def local() -> Iterator[LocalBedrock]:
    with LocalBedrock(Behaviour(min_records_per_job=10, phases=Phases(0.01, 0.01, 0.01, 0.3))) as server:
        server.create_bucket(BUCKET)
        yield server


@pytest.fixture
def hang(local: LocalBedrock) -> Iterator[Callable[..., Hang]]:
    made: list[Hang] = []

    def make(operation: str, key: str = "", first: int = 1) -> Hang:
        made.append(Hang(local, operation, key, first))
        return made[-1]

    yield make
    for each in made:
        each.release()


def start(step: StepFolder, *arguments: str, more: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the step by its file, as SageMaker does."""
    command = [sys.executable, str(ENTRY), "--job_type", "training", "--processing-dir", str(step.root), *arguments]
    environ = {**step.settings, **(more or {})}
    return subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def log_of(process: subprocess.Popen[str], seconds: float = SECONDS) -> str:
    """Wait until a process has ended and return its log."""
    try:
        return process.communicate(timeout=seconds)[1]
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise AssertionError(f"it did not end within {seconds} s:\n{process.communicate()[1][-3000:]}") from error


def message(step: StepFolder) -> str:
    return (step.root.parent / "output" / "message").read_text(encoding="utf-8")


def step_in(tmp_path: Path, settings: Mapping[str, str], rows: int = ROWS) -> StepFolder:
    """Lay out the step in the /opt/ml of a container, which has a place for the exit message."""
    (tmp_path / "output").mkdir()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "resourceconfig.json").write_text('{"current_host": "algo-1", "hosts": ["algo-1"]}')
    return lay_out(tmp_path / "processing", rows, settings)


@pytest.mark.parametrize(
    ("make_settings", "operation", "key", "more"),
    [
        pytest.param(realtime_settings, "InvokeModel", "", SEQUENTIAL, id="request-sequential"),
        pytest.param(realtime_settings, "InvokeModel", "", CONCURRENT, id="request-concurrent"),
        pytest.param(realtime_settings, "S3.PutObject", "answers/", CONCURRENT, id="journal"),
        pytest.param(batch_settings, "CreateModelInvocationJob", "", {}, id="creation"),
        pytest.param(batch_settings, "GetModelInvocationJob", "", {}, id="poll"),
        pytest.param(batch_settings, "S3.PutObject", ".jsonl", {}, id="upload"),
        pytest.param(batch_settings, "S3.GetObject", ".jsonl.out", {}, id="download"),
        pytest.param(batch_settings, "S3.ListObjectsV2", "", {}, id="listing"),
        pytest.param(batch_settings, "S3.PutObject", "ledger.json", {}, id="ledger"),
    ],
)
def test_a_signal_ends_a_step_in_which_a_call_hangs_and_the_next_start_continues(
    tmp_path: Path,
    local: LocalBedrock,
    hang: Callable[..., Hang],
    make_settings: Callable[..., dict[str, str]],
    operation: str,
    key: str,
    more: dict[str, str],
) -> None:
    """SageMaker would kill the container before it has written its exit message, or Ctrl-C would take over a minute."""
    hanging = hang(operation, key, first=3 if key == "ledger.json" else 1)
    step = step_in(tmp_path, make_settings(local, **more))
    with start(step) as process:
        assert hanging.begun.wait(60)
        process.send_signal(signal.SIGTERM)
        log = log_of(process)
    assert process.returncode == 1, log
    assert "Traceback" not in log
    assert "SIGTERM" in message(step)
    assert not step.outputs
    hanging.release()
    local.wait_for_jobs()
    with start(step) as process:
        log = log_of(process, 60)
    assert process.returncode == 0, log
    assert len(local.charges) == ROWS
    twice = sum(local.charges.values()) - ROWS
    assert twice <= (CALLS_AT_ONCE if make_settings is realtime_settings else 0)


def test_ctrl_c_ends_a_step_as_a_signal_of_the_container_does(
    tmp_path: Path, local: LocalBedrock, hang: Callable[..., Hang]
) -> None:
    """A user at a terminal would wait for over a minute."""
    hanging = hang("S3.PutObject", ".jsonl")
    step = step_in(tmp_path, batch_settings(local))
    with start(step) as process:
        assert hanging.begun.wait(60)
        process.send_signal(signal.SIGINT)
        log = log_of(process)
    assert process.returncode == 1, log
    assert "Ctrl-C" in message(step)


def test_the_message_tells_of_a_job_whose_creation_was_under_way(
    tmp_path: Path, local: LocalBedrock, hang: Callable[..., Hang]
) -> None:
    """A user would not learn about a job that may run and be charged."""
    hanging = hang("CreateModelInvocationJob")
    step = step_in(tmp_path, batch_settings(local))
    with start(step) as process:
        assert hanging.begun.wait(60)
        process.send_signal(signal.SIGTERM)
        log_of(process)
    assert "not known to be created" in message(step)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_step_at_once(
    tmp_path: Path, local: LocalBedrock, hang: Callable[..., Hang], second: signal.Signals
) -> None:
    """An impatient user would have to kill the process, or would see a traceback instead of the reason."""
    hanging = hang("GetModelInvocationJob")
    step = step_in(tmp_path, batch_settings(local))
    with start(step) as process:
        assert hanging.begun.wait(60)
        process.send_signal(signal.SIGTERM)
        time.sleep(1.0)  # two signals of one kind may be merged
        process.send_signal(second)
        log = log_of(process)
    assert process.returncode == 1, log
    assert "Traceback" not in log
    assert "second" in message(step)
    hanging.release()
    local.wait_for_jobs()
    with start(step) as process:
        assert log_of(process, 60) is not None
    assert process.returncode == 0
    assert set(local.charges.values()) == {1}


def test_signals_that_come_together_are_not_lost(
    tmp_path: Path, local: LocalBedrock, hang: Callable[..., Hang]
) -> None:
    """The process would continue if the system delivers a signal to a thread that cannot handle it."""
    hanging = hang("GetModelInvocationJob")
    step = step_in(tmp_path, batch_settings(local))
    for _ in range(5):
        hanging.begun.clear()
        with start(step) as process:
            assert hanging.begun.wait(60)
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            log = log_of(process)
        assert process.returncode == 1, log
        # The system decides which signal is handled first, and whether the second one still finds the process.
        assert message(step).startswith(("stopped by", "ended at once by a second signal")), message(step)


def test_the_message_names_the_jobs_that_go_on(tmp_path: Path, local: LocalBedrock, hang: Callable[..., Hang]) -> None:
    """A user would not know that jobs keep running and are charged."""
    hang("GetModelInvocationJob", first=3)
    step = step_in(tmp_path, batch_settings(local))
    with start(step) as process:
        while local.count("GetModelInvocationJob") < 3:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        log_of(process)
    text = message(step)
    assert "batch jobs go on at AWS and are charged for" in text
    assert local.jobs[0].arn in text
    assert "start the step again with the same inputs" in text


def test_jobs_of_a_run_that_cannot_be_resumed_are_stopped_and_the_message_says_so(
    tmp_path: Path, local: LocalBedrock
) -> None:
    """A user who disabled resumption would be told to resume, or would pay for jobs that nobody collects."""
    settings = batch_settings(local, BEDROCK_BATCH_RESUME="false", BEDROCK_BATCH_POLL_INITIAL_SECONDS="30")
    step = step_in(tmp_path, {**settings, "BEDROCK_BATCH_POLL_MAX_SECONDS": "30"})
    with start(step) as process:
        while local.count("CreateModelInvocationJob") < 2:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        log = log_of(process)
    text = message(step)
    assert process.returncode == 1
    assert local.count("StopModelInvocationJob") >= 1, log
    assert "asked to stop" in text
    assert "asks every record again" in text


def test_the_message_of_a_real_time_run_tells_where_its_answers_are(
    tmp_path: Path, local: LocalBedrock, hang: Callable[..., Hang]
) -> None:
    """A user of a real-time run would look for batch jobs that do not exist."""
    hanging = hang("InvokeModel", first=6)
    step = step_in(tmp_path, realtime_settings(local, **SEQUENTIAL))
    with start(step) as process:
        assert hanging.begun.wait(60)
        process.send_signal(signal.SIGTERM)
        log_of(process)
    text = message(step)
    assert "batch job" not in text
    assert f"s3://{BUCKET}/in/" in text
    assert "start the step again with the same inputs" in text


def test_the_message_of_a_local_run_promises_nothing(tmp_path: Path) -> None:
    """A user would wait for jobs of a service that has ended with the process."""
    settings = {
        "BEDROCK_PRIMARY_MODEL_ID": "us.anthropic.claude-sonnet-4-20250514-v1:0",
        "BEDROCK_BATCH_MODE": "batch",
        "BEDROCK_BATCH_POLL_INITIAL_SECONDS": "60",
        "BEDROCK_BATCH_POLL_MAX_SECONDS": "60",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    step = step_in(tmp_path, settings, rows=200)
    with start(step, "--local") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "status=" in line or "uploaded=" in line:
                break
        process.send_signal(signal.SIGINT)
        log = log_of(process)
    assert process.returncode == 1, log
    text = message(step)
    assert "the local Bedrock ended with this process" in text
    assert "go on at AWS" not in text


THREAD_LIMIT = """
import os, threading
limit = int(os.environ["TEST_THREADS"])
names = [name for name in ("_start_new_thread", "_start_joinable_thread") if hasattr(threading, name)]
def limited(start):
    def begin(*args, **kwargs):
        global limit
        limit -= 1
        if limit < 0:
            raise RuntimeError("can't start new thread")
        return start(*args, **kwargs)
    return begin
for name in names:
    setattr(threading, name, limited(getattr(threading, name)))
"""


@pytest.mark.parametrize("make_settings", [realtime_settings, batch_settings], ids=["realtime", "batch"])
@pytest.mark.parametrize("threads", range(9))
def test_a_thread_that_cannot_be_started_ends_the_step_with_the_reason(
    tmp_path: Path, local: LocalBedrock, make_settings: Callable[..., dict[str, str]], threads: int
) -> None:
    """The process would hang, at the user's cost, until the time of the container runs out."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(THREAD_LIMIT)
    step = step_in(tmp_path, make_settings(local, **CONCURRENT))
    more = {"PYTHONPATH": str(tmp_path / "site"), "TEST_THREADS": str(threads)}
    with start(step, more=more) as process:
        log = log_of(process, 40)
    if process.returncode == 0:
        assert threads > CALLS_AT_ONCE, log
        return
    assert process.returncode == 1, log
    assert "no further thread can be started" in message(step)
    with start(step) as process:
        log = log_of(process, 60)
    assert process.returncode == 0, log
    assert set(local.charges.values()) == {1}
