"""Real time when the service does not answer: what is tried again, what goes to another model, what ends the run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bedrock_batch.errors import HopelessError, RunError
from helpers.batch_runs import MODEL, World, small
from local_bedrock import Behaviour, CallFault
from local_bedrock.journal import CallInfo

ASK = "InvokeModel"
FALLBACK = "us.anthropic.claude-3-5-sonnet-20240620-v1:0"
MakeWorld = Callable[..., World]


def asking(behaviour: Behaviour, make_world: MakeWorld, rows: int = 10, **environ: str) -> World:
    """A world in which rows are asked in real time."""
    return make_world(behaviour, {"train/a.csv": rows}, BEDROCK_BATCH_MODE="realtime", **environ)


def faults(*calls: int, **more: Any) -> Behaviour:
    return small(calls=(CallFault(ASK, calls=calls, **more),))


def column(run: Any, name: str) -> list[Any]:
    return [row[f"llm_{name}"] for row in run.all_rows]


# What is tried again

PASSING = {
    "throttled": {"code": "ThrottlingException"},
    "not ready": {"code": "ModelNotReadyException", "status": 429},
    "unavailable": {"code": "ServiceUnavailableException", "status": 503},
    "internal": {"code": "InternalServerException", "status": 500},
    "model error": {"code": "ModelErrorException", "status": 424},
    "dropped": {"drop": True},
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("mode", ["sequential", "concurrent"])
def test_what_can_pass_is_tried_again(make_world: MakeWorld, fault: dict[str, Any], mode: str) -> None:
    """One hiccup of the service would cost a row."""
    world = asking(faults(3, **fault), make_world, BEDROCK_CONCURRENCY_MODE=mode)
    run = world.answer()
    assert column(run, "parse_status") == ["success"] * 10
    assert sorted(column(run, "attempts")) == ["1"] * 9 + ["2"]
    assert run.summary["retries"] == 1
    assert world.local.count(ASK) == 11


def test_attempts_are_bounded(make_world: MakeWorld) -> None:
    """A record that fails each time would be asked for ever."""
    world = asking(
        faults(3, 4, 5, 6, 7, code="InternalServerException", status=500),
        make_world,
        BEDROCK_CONCURRENCY_MODE="sequential",
        BEDROCK_MAX_RETRIES="3",
    )
    run = world.answer()
    assert column(run, "status") == ["success"] * 2 + ["error"] + ["success"] * 7
    assert column(run, "attempts")[2:4] == ["3", "3"]
    assert run.summary["error_kinds"]["transient"]["records"] == 1


def test_a_request_that_is_wrong_is_not_tried_again(make_world: MakeWorld) -> None:
    """A prompt that is too long would be sent, and waited for, again and again."""
    text = "Input is too long for requested model."
    world = asking(faults(3, code="ValidationException", message=text), make_world)
    run = world.answer()
    assert sorted(column(run, "status")) == ["error"] + ["success"] * 9
    assert run.summary["error_kinds"]["validation"]["example"]["message"].endswith(text)
    assert world.local.count(ASK) == 10


def test_the_service_sets_the_pace(make_world: MakeWorld) -> None:
    """A run over its quota would go on at full rate and be throttled to the end."""
    world = asking(faults(3, 7, 11, retry_after=2.0), make_world, rows=30)
    run = world.answer()
    assert column(run, "status") == ["success"] * 30
    rate = run.summary["rate_limit"]
    assert rate["throttles"] == 3
    assert rate["lowest"] < rate["configured"] == 100.0
    assert sum("reserves its input tokens and max_tokens=512" in line for line in run.log) == 1


# What goes to another model


def test_a_record_that_the_model_refuses_goes_to_the_fallback(make_world: MakeWorld) -> None:
    """The fallback model of the specification would never be used."""
    behaviour = faults(3, code="ValidationException", message="The model returned the following errors: no.")
    run = asking(
        behaviour, make_world, BEDROCK_FALLBACK_MODEL_ID=FALLBACK, BEDROCK_CONCURRENCY_MODE="sequential"
    ).answer()
    assert column(run, "status") == ["success"] * 10
    assert column(run, "model_id") == [MODEL] * 2 + [FALLBACK] + [MODEL] * 7
    assert run.summary["models"] == {MODEL: 9, FALLBACK: 1}


def test_a_model_that_is_refused_as_such_is_replaced_for_the_rest(make_world: MakeWorld) -> None:
    """Each of a million records would be refused once before the fallback is asked."""
    bare = MODEL.removeprefix("us.")
    run = asking(
        small(),
        make_world,
        BEDROCK_PRIMARY_MODEL_ID=bare,
        BEDROCK_FALLBACK_MODEL_ID=FALLBACK,
        BEDROCK_CONCURRENCY_MODE="sequential",
    ).answer()
    assert column(run, "model_id") == [FALLBACK] * 10
    assert run.world.local.count(ASK) == 11
    assert run.logged("answers the rest of the run")


def test_the_fallback_is_asked_in_its_own_way(make_world: MakeWorld) -> None:
    """A fallback of another family would be sent the primary model's body."""
    other = "us.amazon.nova-lite-v1:0"
    run = asking(
        small(),
        make_world,
        BEDROCK_PRIMARY_MODEL_ID=MODEL.removeprefix("us."),
        BEDROCK_FALLBACK_MODEL_ID=other,
    ).answer()
    assert column(run, "parse_status") == ["success"] * 10
    assert column(run, "model_id") == [other] * 10


