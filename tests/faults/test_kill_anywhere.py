"""Pay once: the tests kill the step at its calls to AWS and at random times, and start it again.

KILL_STRIDE=1 kills after every call and before every third; without it, the tests take every third of these.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import uuid4

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
from local_bedrock.behaviour import Behaviour, CallFault, Phases, RecordFaults
from local_bedrock.journal import CallInfo
from local_bedrock.server import LocalBedrock

Settings = Callable[..., dict[str, str]]

# The number of parallel tests among which the calls of a run are divided.
SHARES = 4
STRIDE = int(os.environ.get("KILL_STRIDE", "3"))
# A kill before a call leaves the same behind in AWS as one after the call before it.
STRIDES = {"after": STRIDE, "before": 3 * STRIDE}
SEEDS = range(SHARES if STRIDE == 1 else SHARES // 2)
# Each heartbeat is a call: with a short lease, a run on a slow machine would never end before its kill.
SELDOM_BEATS = {"BEDROCK_BATCH_LEASE_SECONDS": "6"}

# Some records have no answer in their job, so batch runs use the real-time fallback, too.
BEHAVIOUR = Behaviour(
    min_records_per_job=10,
    phases=Phases(0.01, 0.01, 0.01, 0.02),
    records=RecordFaults(missing=0.1),
)


class Killer:
    """A hook that kills a process at one call, before or after the service has done its work."""

    def __init__(self, ordinal: int, when: str, operation: str = "") -> None:
        self.operation = operation  # empty for any
        self.ordinal = ordinal
        self.when = when
        self.seen = 0
        self.fired = False
        self.process: BaseProcess | None = None
        self._lock = threading.Lock()

    def __call__(self, call: CallInfo) -> CallFault | None:
        with self._lock:
            if self.process is None or self.fired or call.when != self.when:
                return None
            if self.operation not in ("", call.operation):
                return None
            self.seen += 1
            self.fired = self.seen == self.ordinal
            if not self.fired:
                return None
        kill(self.process)
        return CallFault("*", drop=True, when="before") if self.when == "before" else None


@pytest.fixture(scope="module")
def local() -> Iterator[LocalBedrock]:
    with LocalBedrock(BEHAVIOUR) as server:
        server.create_bucket(BUCKET)
        yield server


@pytest.fixture(scope="module")
def slow_local() -> Iterator[LocalBedrock]:
    """Return a service that makes a run take seconds, so a random kill hits it at work."""
    behaviour = replace(
        BEHAVIOUR, phases=Phases(0.1, 0.1, 0.2, 1.5), latency_seconds={"InvokeModel": 0.05, "S3.PutObject": 0.01}
    )
    with LocalBedrock(behaviour) as server:
        server.create_bucket(BUCKET)
        yield server


@contextmanager
def released_at_poll(local: LocalBedrock, polls: int) -> Iterator[None]:
    """Let the jobs that are held end when jobs have been polled so often."""
    seen = itertools.count(1)

    def release(call: CallInfo) -> None:
        if call.operation == "GetModelInvocationJob" and call.when == "after" and next(seen) == polls:
            local.release_jobs()

    local.hooks.append(release)
    yield
    local.hooks.remove(release)


def check_paid_once(local: LocalBedrock, paid_before: Counter[str], jobs_before: int, in_flight: int) -> None:
    """Assert that no record is in two jobs and that at most `in_flight` prompts were charged twice."""
    local.wait_for_jobs()
    jobs = local.jobs[jobs_before:]
    sent = [record for job in jobs for record in job.fates]
    assert len(sent) == len(set(sent)), "a record is in two jobs"
    assert len({job.name for job in jobs}) == len(jobs), "a job was created twice"
    again = {prompt: count for prompt, count in (local.charges - paid_before).items() if count > 1}
    assert sum(again.values()) - len(again) <= in_flight, f"{len(again)} prompts were paid for more than once"


def kill_and_continue(local: LocalBedrock, step: StepFolder, killer: Killer, expected: dict[str, bytes]) -> bool:
    """Run a step with a killer, and again if it was killed; check outputs and charges, and return whether it was."""
    paid, jobs = local.charges, len(local.jobs)
    local.hooks.append(killer)
    killer.process = process = start(replace(step, settings={**step.settings, **SELDOM_BEATS}))
    process.join(60)
    local.hooks.remove(killer)
    if killer.fired:
        assert run_to_end(step) == 0, f"call {killer.ordinal}: {step.log}"
    assert step.outputs == expected, f"call {killer.ordinal}"
    check_paid_once(local, paid, jobs, in_flight=1)
    return killer.fired


def copy_answers(local: LocalBedrock, step: StepFolder) -> dict[str, str]:
    """Copy the answer store of a step, and return the setting of the copy."""
    client, path = local.client("s3"), step.settings["BEDROCK_ANSWERS_S3_PATH"]
    source, target = path.removeprefix(f"s3://{BUCKET}/"), uuid4().hex
    for item in client.list_objects_v2(Bucket=BUCKET, Prefix=source)["Contents"]:
        data = client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
        client.put_object(Bucket=BUCKET, Key=item["Key"].replace(source, target), Body=data)
    return {"BEDROCK_ANSWERS_S3_PATH": f"s3://{BUCKET}/{target}"}


@pytest.mark.parametrize("share", range(SHARES), ids=[f"share_{number}" for number in range(SHARES)])
@pytest.mark.parametrize(
    ("settings", "rows"),
    [pytest.param(batch_settings, 30, id="batch"), pytest.param(realtime_settings, 8, id="realtime")],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_call_costs_at_most_the_record_in_flight(
    tmp_path: Path, local: LocalBedrock, settings: Settings, rows: int, when: str, share: int
) -> None:
    """A user whose container dies would lose rows, get them in another order, or pay for them twice."""
    step = lay_out(tmp_path / "undisturbed", rows, settings(local))
    assert run_to_end(step) == 0, step.log
    expected = step.outputs
    stride = STRIDES[when]
    # Heartbeats make the number of calls vary: the loop ends when a run finishes before its kill.
    for ordinal in range(1 + stride * share, 1000, stride * SHARES):
        # Another token limit makes it another run with the same answers.
        step = lay_out(tmp_path / f"kill-{ordinal}", rows, settings(local, BEDROCK_MAX_TOKENS=str(1000 + ordinal)))
        is_killed = kill_and_continue(local, step, Killer(ordinal, when), expected)
        if not is_killed:
            break
        shutil.rmtree(step.root)
    assert ordinal > 10


@pytest.mark.parametrize("share", range(SHARES), ids=[f"share_{number}" for number in range(SHARES)])
def test_a_kill_costs_nothing_more_where_half_of_the_rows_are_answered_already(
    tmp_path: Path, local: LocalBedrock, share: int
) -> None:
    """A user whose container dies would get the kept answers in the rows of others, or pay for them again."""
    rows, settings = 24, batch_settings  # one job, whose missing records are asked in real time
    known = lay_out(tmp_path / "known", rows, settings(local, BEDROCK_BATCH_MODE="realtime"), every=2)
    assert run_to_end(known) == 0, known.log
    step = lay_out(tmp_path / "undisturbed", rows, settings(local, **copy_answers(local, known)))
    assert run_to_end(step) == 0, step.log
    expected = step.outputs
    stride = 3 * STRIDE
    for ordinal in range(1 + stride * share, 1000, stride * SHARES):
        other_run = {"BEDROCK_MAX_TOKENS": str(5000 + ordinal)}
        step = lay_out(tmp_path / f"kill-{ordinal}", rows, settings(local, **copy_answers(local, known), **other_run))
        paid = local.charges
        is_killed = kill_and_continue(local, step, Killer(ordinal, "after"), expected)
        assert (local.charges - paid).total() <= rows // 2 + 1, f"call {ordinal}"
        if not is_killed:
            break
        shutil.rmtree(step.root)
    assert ordinal > 10


@pytest.mark.parametrize("ordinal", [14, 19, 24])
def test_another_run_pays_for_nothing_that_a_killed_run_was_answered(
    tmp_path: Path, local: LocalBedrock, ordinal: int
) -> None:
    """A user who starts another run after a kill, and again after the next, would pay for the same answers twice."""
    rows, settings = 12, realtime_settings
    step = lay_out(tmp_path / "undisturbed", rows, settings(local))
    assert run_to_end(step) == 0, step.log
    expected = step.outputs
    step = lay_out(tmp_path / "killed", rows, settings(local))
    paid, killer = local.charges, Killer(ordinal, "after")
    for tokens in ("7001", "7002", "7003"):  # three runs that ask the same; two of them are never started again
        run = replace(step, settings={**step.settings, **SELDOM_BEATS, "BEDROCK_MAX_TOKENS": tokens})
        killer = Killer(ordinal, "after") if tokens != "7003" else Killer(1000, "after")
        local.hooks.append(killer)
        killer.process = process = start(run)
        process.join(60)
        local.hooks.remove(killer)
        assert killer.fired == (tokens != "7003"), run.log
    assert step.outputs == expected
    again = (local.charges - paid).total() - rows
    assert again <= 2, step.log  # one request may be under way at each kill


@pytest.mark.parametrize("ordinal", [13, 20, 27])
def test_another_run_waits_for_the_jobs_of_a_killed_run_through_kills(
    tmp_path: Path, local: LocalBedrock, ordinal: int
) -> None:
    """A user whose second run dies, too, while it waits for the jobs of the first would pay for them again."""
    rows = 40
    step = lay_out(tmp_path, rows, batch_settings(local, BEDROCK_MAX_TOKENS=str(7100 + ordinal)))
    paid, killer = local.charges, Killer(2, "after", "GetModelInvocationJob")
    local.hold_jobs()
    local.hooks.append(killer)
    killer.process = process = start(step)
    process.join(60)
    local.hooks.remove(killer)
    assert killer.fired, step.log
    jobs = len(local.jobs)
    other = replace(step, settings={**step.settings, "BEDROCK_MAX_TOKENS": str(7200 + ordinal)})
    local.hooks.append(killer := Killer(ordinal, "after"))
    killer.process = process = start(replace(other, settings={**other.settings, **SELDOM_BEATS}))
    process.join(60)
    local.hooks.remove(killer)
    assert killer.fired, other.log
    with released_at_poll(local, 6):
        assert run_to_end(other) == 0, other.log
    assert len(local.jobs) == jobs, other.log
    assert "attached=" in other.log
    assert (local.charges - paid).total() <= rows + 1, other.log
    lines = [line for data in other.outputs.values() for line in data.splitlines()[1:]]
    assert [int(line[:5]) for line in lines] == [*range(rows * 2 // 3, rows), *range(rows * 2 // 3)]


@pytest.mark.parametrize("seed", SEEDS, ids=[f"share_{number}" for number in SEEDS])
@pytest.mark.parametrize(
    ("settings", "rows"),
    [pytest.param(batch_settings, 1000, id="batch"), pytest.param(realtime_settings, 400, id="realtime")],
)
def test_ten_kills_at_random_times_cost_at_most_the_records_in_flight(
    tmp_path: Path, slow_local: LocalBedrock, settings: Settings, rows: int, seed: int
) -> None:
    """A user of a large run on unreliable machines would pay again for answers from before each kill."""
    workers = 4
    more = {"BEDROCK_CONCURRENCY_MODE": "concurrent", "BEDROCK_MAX_CONCURRENT_WORKERS": str(workers)}
    more |= {"BEDROCK_MAX_RECORDS_PER_JOB": "100", "BEDROCK_BATCH_LEASE_SECONDS": "0.3"}
    # Different token limits make different runs with the same answers.
    tokens = 2000 + 2 * (seed + rows)
    step = lay_out(tmp_path / "undisturbed", rows, settings(slow_local, **more, BEDROCK_MAX_TOKENS=str(tokens)))
    assert run_to_end(step) == 0, step.log
    expected = step.outputs
    step = lay_out(tmp_path / "killed", rows, settings(slow_local, **more, BEDROCK_MAX_TOKENS=str(tokens + 1)))
    paid, jobs = slow_local.charges, len(slow_local.jobs)
    chance = random.Random(seed)
    kills = 0
    while kills < 10:
        process = start(step)
        process.join(chance.uniform(0.4, 1.6))
        if not process.is_alive():
            break
        kill(process)
        kills += 1
    assert kills >= 5, "the run was over too early to prove anything"
    assert run_to_end(step) == 0, step.log
    assert step.outputs == expected
    check_paid_once(slow_local, paid, jobs, in_flight=kills * workers)
