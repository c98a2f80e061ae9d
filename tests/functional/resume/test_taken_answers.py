"""A run that has taken answers from the store stays the same run at each start, whatever becomes of the store."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest

from bedrock_batch.errors import ConfigurationError, HopelessError
from helpers.batch_runs import BUCKET, MODEL, NOVA, World
from helpers.table_files import make_rows, write_table
from local_bedrock.journal import CallInfo

MakeWorld = Callable[..., World]
REALTIME = {"BEDROCK_BATCH_MODE": "realtime", "BEDROCK_CONCURRENCY_MODE": "sequential"}


def write_rows(world: World, count: int) -> None:
    world.inputs = make_rows(count, 0)
    write_table(world.processing / "input" / "data" / "train" / "a.csv", world.inputs)


def every_other_row_is_known(world: World, **environ: str) -> None:
    """Answer some rows, and write an input that has rows between them."""
    world.answer(**environ)
    known = world.inputs
    world.inputs = [row for number, old in enumerate(known) for row in (make_rows(1, 500 + number)[0], old)]
    write_table(world.processing / "input" / "data" / "train" / "a.csv", world.inputs)


def interrupt_at(world: World, operation: str, ordinal: int) -> None:
    """Let the next run be interrupted after a number of calls."""
    calls: list[int] = []

    def interrupt(call: CallInfo) -> None:
        if call.operation == operation and call.when == "after":
            calls.append(call.ordinal)
            if len(calls) == ordinal:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    world.local.on_call(interrupt)


def forget(world: World) -> None:
    """Empty the store."""
    client = world.local.client("s3")
    prefix = world.environ["BEDROCK_ANSWERS_S3_PATH"].removeprefix(f"s3://{BUCKET}/")
    for item in client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]:
        client.delete_object(Bucket=BUCKET, Key=item["Key"])


def answers(world: World, **environ: str) -> list[tuple[str, ...]]:
    return [
        tuple(row[f"llm_{name}"] for name in ("category", "reason", "status"))
        for row in world.answer(**environ).all_rows
    ]


def test_a_run_goes_on_without_the_store_from_which_it_took_answers(make_world: MakeWorld) -> None:
    """A run that is continued without the store, as its error message says, would give rows the answers of others."""
    world = make_world(files={"train/a.csv": 10}, **REALTIME)
    every_other_row_is_known(world)
    interrupt_at(world, "InvokeModel", 5)
    assert isinstance(world.run().error, KeyboardInterrupt)
    before = world.local.charges.total()
    continued = answers(world, BEDROCK_ANSWER_REUSE="false")
    assert world.local.charges.total() - before in (15, 16)
    assert continued == answers(world, BEDROCK_BATCH_RESUME="false")


@pytest.mark.parametrize("mode", ["batch", "realtime"])
def test_a_run_that_was_answered_from_the_store_can_be_asked_again_without_it(make_world: MakeWorld, mode: str) -> None:
    """Somebody who empties the store to get fresh answers would pay for them twice after an interrupt."""
    world = make_world(files={"train/a.csv": 40}, **REALTIME)
    world.answer()
    write_rows(world, 40)
    (world.processing / "input" / "data" / "train" / "a.csv").rename(
        world.processing / "input" / "data" / "train" / "b.csv"
    )
    again = {"BEDROCK_BATCH_MODE": mode, "BEDROCK_MAX_TOKENS": "600"}
    assert {row["llm_source"] for row in world.answer(**again).all_rows} == {"store"}
    forget(world)
    before = world.local.charges.total()
    interrupt_at(world, "GetModelInvocationJob" if mode == "batch" else "InvokeModel", 5)
    assert isinstance(world.run(**again).error, KeyboardInterrupt)
    run = world.answer(**again)
    assert world.local.charges.total() - before in (40, 41)
    assert {row["llm_source"] for row in run.all_rows} == {mode}


def test_a_fallback_model_answers_only_what_it_would_be_asked(make_world: MakeWorld) -> None:
    """Rows would get the answers of a model that the settings do not name, or its answers would be paid for twice."""
    world = make_world(files={"train/a.csv": 10}, **REALTIME)
    primary = {"BEDROCK_PRIMARY_MODEL_ID": MODEL.removeprefix("us.")}  # refused: it needs a profile
    fallback = "us.anthropic.claude-3-5-sonnet-20240620-v1:0"
    both = {**primary, "BEDROCK_FALLBACK_MODEL_ID": fallback}

    def models(**environ: str) -> tuple[int, set[str]]:
        before = world.local.charges.total()
        run = world.answer(**environ)
        return world.local.charges.total() - before, {row["llm_model_id"] for row in run.all_rows}

    assert models(**both) == (10, {fallback})
    assert models(**both, BEDROCK_MAX_TOKENS="600") == (0, {fallback})
    assert models(BEDROCK_PRIMARY_MODEL_ID=fallback) == (0, {fallback})
    assert models(**primary, BEDROCK_FALLBACK_MODEL_ID=NOVA) == (10, {NOVA})
    assert models(**both, BEDROCK_MAX_TOKENS="700") == (0, {fallback})
    assert isinstance(world.run(**primary).error, HopelessError)
    assert models(BEDROCK_FALLBACK_MODEL_ID=fallback) == (10, {MODEL})


def test_a_rest_that_is_too_small_for_a_job_says_how_to_go_on(make_world: MakeWorld) -> None:
    """A user who requires batch would be told of too few records, though the file has enough of them."""
    world = make_world(files={"train/a.csv": 30}, BEDROCK_BATCH_MODE="batch", BEDROCK_BATCH_FALLBACK="fail")
    world.answer()
    write_rows(world, 32)
    before = world.local.charges.total()
    refused = world.run().error
    assert isinstance(refused, ConfigurationError)
    assert "the other 30 are answered already; BEDROCK_BATCH_FALLBACK=realtime asks these in real time" in str(refused)
    assert world.local.charges.total() == before
    world.answer(BEDROCK_BATCH_FALLBACK="realtime")
    assert world.local.charges.total() - before == 2