# What ends the run

HOPELESS = {
    "denied": (
        {"code": "AccessDeniedException", "status": 403, "message": "User: x is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1::foundation-model/m"},  # noqa: E501 - AWS's own sentence
        '"Action": "bedrock:InvokeModel"',
    ),
    "expired": ({"code": "ExpiredTokenException", "status": 403, "message": "The security token is expired"}, "renew"),
    "daily": ({"message": "Too many tokens per day, please wait before trying again."}, "run again tomorrow"),
    "no such model": (
        {"code": "ResourceNotFoundException", "status": 404, "message": "Model not found."},
        "BEDROCK_PRIMARY_MODEL_ID",
    ),
    "on demand": (
        {"code": "ValidationException", "message": "Invocation of model m with on-demand throughput isn\u2019t supported."},  # noqa: E501 - AWS's own sentence
        "BEDROCK_INFERENCE_PROFILE_ARN",
    ),
}  # fmt: skip # one error in a row


@pytest.mark.parametrize(("fault", "advice"), HOPELESS.values(), ids=HOPELESS)
@pytest.mark.parametrize("mode", ["sequential", "concurrent"])
def test_an_error_that_no_record_survives_ends_the_run(
    make_world: MakeWorld, fault: dict[str, Any], advice: str, mode: str
) -> None:
    """Every row of the run would fail, one by one, for the same reason."""
    world = asking(faults(**fault), make_world, rows=200, BEDROCK_CONCURRENCY_MODE=mode)
    run = world.run()
    assert isinstance(run.error, HopelessError)
    assert advice in str(run.error)
    assert run.rows == {}
    assert world.local.count(ASK) <= (1 if mode == "sequential" else 5), "no more than the workers had begun"


def test_answers_before_the_end_are_not_paid_again(make_world: MakeWorld) -> None:
    """A run that ends at the daily quota would begin from nothing on the next day."""
    spent = [True]

    def daily(call: CallInfo) -> CallFault | None:
        over = call.operation == ASK and call.operation_ordinal > 30 and call.when == "before" and spent
        return CallFault(ASK, message="Too many tokens per day, please wait.") if over else None

    world = asking(small(), make_world, rows=60)
    world.local.on_call(daily)
    assert isinstance(world.run().error, HopelessError)
    spent.clear()
    run = world.answer()
    assert column(run, "status") == ["success"] * 60
    assert set(world.charges.values()) == {1}


