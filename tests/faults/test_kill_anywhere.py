"""Pay once: the step is killed at every call to AWS and at random times, and started again."""

from __future__ import annotations

import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from faults.step_process import BUCKET, batch_settings, kill, lay_out, realtime_settings, run_to_end, start
from local_bedrock.behaviour import Behaviour, CallFault, Phases, RecordFaults
from local_bedrock.journal import CallInfo
from local_bedrock.server import LocalBedrock

Settings = Callable[..., dict[str, str]]

# So many tests share the calls of a run among them, and run beside each other.
SHARES = 4
# A start with a short lease beats often, and each beat is a call: on a slow machine the killed starts would never end.
SELDOM_BEATS = {"BEDROCK_BATCH_LEASE_SECONDS": "6"}

# Some records have no answer in their job, so that real time takes part in batch runs too.
BEHAVIOUR = Behaviour(
    min_records_per_job=10,
    phases=Phases(0.01, 0.01, 0.01, 0.02),
    records=RecordFaults(missing=0.1),
)


class Killer:
    """A hook that kills a process at one call: before the service does its work for it, or after."""

    def __init__(self, ordinal: int, when: str) -> None:
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
    """A service in which a run takes seconds, so that a random kill finds it in the middle of something."""
    behaviour = replace(
        BEHAVIOUR, phases=Phases(0.1, 0.1, 0.2, 1.5), latency_seconds={"InvokeModel": 0.05, "S3.PutObject": 0.01}
    )
    with LocalBedrock(behaviour) as server:
        server.create_bucket(BUCKET)
        yield server


def check_paid_once(local: LocalBedrock, paid_before: Counter[str], jobs_before: int, in_flight: int) -> None:
    """Assert that no record is in two jobs and that at most `in_flight` prompts were charged twice."""
    local.wait_for_jobs()
    jobs = local.jobs[jobs_before:]
    sent = [record for job in jobs for record in job.fates]
    assert len(sent) == len(set(sent)), "a record is in two jobs"
    assert len({job.name for job in jobs}) == len(jobs), "a job was created twice"
    again = {prompt: count for prompt, count in (local.charges - paid_before).items() if count > 1}
    assert sum(again.values()) - len(again) <= in_flight, f"{len(again)} prompts were paid for more than once"


@pytest.mark.parametrize("share", range(SHARES), ids=[f"share_{number}" for number in range(SHARES)])
@pytest.mark.parametrize(
    ("settings", "rows"),
    [pytest.param(batch_settings, 30, id="batch"), pytest.param(realtime_settings, 8, id="realtime")],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_call_costs_at_most_the_record_in_flight(
    tmp_path: Path, local: LocalBedrock, settings: Settings, rows: int, when: str, share: int
) -> None:
    """A user whose container dies at any moment would lose rows, get them shuffled, or pay for them twice."""
    step = lay_out(tmp_path / "undisturbed", rows, settings(local))
    assert run_to_end(step) == 0, step.log
    expected = step.outputs
    # The beats of the ledger make the number of calls vary: the loop ends when a run was over before its kill.
    for ordinal in range(1 + share, 1000, SHARES):
        # Another limit of tokens makes it another run, with the same answers.
        step = lay_out(tmp_path / f"kill-{ordinal}", rows, settings(local, BEDROCK_MAX_TOKENS=str(1000 + ordinal)))
        paid, jobs = local.charges, len(local.jobs)
        killer = Killer(ordinal, when)
        local.hooks.append(killer)
        killer.process = process = start(replace(step, settings={**step.settings, **SELDOM_BEATS}))
        process.join(60)
        local.hooks.remove(killer)
        if killer.fired:
            assert run_to_end(step) == 0, f"call {ordinal}: {step.log}"
        assert step.outputs == expected, f"call {ordinal}"
        check_paid_once(local, paid, jobs, in_flight=1)
        if not killer.fired:
            break
        shutil.rmtree(step.root)
    assert ordinal > 10


@pytest.mark.parametrize("seed", range(SHARES), ids=[f"share_{number}" for number in range(SHARES)])
@pytest.mark.parametrize(
    ("settings", "rows"),
    [pytest.param(batch_settings, 1000, id="batch"), pytest.param(realtime_settings, 400, id="realtime")],
)
def test_ten_kills_at_random_times_cost_at_most_the_records_in_flight(
    tmp_path: Path, slow_local: LocalBedrock, settings: Settings, rows: int, seed: int
) -> None:
    """A user of a large run on unsteady machines would pay again for what was answered before each kill."""
    workers = 4
    more = {"BEDROCK_CONCURRENCY_MODE": "concurrent", "BEDROCK_MAX_CONCURRENT_WORKERS": str(workers)}
    more |= {"BEDROCK_MAX_RECORDS_PER_JOB": "100", "BEDROCK_BATCH_LEASE_SECONDS": "0.3"}
    # Different limits of tokens make different runs, with the same answers.
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
