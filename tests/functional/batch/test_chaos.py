"""Random combinations of faults, also in a run that is stopped among them: the guarantees of a run still hold.

Each seed is one mixture of faults, the same every time; which thread meets a fault is left to chance.
"""

from __future__ import annotations

import random
import signal
import threading

import pytest

from helpers.batch_runs import World, ids_in, small
from helpers.botocore_models import knows
from helpers.run_checks import check_complete
from local_bedrock import Behaviour, CallFault, JobFault, RecordFaults

CALLS = (
    "CreateModelInvocationJob",
    "GetModelInvocationJob",
    "ListModelInvocationJobs",
    "StopModelInvocationJob",
    "InvokeModel",
)
WORKERS = 5
MANIFESTS = ("right", "wrong", "absent")
# Without the counts of a job, its manifest alone tells what it processed: a wrong one tells of results that are lost.
KNOWS_COUNTS = knows("bedrock", "GetModelInvocationJob", "output.totalRecordCount")
# The failures that pass may all meet one record.
PATIENT = {"BEDROCK_MAX_RETRIES": "20"}


def mixture(draw: random.Random) -> Behaviour:
    """Job endings, broken lines, failing and lost calls, quotas and throttling, drawn at random."""
    endings = ("Completed", "Completed", "PartiallyCompleted", "FailedInValidating", "Failed", "Expired", "Stopped")
    jobs = tuple(
        JobFault(
            name=f"-000{index}$",
            ends=(end := draw.choice(endings)),
            share=draw.choice((0.3, 0.6, 1.0)),
            output_parts=draw.choice((1, 3)),
            manifest=draw.choice(("right", "absent") if end == "Failed" or not KNOWS_COUNTS else MANIFESTS),
        )
        for index in range(3)
    )
    records = RecordFaults(
        **{
            name: draw.choice((0.0, 0.05))
            for name in ("error", "throttled", "missing", "repeated", "unknown_id", "not_json", "invalid_utf8")
        }
    )
    return small(
        jobs=jobs,
        records=records,
        calls=tuple(call_fault(draw) for _ in range(draw.randrange(5))),
        quota_exceeded_creates=draw.choice((0, 2)),
        throttle_share={"*": draw.choice((0.0, 0.1))},
        max_concurrent_jobs=draw.choice((1, 2, 20)),
    )


def call_fault(draw: random.Random) -> CallFault:
    operation, drop = draw.choice(CALLS), draw.random() < 0.4
    # An answer of the runtime whose response is lost is paid for and asked again: no client can help that.
    is_lost = drop and operation != "InvokeModel" and draw.random() < 0.6
    code = draw.choice(("ThrottlingException", "InternalServerException", "ServiceUnavailableException"))
    ordinals = tuple(sorted(draw.sample(range(1, 9), 2)))
    return CallFault(operation, calls=ordinals, code=code, drop=drop, when="after" if is_lost else "before")


def check_laws(world: World, run, reference, *, in_flight: int) -> None:
    """Every row once and in order; a row is paid once, twice where its first answer could not be read."""

    def with_outcome(*outcomes: str) -> set[str]:
        return {row for job in world.local.jobs for outcome in outcomes for row in ids_in(world, job, outcome)}

    failed = {row["id"] for row in run.all_rows if row["llm_status"] == "error"}
    assert failed <= with_outcome("error")
    check_complete(run, reference, unanswered=failed)
    unreadable = with_outcome("not_json", "invalid_utf8", "unknown_id")
    expected = {row["id"]: 0 if row["id"] in failed else 1 + (row["id"] in unreadable) for row in world.inputs}
    odd = {row: (world.charges[row], count) for row, count in expected.items() if world.charges[row] != count}
    assert all(paid > count for paid, count in odd.values()), odd
    assert len(odd) <= in_flight, odd
    assert len(world.local.jobs) <= 3


@pytest.mark.parametrize("seed", range(4))
def test_any_mixture_of_faults_gives_every_row_once(make_world, reference, seed):
    """The step would handle each fault alone, but not the mixture of a bad day."""
    draw = random.Random(seed)
    world = make_world(mixture(draw), BEDROCK_MAX_CONCURRENT_BATCH_JOBS=str(draw.choice((1, 2, 20))), **PATIENT)
    check_laws(world, world.answer(), reference, in_flight=0)


# An interrupt may come between the opening of a file and the block that closes it; the file is closed with its object.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("seed", range(4))
def test_any_mixture_of_faults_with_an_interrupt_pays_only_for_what_was_in_flight(make_world, reference, seed):
    """A stop in the midst of failures would lose rows, or buy a job again."""
    draw = random.Random(1000 + seed)
    world = make_world(mixture(draw), BEDROCK_MAX_CONCURRENT_WORKERS=str(WORKERS), **PATIENT)
    last = draw.randrange(10, 90)
    stopped: list[str] = []

    def stop(call):
        if call.ordinal >= last and not stopped:
            stopped.append(call.operation)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    world.local.on_call(stop)
    first = world.run()
    stopped.append("over")
    assert first.error is None or isinstance(first.error, KeyboardInterrupt)
    check_laws(world, world.answer(), reference, in_flight=WORKERS)