@pytest.mark.parametrize("mode", ["sequential", "concurrent"])
def test_a_hundred_failures_for_one_reason_end_the_run(make_world: MakeWorld, mode: str) -> None:
    """A million records would be asked although the first hundred show that none can be answered."""
    behaviour = faults(code="ValidationException", message="Malformed input request, please reformat your input.")
    world = asking(behaviour, make_world, rows=400, BEDROCK_CONCURRENCY_MODE=mode)
    run = world.run()
    assert isinstance(run.error, HopelessError)
    assert "the first 100 records all failed for the same reason" in str(run.error)
    assert "Malformed input request" in str(run.error)
    assert 100 <= world.local.count(ASK) <= (100 if mode == "sequential" else 130)


def test_different_reasons_or_one_answer_let_the_run_go_on(make_world: MakeWorld) -> None:
    """A run whose first rows happen to be bad would end although the others are good."""
    texts = ("Input is too long for requested model.", "messages: text content blocks must be non-empty")

    def refuse(call: CallInfo) -> CallFault | None:
        if call.operation != ASK or call.when != "before" or call.operation_ordinal > 110:
            return None
        return CallFault(ASK, code="ValidationException", message=texts[call.operation_ordinal % 2])

    world = asking(small(), make_world, rows=130)
    world.local.on_call(refuse)
    run = world.answer()
    assert column(run, "status").count("error") == 110
    assert run.summary["failed_records"] == 110


@pytest.mark.parametrize(("rate", "fails"), [("0.5", True), ("0.51", False)])
def test_the_share_of_failed_records_decides(make_world: MakeWorld, rate: str, fails: bool) -> None:
    """A pipeline would go on with a table of errors, or lose its outputs."""
    behaviour = faults(1, 2, 3, 4, 5, code="ValidationException", message="Input is too long.")
    run = asking(behaviour, make_world, BEDROCK_MAX_ERROR_RATE=rate).run()
    assert isinstance(run.error, RunError) == fails
    assert column(run, "status").count("error") == 5, "the outputs are written first"
    if fails:
        assert f"BEDROCK_MAX_ERROR_RATE={rate}" in str(run.error)


# Order and interruption


def test_the_order_of_the_rows_does_not_depend_on_who_is_quick(make_world: MakeWorld) -> None:
    """A row would get the answer to another."""
    slow = threading.Event()

    def delay(call: CallInfo) -> None:
        if call.operation == ASK and call.when == "before" and call.operation_ordinal % 7 == 1:
            slow.wait(0.02)

    world = asking(small(), make_world, rows=60, BEDROCK_MAX_CONCURRENT_WORKERS="8")
    quick = world.answer()
    world.local.on_call(delay)
    run = world.answer(BEDROCK_BATCH_RESUME="false")
    assert [row["id"] for row in run.all_rows] == [row["id"] for row in world.inputs]
    same = [f"llm_{name}" for name in ("category", "confidence", "reason")]
    assert [[row[name] for name in same] for row in run.all_rows] == [
        [row[name] for name in same] for row in quick.all_rows
    ]


@pytest.mark.parametrize("mode", ["sequential", "concurrent"])
def test_what_was_answered_before_ctrl_c_is_kept(make_world: MakeWorld, mode: str) -> None:
    """Stopping a run would throw away what it has paid for."""
    stopped: list[int] = []

    def interrupt(call: CallInfo) -> None:
        if call.operation == ASK and call.when == "before" and call.operation_ordinal == 20 and not stopped:
            stopped.append(call.ordinal)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    world = asking(small(), make_world, rows=60, BEDROCK_CONCURRENCY_MODE=mode)
    world.local.on_call(interrupt)
    first = world.run()
    assert isinstance(first.error, KeyboardInterrupt)
    assert first.rows == {}
    asked = world.local.count(ASK)
    assert asked < 40
    run = world.answer()
    assert column(run, "status") == ["success"] * 60
    # The one request that Ctrl-C breaks off in sequential mode cannot be kept.
    assert sum(world.charges.values()) <= 60 + (mode == "sequential")
    assert world.local.count(ASK) <= 60 + (mode == "sequential")
