"""What a killed run was answered is not paid for by another run that asks the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from functional.resume.test_answer_reuse import answers, charged, interrupt_after, write_schema
from helpers.batch_runs import BUCKET, World, small
from local_bedrock import AnswerFaults

MakeWorld = Callable[..., World]
FILES = {"train/a.csv": 40}
REALTIME = {"BEDROCK_BATCH_MODE": "realtime"}
NO_S3 = dict.fromkeys(("BEDROCK_ANSWERS_S3_PATH", "BEDROCK_BATCH_INPUT_S3_PATH", "BEDROCK_BATCH_OUTPUT_S3_PATH"), "")


def keys(world: World, part: str) -> list[str]:
    """Return the keys that hold this; other worlds of the same test share the bucket."""
    listed = world.local.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return [item["Key"] for item in listed if part in item["Key"]]


def delete(world: World, part: str) -> int:
    """Delete the objects that have this in their keys, and return their number."""
    found = keys(world, part)
    for key in found:
        world.local.client("s3").delete_object(Bucket=BUCKET, Key=key)
    return len(found)


def leave_answers_in_the_ledger(world: World, requests: int = 20, **environ: str) -> int:
    """Run the step until some requests are answered, leave what SIGKILL would leave, and return what was charged."""
    before = world.local.charges.total()
    interrupt_after(world, requests)
    assert isinstance(world.run(**environ).error, KeyboardInterrupt)
    delete(world, ".parquet")  # an interrupted run stores its answers on the way out
    for path in world.processing.rglob("*.parquet"):
        path.unlink()
    return world.local.charges.total() - before


def ask_otherwise(world: World) -> None:
    """Change what belongs to a run, but not to its questions."""
    write_schema(world, {"reason": {"type": "string", "maxLength": 5000}})


@pytest.mark.parametrize("place", [{}, NO_S3], ids=["s3", "folder"])
def test_another_run_takes_what_a_killed_run_was_answered(make_world: MakeWorld, place: dict[str, str]) -> None:
    """A user who kills a run, loosens the schema and starts again would pay for the last minute twice."""
    world = make_world(files=FILES, **REALTIME, **place)
    paid = leave_answers_in_the_ledger(world)
    ask_otherwise(world)
    again, run = charged(world)
    assert 0 < again == 40 - paid
    assert run.summary["reused_records"] == paid
    assert run.logged(f"adopted={paid} answers of the unfinished run")
    ask_otherwise(world)
    assert charged(world)[0] == 0
    write_schema(world, {})  # the killed run itself goes on, and has taken nothing of the others
    assert charged(world)[0] == 40 - paid
    assert not keys(world, "/open-")
    assert not list(world.processing.rglob("open-*"))


def test_retries_repeats_and_another_model_find_their_questions(make_world: MakeWorld) -> None:
    """Adopted answers would be given to other rows, or hopeless rows would be asked again."""
    world = make_world(small(answers=AnswerFaults(invalid=0.3)), files=FILES, **REALTIME)
    retries = {"BEDROCK_VALIDATION_RETRIES": "2"}
    write_schema(world, {})
    paid = leave_answers_in_the_ledger(world, 60, **retries)
    write_schema(world, {}, description="another run")
    again, run = charged(world, **retries)
    total, fresh = charged(world, **retries, BEDROCK_BATCH_RESUME="false")
    assert paid + again <= total + 1  # one request may have been under way
    assert answers(run) == answers(fresh)


def test_the_age_limit_and_the_switches_apply_to_other_runs(make_world: MakeWorld) -> None:
    """People who must not use earlier answers would get those of a killed run."""
    world = make_world(files=FILES, **REALTIME)
    leave_answers_in_the_ledger(world)
    ask_otherwise(world)
    assert charged(world, BEDROCK_ANSWER_REUSE="false")[0] == 40
    write_schema(world, {"reason": {"type": "string", "maxLength": 4000}})
    assert charged(world, BEDROCK_ANSWER_MAX_AGE_DAYS="0.000001")[0] == 40


@pytest.mark.parametrize("damage", ["gone", "ledger", "marker", "place", "path"])
def test_a_run_that_cannot_be_read_is_a_line_in_the_log(make_world: MakeWorld, damage: str) -> None:
    """A ledger that somebody has deleted would end every later run that asks the same."""
    world = make_world(files=FILES, **REALTIME)
    leave_answers_in_the_ledger(world)
    client = world.local.client("s3")
    if damage == "gone":
        assert delete(world, "ledger.json") == 1
    else:
        (key,) = keys(world, "ledger.json" if damage == "ledger" else "/open-")
        found = json.loads(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        change = {"place": {"ledger": "s3:///run/ledger.json"}, "path": {"ledger": "/\0/run/ledger.json"}}
        client.put_object(
            Bucket=BUCKET, Key=key, Body=json.dumps({**found, **change.get(damage, {"schema_version": 99})}).encode()
        )
    ask_otherwise(world)
    paid, run = charged(world)
    assert paid == 40
    assert run.logged("open_run=")
    if damage == "gone":
        assert not keys(world, "/open-")


def test_a_plan_changes_nothing(make_world: MakeWorld) -> None:
    """A plan would write into the store of others, or fail at the marker of a killed run."""
    from bedrock_batch.commands.plan.build import plan_step
    from bedrock_batch.commands.preparation import StepRequest
    from bedrock_batch.environment.container.paths import container_paths

    world = make_world(files=FILES, **REALTIME)
    leave_answers_in_the_ledger(world)
    ask_otherwise(world)
    before = keys(world, "")
    everything: dict[str, Any] = {**world.environ, **world.local.environment}
    plan = plan_step(StepRequest(*container_paths(world.processing), everything, "training"))
    assert plan["answer_store"]["reused_records"] == 0
    assert keys(world, "") == before


def test_a_run_in_two_places_is_read_once(make_world: MakeWorld) -> None:
    """A run that was refused would have its ledger read, and its answers kept, once for each of its frames."""
    more = {**REALTIME, "BEDROCK_PRIMARY_MODEL_ID": "us.anthropic.claude-opus-4-8"}
    world = make_world(files=FILES, BEDROCK_MODEL_CAPABILITIES='{"prefill": true}', **more)
    paid = leave_answers_in_the_ledger(world, 60)
    assert len({key.rpartition("/")[0] for key in keys(world, "/open-")}) == 2
    answered, run = charged(world, BEDROCK_MAX_TOKENS="600")
    assert answered == 40 - paid
    assert len([line for line in run.log if "adopted=" in line]) == 1
