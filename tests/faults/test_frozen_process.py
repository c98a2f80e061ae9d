"""A process that wakes up after another one has taken over its run pays for nothing a second time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from helpers.forked_steps import BUCKET, StepFolder, batch_settings, lay_out, realtime_settings, run_to_end, start
from local_bedrock.behaviour import Behaviour, Phases, RecordFaults
from local_bedrock.server import LocalBedrock

WORKERS = 4
CONCURRENT = {
    "BEDROCK_CONCURRENCY_MODE": "concurrent",
    "BEDROCK_MAX_CONCURRENT_WORKERS": str(WORKERS),
    "BEDROCK_BATCH_LEASE_SECONDS": "0.5",
}
SLOW = {"InvokeModel": 0.04}


@pytest.fixture
def make_local() -> Iterator[Callable[[Behaviour], LocalBedrock]]:
    servers: list[LocalBedrock] = []

    def make(behaviour: Behaviour) -> LocalBedrock:
        server = LocalBedrock(replace(behaviour, min_records_per_job=10)).start()
        servers.append(server)
        server.create_bucket(BUCKET)
        return server

    yield make
    for server in servers:
        server.stop()


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def freeze_and_replace(first: StepFolder, second: StepFolder, is_time: Callable[[], bool]) -> BaseProcess:
    """Freeze the process of a run at some moment, let another process finish the run, and wake the first one."""
    process = start(first)
    assert process.pid is not None
    wait_until(is_time)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        assert run_to_end(second) == 0, second.log
    finally:
        os.kill(process.pid, signal.SIGCONT)
    process.join(30)
    return process


def paid_twice(local: LocalBedrock) -> int:
    return sum(count - 1 for count in local.charges.values())


def test_a_woken_process_asks_nothing_in_real_time(
    tmp_path: Path, make_local: Callable[[Behaviour], LocalBedrock]
) -> None:
    """A process that wakes up in a real-time run would pay for most records a second time."""
    local = make_local(Behaviour(latency_seconds=SLOW))
    first, second = (lay_out(tmp_path / name, 300, realtime_settings(local, **CONCURRENT)) for name in ("one", "two"))
    process = freeze_and_replace(first, second, lambda: len(local.charges) >= 40)
    assert process.exitcode == 1, first.log
    assert "another process has taken over" in first.log
    assert not first.outputs
    assert len(local.charges) == 300
    assert paid_twice(local) <= WORKERS


def test_a_woken_process_creates_no_job(tmp_path: Path, make_local: Callable[[Behaviour], LocalBedrock]) -> None:
    """The process would create and pay for the jobs of its successor again."""
    local = make_local(Behaviour(phases=Phases(0.05, 0.05, 0.05, 0.3)))
    settings = batch_settings(local, **CONCURRENT, BEDROCK_MAX_CONCURRENT_BATCH_JOBS="1")
    first, second = (lay_out(tmp_path / name, 100, settings) for name in ("one", "two"))
    process = freeze_and_replace(first, second, lambda: len(local.jobs) >= 2)
    assert process.exitcode == 1, first.log
    assert "another process has taken over" in first.log
    local.wait_for_jobs()
    assert len(local.jobs) == 5
    assert paid_twice(local) == 0


def test_a_woken_process_salvages_nothing(tmp_path: Path, make_local: Callable[[Behaviour], LocalBedrock]) -> None:
    """The real-time fallback of the process that wakes up would pay for records a second time."""
    local = make_local(
        Behaviour(phases=Phases(0.01, 0.01, 0.01, 0.05), records=RecordFaults(missing=0.5), latency_seconds=SLOW)
    )
    settings = batch_settings(local, **CONCURRENT, BEDROCK_MAX_RECORDS_PER_JOB="100")
    first, second = (lay_out(tmp_path / name, 300, settings) for name in ("one", "two"))
    process = freeze_and_replace(first, second, lambda: local.count("InvokeModel") >= 12)
    assert process.exitcode == 1, first.log
    local.wait_for_jobs()
    assert len(local.charges) == 300
    assert paid_twice(local) <= WORKERS


def test_a_short_freeze_changes_nothing(tmp_path: Path, make_local: Callable[[Behaviour], LocalBedrock]) -> None:
    """A short freeze on a busy machine would end a run that no other process works on."""
    local = make_local(Behaviour(latency_seconds=SLOW))
    step = lay_out(tmp_path, 100, realtime_settings(local, **CONCURRENT))
    process = start(step)
    assert process.pid is not None
    wait_until(lambda: len(local.charges) >= 20)
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(process.pid, signal.SIGCONT)
    process.join(60)
    assert process.exitcode == 0, step.log
    assert sum(local.charges.values()) == 100


@pytest.mark.parametrize("in_s3", [True, False], ids=["s3", "folder"])
def test_a_ledger_that_is_deleted_is_said_to_be_that(
    tmp_path: Path, make_local: Callable[[Behaviour], LocalBedrock], in_s3: bool
) -> None:
    """A user who has deleted the ledger would look for another process that does not exist."""
    local = make_local(Behaviour(latency_seconds=SLOW))
    settings = realtime_settings(local, **CONCURRENT)
    if not in_s3:
        settings = {name: value for name, value in settings.items() if not name.endswith("PUT_S3_PATH")}
    step = lay_out(tmp_path, 300, settings)
    process = start(step)
    wait_until(lambda: len(local.charges) >= 20)
    if in_s3:
        client = local.client("s3")
        for item in client.list_objects_v2(Bucket=BUCKET)["Contents"]:
            client.delete_object(Bucket=BUCKET, Key=item["Key"])
    else:
        for path in (step.root / ".bedrock-batch").glob("*/*"):
            path.unlink() if path.is_file() else None
    process.join(60)
    assert process.exitcode == 1, step.log
    assert ("was deleted" in step.log) if in_s3 else ("was removed or replaced" in step.log)
    assert "another process has taken over" not in step.log
    assert len(local.charges) < 300


def test_a_start_with_a_shorter_lease_does_not_take_over_a_process_at_work(
    tmp_path: Path, make_local: Callable[[Behaviour], LocalBedrock]
) -> None:
    """Two thirds of the records were paid for twice after somebody had lowered the lease between two starts."""
    local = make_local(Behaviour(latency_seconds={"InvokeModel": 0.2}))
    long, short = ({**CONCURRENT, "BEDROCK_BATCH_LEASE_SECONDS": lease} for lease in ("3", "0.3"))
    first = lay_out(tmp_path / "one", 120, realtime_settings(local, **long))
    second = lay_out(tmp_path / "two", 120, realtime_settings(local, **short))
    process = start(first)
    wait_until(lambda: len(local.charges) >= 10)
    assert run_to_end(second) == 1, second.log
    assert "works on this run" in second.log
    process.join(60)
    assert process.exitcode == 0, first.log
    assert paid_twice(local) == 0
