"""The canary: some records of a batch run are asked in real time before anything is uploaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bedrock_batch.errors import ConfigurationError, RunError
from helpers.batch_runs import World, jobs_in_order, sent_lines, small
from helpers.run_checks import check_complete, check_paid_once
from local_bedrock import AnswerFaults, CallFault

Reference = dict[str, tuple[Any, ...]]
CREATE, INVOKE = "CreateModelInvocationJob", "InvokeModel"
CANARY = {"BEDROCK_CANARY_RECORDS": "6"}


def test_a_batch_run_asks_its_canary_first_and_each_record_once(
    make_world: Callable[..., World], reference: Reference
) -> None:
    """Records would be paid for in the canary and again in a job, or be missing from the outputs."""
    world = make_world(**CANARY)
    run = world.answer()
    assert len(world.realtime_ids) == 6
    assert {row[:4] for row in world.realtime_ids} == {"0000"}
    assert sum(len(sent_lines(world, job)) for job in world.local.jobs) == 54
    assert run.logged("canary=passed valid=6 of=6")
    assert run.summary["batch_job_info"]["canary"] == {"records": 6, "answered": 6, "valid": 6}
    assert run.summary["cost"]["estimate"]["method"].startswith("measured on 6 records of this run")
    low, high = (run.summary["cost"]["estimate"]["usd"]["batch"][name] for name in ("low", "high"))
    assert low <= run.summary["cost"]["all_on_demand_usd"] / 2 <= high
    check_complete(run, reference)
    check_paid_once(run)


@pytest.mark.parametrize("more", [{"BEDROCK_DEDUPLICATE_PROMPTS": "true"}, {"BEDROCK_ANSWER_REUSE": "false"}, {}])
def test_the_jobs_hold_what_the_largest_canary_leaves(
    make_world: Callable[..., World], reference: Reference, more: dict[str, str]
) -> None:
    """Records between and behind those of the jobs would be lost, or a job would be too small."""
    world = make_world(BEDROCK_CANARY_RECORDS="1000", **more)
    for _ in range(2):
        run = world.answer()
        check_complete(run, reference)
        check_paid_once(run)
    (job,) = world.local.jobs
    assert len(sent_lines(world, job)) == 5
    assert len(world.realtime_ids) == 55


def test_a_new_start_does_not_ask_the_canary_again(make_world: Callable[..., World], reference: Reference) -> None:
    """A run that is continued would pay for its canary again, or make other jobs than those that exist."""
    world = make_world(**CANARY)
    world.answer()
    jobs = len(world.local.jobs)
    for changed in ({}, {"BEDROCK_CANARY_RECORDS": "0"}, {"BEDROCK_CANARY_RECORDS": "20"}):
        run = world.answer(**changed)
        check_complete(run, reference)
        check_paid_once(run)
    assert len(world.local.jobs) == jobs


def test_a_run_that_does_not_wait_has_its_canary_when_it_is_collected(
    make_world: Callable[..., World], reference: Reference
) -> None:
    """The records of the canary would be missing from the outputs, or the second start would end over them."""
    world = make_world(BEDROCK_CANARY_RECORDS="40", BEDROCK_BATCH_WAIT="false")
    world.local.hold_jobs()
    assert world.answer().summary["state"] == "submitted"
    assert world.answer().summary["state"] == "submitted"
    assert len(world.realtime_ids) == 40
    world.local.release_jobs()
    run = world.answer(BEDROCK_BATCH_WAIT="true")
    assert run.summary["state"] == "finished"
    check_complete(run, reference)
    check_paid_once(run)


def test_a_canary_of_invalid_answers_uploads_nothing(make_world: Callable[..., World], reference: Reference) -> None:
    """A user would pay for a day of answers that no schema accepts, or not learn what is wrong with them."""
    world = make_world(small(answers=AnswerFaults(not_json=1.0)), **CANARY)
    run = world.run()
    assert isinstance(run.error, RunError)
    assert not isinstance(run.error, ConfigurationError)
    message = str(run.error)
    assert "the canary asked 6 of 60 records in real time, and 0 of the answers are valid" in message
    assert "fewer than BEDROCK_CANARY_MIN_VALID=0.8 allows: nothing was uploaded" in message
    assert "json_failed=6, such as train/a.csv row " in message
    assert "BEDROCK_STRUCTURED_OUTPUT" in message
    assert "message " not in message.replace("its message", ""), "no text of a row"
    assert len(message.encode()) < 1024
    assert world.local.jobs == []
    assert world.local.count(CREATE) == 0
    charged = sum(world.charges.values())
    assert charged == 6
    world.answer(BEDROCK_CANARY_MIN_VALID="0")
    assert sum(world.charges.values()) == 60, "the canary is not paid for again"


def test_answers_that_do_not_validate_are_asked_again(make_world: Callable[..., World]) -> None:
    """The records of the canary would be the only ones without validation retries."""
    world = make_world(small(answers=AnswerFaults(invalid=0.3)), BEDROCK_CANARY_RECORDS="30")
    run = world.answer(BEDROCK_VALIDATION_RETRIES="1", BEDROCK_CANARY_MIN_VALID="0.3")
    charges = world.charges
    invalid = {row["id"] for row in run.all_rows if row["llm_parse_status"] == "validation_failed"}
    assert len(invalid) > 10
    assert all(charges[row_id] == (2 if row_id in invalid else 1) for row_id in charges), "the answers stay the same"


@pytest.mark.parametrize(
    ("behaviour", "environ", "line"),
    [
        pytest.param(
            small(calls=(CallFault(INVOKE, code="AccessDeniedException", message="not authorized to invoke"),)),
            {},
            "canary=skipped: the model cannot be asked in real time, and the jobs are begun without it",
            id="refused",
        ),
        pytest.param(
            small(calls=(CallFault(INVOKE, code="ServiceUnavailableException"),)),
            {"BEDROCK_MAX_RETRIES": "1"},
            "canary=skipped: no answer came in real time (transient=1)",
            id="out of order",
        ),
        pytest.param(
            small(),
            {"BEDROCK_MODEL_CAPABILITIES": '{"realtime": false}'},
            "canary=skipped: BEDROCK_MODEL_CAPABILITIES says that the model has no real time",
            id="known",
        ),
        pytest.param(
            small(),
            {"BEDROCK_MIN_RECORDS_PER_JOB": "60", "BEDROCK_MAX_RECORDS_PER_JOB": "60"},
            "canary=skipped: a job needs all 60 records",
            id="no record to spare",
        ),
    ],
)
def test_a_canary_that_cannot_be_asked_is_skipped(
    make_world: Callable[..., World], reference: Reference, behaviour: Any, environ: dict[str, str], line: str
) -> None:
    """A batch run would fail because its role may not ask in real time, which it does not need to."""
    world = make_world(behaviour, **CANARY, **environ)
    run = world.answer()
    assert run.logged(line)
    assert world.realtime_ids == set()
    assert run.summary["cost"]["estimate"]["method"].startswith("from the length")
    check_complete(run, reference)
    check_paid_once(run)


def test_what_the_model_refuses_in_the_canary_is_left_out_of_the_jobs(
    make_world: Callable[..., World], reference: Reference
) -> None:
    """A whole job would wait for hours to be refused, or a new start would make other jobs than those that exist."""
    message = "This model does not support assistant message prefill."
    world = make_world(small(calls=(CallFault(INVOKE, (1,), "ValidationException", message),)), **CANARY)
    run = world.answer()
    assert run.logged("refused: ")
    assert run.summary["model"]["structured_output"] != "prefill"
    bodies = [line["modelInput"] for job in jobs_in_order(world) for line in sent_lines(world, job)]
    assert all(body["messages"][-1]["role"] == "user" for body in bodies), "no prefill"
    jobs = len(world.local.jobs)
    for again in (run, world.answer()):
        assert len(world.local.jobs) == jobs
        assert [row["id"] for row in again.all_rows] == [row["id"] for row in world.inputs]
        check_paid_once(again)


def test_the_measured_cost_is_held_to_the_limit(make_world: Callable[..., World]) -> None:
    """A run whose answers are longer than the schema lets expect would be begun, and stop half way at its limit."""
    long = {"type": "object", "properties": {"essay": {"type": "string", "minLength": 4000}}, "required": ["essay"]}
    world = make_world(schema=long, BEDROCK_MAX_TOKENS="4096", **CANARY)
    run = world.run(BEDROCK_MAX_COST_USD="0.1")
    assert isinstance(run.error, ConfigurationError)
    assert "which is above BEDROCK_MAX_COST_USD=0.1" in str(run.error)
    assert run.logged("estimated_cost=$0.0"), "by the guess, the run fits"
    assert world.local.count(INVOKE) == 6
    assert world.local.jobs == []


def test_the_default_asks_twenty_records(make_world: Callable[..., World], reference: Reference) -> None:
    """Nobody would have a canary who does not know of it."""
    world = make_world(BEDROCK_CANARY_RECORDS="")
    run = world.answer()
    assert len(world.realtime_ids) == 20
    assert run.logged("canary=passed valid=20 of=20")
    check_complete(run, reference)
    check_paid_once(run)
