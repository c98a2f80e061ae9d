"""A batch job of another, unfinished run is waited for, and its questions are not asked again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest

from bedrock_batch.commands.plan.build import plan_step
from bedrock_batch.commands.plan.text import render_plan
from bedrock_batch.commands.preparation import StepRequest
from bedrock_batch.environment.container.paths import container_paths
from functional.resume.test_answer_reuse import answers, charged, data, write_schema
from functional.resume.test_open_runs import ask_otherwise, delete, keys
from helpers.batch_runs import World, sent_ids, small
from helpers.table_files import make_rows, write_table
from local_bedrock.behaviour import CallFault, JobFault, RecordFaults
from local_bedrock.journal import CallInfo

MakeWorld = Callable[..., World]
FILES = {"train/a.csv": 60}
JOBS = {"BEDROCK_MAX_RECORDS_PER_JOB": "20"}


def interrupt_at_poll(world: World, jobs: int = 0) -> None:
    """Interrupt the step once, when it next polls a job and there are so many jobs."""
    interrupted: list[int] = []

    def interrupt(call: CallInfo) -> None:
        if (
            call.operation == "GetModelInvocationJob"
            and call.when == "after"
            and not interrupted
            and len(world.local.jobs) >= jobs
        ):
            interrupted.append(call.ordinal)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    world.local.on_call(interrupt)


def release_at_poll(world: World, polls: int = 6) -> None:
    """Let the jobs that are held end when they have been polled so often."""
    seen: list[int] = []

    def release(call: CallInfo) -> None:
        if call.operation == "GetModelInvocationJob" and call.when == "after":
            seen.append(call.ordinal)
            if len(seen) == polls:
                world.local.release_jobs()

    world.local.on_call(release)


def leave_jobs_running(world: World, held: bool = False) -> None:
    """Run the step until its three jobs run, and interrupt it. Jobs that are held do not end."""
    if held:
        world.local.hold_jobs()
    interrupt_at_poll(world, jobs=3)
    assert isinstance(world.run().error, KeyboardInterrupt)
    assert [len(sent_ids(world, job)) for job in world.local.jobs] == [20, 20, 20]


@pytest.mark.parametrize("ended", [False, True], ids=["running", "ended"])
def test_a_job_of_a_killed_run_is_attached_to(make_world: MakeWorld, ended: bool) -> None:
    """A user who stops the step, loosens the schema and starts again would pay for each job twice."""
    world = make_world(files=FILES, **JOBS)
    leave_jobs_running(world, held=True)
    if ended:
        world.local.wait_for_jobs()
    release_at_poll(world)
    ask_otherwise(world)
    rows = make_rows(70, 0)
    write_table(data(world) / "train" / "a.csv", rows)
    world.inputs = rows
    run = world.answer()
    assert world.local.charges.total() == 70
    assert [len(sent_ids(world, job)) for job in world.local.jobs[3:]] == [10]
    assert [row["id"] for row in run.all_rows] == [row["id"] for row in rows]
    assert {row["llm_status"] for row in run.all_rows} == {"success"}
    assert run.summary["reused_records"] == 60
    attached = run.summary["batch_job_info"]["attached"]
    assert sum(job["records_of_this_run"] for job in attached) == 60
    assert bool(run.logged(" attached=")) != ended
    assert answers(run) == answers(world.answer(BEDROCK_BATCH_RESUME="false"))


def test_the_other_run_goes_on_as_always(make_world: MakeWorld) -> None:
    """A killed run whose jobs another run has collected would lose them, or pay again."""
    world = make_world(files=FILES, **JOBS)
    leave_jobs_running(world)
    ask_otherwise(world)
    world.answer()
    write_schema(world, {})
    paid, run = charged(world)
    assert paid == 0
    assert {row["llm_source"] for row in run.all_rows} == {"batch"}
    assert not keys(world, "/open-")


def test_a_run_that_is_killed_while_it_waits_goes_on(make_world: MakeWorld) -> None:
    """The rows that wait would get the answers of others after a second kill, or be paid for."""
    world = make_world(files=FILES, **JOBS)
    leave_jobs_running(world)
    ask_otherwise(world)
    rows = [row for number in range(60) for row in (make_rows(1, number)[0], make_rows(1, 100 + number)[0])]
    write_table(data(world) / "train" / "a.csv", rows)
    world.inputs = rows
    interrupt_at_poll(world)
    assert isinstance(world.run().error, KeyboardInterrupt)
    run = world.answer()
    assert world.local.charges.total() == 120
    assert max(world.local.charges.values()) == 1
    assert [row["id"] for row in run.all_rows] == [row["id"] for row in rows]
    assert answers(run) == answers(world.answer(BEDROCK_BATCH_RESUME="false"))


def test_what_the_job_leaves_unanswered_is_asked(make_world: MakeWorld) -> None:
    """Rows would stay without an answer because another run's job had none for them."""
    world = make_world(small(records=RecordFaults(missing=0.3)), files=FILES, **JOBS)
    leave_jobs_running(world)
    ask_otherwise(world)
    run = world.answer()
    assert world.local.charges.total() == 60
    assert {row["llm_status"] for row in run.all_rows} == {"success"}
    assert "realtime" in {row["llm_source"] for row in run.all_rows}


def test_the_cost_limit_holds_for_what_a_job_leaves_unanswered(make_world: MakeWorld) -> None:
    """A run that had nothing to pay for would ask all records of another run's failed job in real time, at any cost."""
    stopped = JobFault(ends="Stopped", share=0.1)
    world = make_world(small(jobs=(stopped,)), files=FILES, **JOBS)
    leave_jobs_running(world, held=True)
    release_at_poll(world)
    ask_otherwise(world)
    run = world.run(BEDROCK_MAX_COST_USD="0.0000001", BEDROCK_MAX_CONCURRENT_WORKERS="2")
    assert run.logged("waiting=60")
    assert "BEDROCK_MAX_COST_USD" in str(run.error)
    assert 0 < world.local.count("InvokeModel") < 20


def test_a_throttled_look_at_a_job_is_repeated(make_world: MakeWorld) -> None:
    """One refused call at the start would pay for a whole job of another run again."""
    world = make_world(files=FILES, **JOBS)
    leave_jobs_running(world, held=True)
    release_at_poll(world)
    ask_otherwise(world)
    faults = [CallFault("GetModelInvocationJob")]

    def refuse_once(call: CallInfo) -> CallFault | None:
        return faults.pop() if call.operation == "GetModelInvocationJob" and call.when == "before" and faults else None

    world.local.on_call(refuse_once)
    run = world.answer()
    assert not faults
    assert world.local.charges.total() == 60
    assert run.summary["reused_records"] == 60


def test_the_switches_apply_to_jobs_of_other_runs(make_world: MakeWorld) -> None:
    """People who want fresh answers, or answers at once, would wait for the job of a killed run."""
    world = make_world(files=FILES, **JOBS)
    leave_jobs_running(world)
    world.local.wait_for_jobs()
    ask_otherwise(world)
    assert charged(world, BEDROCK_ANSWER_REUSE="false")[0] == 60
    assert charged(world, BEDROCK_BATCH_MODE="realtime", BEDROCK_MAX_TOKENS="700")[0] == 60


def test_the_plan_says_how_many_rows_wait(make_world: MakeWorld) -> None:
    """A user would be told to pay for what a job of the stopped run answers."""
    world = make_world(files=FILES, **JOBS)
    leave_jobs_running(world, held=True)
    ask_otherwise(world)
    before = [key for key in keys(world, "") if not key.startswith("output/")]  # the jobs still write there
    environ = {**world.environ, **world.local.environment}
    plan = plan_step(StepRequest(*container_paths(world.processing), environ, "training"))
    assert plan["answer_store"]["waiting_records"] == plan["answer_store"]["reused_records"] == 60
    assert "60 are in batch jobs" in render_plan(plan)
    assert [key for key in keys(world, "") if not key.startswith("output/")] == before


def test_a_run_without_time_to_wait_ends(make_world: MakeWorld) -> None:
    """A row would be asked while another run's job may still answer it, and paid for twice."""
    world = make_world(files=FILES, **JOBS)
    leave_jobs_running(world, held=True)
    before = world.local.charges.total()
    ask_otherwise(world)
    run = world.run_short_of_time(lambda: True)
    assert "wait for" in str(run.error)
    assert world.local.count("InvokeModel") == 0
    assert world.local.charges.total() >= before
    world.local.release_jobs()
    assert charged(world)[0] + before <= 60


def test_a_ledger_of_an_earlier_version_is_continued(make_world: MakeWorld) -> None:
    """An upgrade in the middle of a run would pay again, or end in an error."""
    world = make_world(files=FILES, **JOBS)
    leave_jobs_running(world)
    assert delete(world, "/questions-")
    assert delete(world, "/open-")
    world.answer()
    assert world.local.charges.total() == 60
