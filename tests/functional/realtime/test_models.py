"""Every current model through every mode, with the specification's defaults, where AWS's own rules are kept."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bedrock_batch.aws.clients import ClientFactory, supports
from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor
from bedrock_batch.environment.context import RunContext, make_clients
from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.families import FAMILIES, capabilities_of
from helpers.batch_runs import BUCKET, ROLE, SCHEMA, FastTime, World, small
from helpers.botocore_models import INFERENCE_PROFILES
from local_bedrock import Behaviour, CallFault, LocalBedrock
from local_bedrock.behaviour import RecordFaults
from local_bedrock.journal import CallInfo

ROWS = 6

# Every id of a current model (docs/models.md), as it is called: by a profile where the bare id has no throughput.
MODELS = (
    "us.anthropic.claude-sonnet-4-20250514-v1:0",
    "us.anthropic.claude-opus-4-1-20250805-v1:0",
    "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
    "jp.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "global.anthropic.claude-opus-4-5-20251101-v1:0",
    "us.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-opus-4-6-v1",
    "us.anthropic.claude-opus-4-7",
    "us.anthropic.claude-opus-4-8",
    "us.anthropic.claude-sonnet-5",
    "us.anthropic.claude-sonnet-5-5",
    "us.anthropic.claude-haiku-5-5",
    "us.anthropic.claude-opus-5",
    "us.anthropic.claude-opus-5-5",
    "us.anthropic.claude-fable-5",
    "us.anthropic.claude-fable-5-1",
    "us.anthropic.claude-mythos-5-1",
    "amazon.nova-micro-v1:0",
    "amazon.nova-lite-v1:0",
    "us.amazon.nova-pro-v1:0",
    "us.amazon.nova-premier-v1:0",
    "us.amazon.nova-2-lite-v1:0",
    "us.meta.llama3-1-8b-instruct-v1:0",
    "us.meta.llama3-3-70b-instruct-v1:0",
    "us.meta.llama4-maverick-17b-instruct-v1:0",
    "us.meta.llama4-scout-17b-instruct-v1:0",
    "mistral.mistral-large-3-675b-instruct",
    "mistral.ministral-3-8b-instruct",
    "us.deepseek.r1-v1:0",
    "deepseek.v3-v1:0",
    "deepseek.v3.2",
    "openai.gpt-oss-20b-1:0",
    "openai.gpt-oss-120b-1:0",
    "openai.gpt-5-mini",
    "openai.gpt-6",
    "xai.grok-4-fast",
    "qwen.qwen3-32b-v1:0",
    "qwen.qwen3-235b-a22b-2507-v1:0",
    "qwen.qwen3-coder-30b-a3b-v1:0",
)


@pytest.fixture(scope="module")
def local() -> Iterator[LocalBedrock]:
    """A service for all tests of the module: each asks with a system prompt of its own."""
    with LocalBedrock(small(), answers=SCHEMA, speed=4.0) as server:
        server.create_bucket(BUCKET)
        yield server


@cache
def _clients(_: str, environment: tuple[tuple[str, str], ...]) -> ClientFactory:
    """Clients for one service: to build them takes longer than a run."""
    return make_clients(settings_from_mapping({"primary_model_id": "a.b"}), dict(environment))


def make_processor(local: LocalBedrock, model_id: str, mode: str, **more: Any) -> BedrockBatchProcessor:
    """A processor with the specification's defaults for everything that goes into a body."""
    config = {
        "primary_model_id": model_id,
        "user_prompt_template": "Which category has this message? {text}",
        "system_prompt": "Answer with JSON.",
        "validation_schema": json.dumps(SCHEMA),
        "batch_mode": mode,
        "batch_role_arn": ROLE,
        "batch_input_s3_path": f"s3://{BUCKET}/input",
        "batch_output_s3_path": f"s3://{BUCKET}/output",
        "min_records_per_job": 5,
        "canary_records": 0,
        "rate_limit_per_second": 1000,
        "output_metadata": True,
        "batch_resume": False,
        "batch_lease_seconds": 3000,  # on the fast clock the default would be over while the ledger is written once
        **more,
    }
    settings = settings_from_mapping(config)
    fast = FastTime()
    context = RunContext(
        _clients(local.endpoint_url, tuple(local.environment.items())), clock=fast.clock, sleep=fast.sleep
    )
    return BedrockBatchProcessor(settings, context)


def frame(name: str) -> pd.DataFrame:
    return pd.DataFrame({"text": [f"{name} {number}" for number in range(ROWS)]})


def answers(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows without what tells how they were answered."""
    told = [f"llm_{name}" for name in ("source", "attempts", "input_tokens", "output_tokens", "stop_reason")]
    return table.drop(columns=told).astype(object).where(table.notna(), None).to_dict("records")


def is_held_back_by_the_sdk(local: LocalBedrock, processor: BedrockBatchProcessor) -> bool:
    """Whether the installed botocore cannot create jobs of Converse records, and the run said so."""
    if processor.model_input.api == "invoke_model" or supports(
        local.client("bedrock"), "CreateModelInvocationJob", "modelInvocationType"
    ):
        return False
    assert processor.decision is not None
    return any("needs botocore 1.42.59" in reason for reason in processor.decision.reasons)


def run_both(local: LocalBedrock, model_id: str, **more: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The answers of one model in both modes; no body may have been refused on the way."""
    rows = frame(f"{model_id} {sorted(more.items())}")
    found = []
    for mode in ("realtime", "batch"):
        before = local.charges
        processor = make_processor(local, model_id, mode, **more)
        table = processor.process_batch(rows)
        assert table["llm_parse_status"].tolist() == ["success"] * ROWS, table["llm_error"].tolist()
        assert processor.primary_model.refusals == []
        assert sum((local.charges - before).values()) == ROWS
        if mode == "batch":
            assert processor.jobs or is_held_back_by_the_sdk(local, processor), "batch was not even tried"
        found.append(answers(table))
    return found[0], found[1]


@pytest.mark.parametrize("model_id", MODELS)
def test_the_defaults_run_on_every_model_in_both_modes(local: LocalBedrock, model_id: str) -> None:
    """A user of this model would see every record refused, or another table in batch than in real time."""
    realtime, batch = run_both(local, model_id)
    assert realtime == batch


def test_every_family_is_among_the_models() -> None:
    """A family that is added to the table would be run by nobody."""
    run = {capabilities_of(model_id).family for model_id in MODELS}
    # Retired models, and the row for models that the table does not know.
    assert {row.accepts.family for row in FAMILIES} - run == {
        "claude-3",
        "claude-3-5",
        "claude-opus-4",
        "claude",
        "mistral",
    }


@pytest.mark.parametrize("mode", ["batch", "realtime"])
@pytest.mark.parametrize("model_id", ["openai.gpt-5-mini", "xai.grok-4-fast"])
def test_a_model_that_refuses_a_field_is_asked_without_it(local: LocalBedrock, model_id: str, mode: str) -> None:
    """Every row would fail on each model that is newer than the table."""
    processor = make_processor(local, model_id, mode, model_capabilities={"sampling": "both"})
    table = processor.process_batch(frame(f"{model_id} {mode}"))
    assert table["llm_parse_status"].tolist() == ["success"] * ROWS, table["llm_error"].tolist()
    assert len(processor.primary_model.refusals) == 1
    assert "temperature field" in processor.primary_model.refusals[0]
    if mode == "batch" and not is_held_back_by_the_sdk(local, processor):
        assert set(table["llm_source"]) == {"batch"}


CONVERSE = [model_id for model_id in MODELS if "anthropic" in model_id][::3]


@pytest.mark.parametrize("model_id", CONVERSE)
def test_claude_answers_through_converse_too(local: LocalBedrock, model_id: str) -> None:
    """A user who asks for one API over all models would be refused by some of them."""
    realtime, batch = run_both(local, model_id, api="converse")
    assert realtime == batch


HAIKU_45 = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


@pytest.mark.parametrize(
    ("model_id", "output_mode"),
    [
        *((HAIKU_45, output_mode) for output_mode in ("json_schema", "tool", "prefill", "prompt")),
        *(("amazon.nova-lite-v1:0", output_mode) for output_mode in ("tool", "prefill", "prompt")),
    ],
)
def test_every_output_mode_that_a_model_accepts_gives_the_same_table(
    local: LocalBedrock, model_id: str, output_mode: str
) -> None:
    """The choice of the structure would change the answers' columns."""
    realtime, batch = run_both(local, model_id, structured_output=output_mode)
    assert realtime == batch


# What a wrong table does: the refusals that a run meets, and the output mode on which it ends.
WRONG = [
    ("us.anthropic.claude-opus-4-8", {"json_schema": True, "prefill": True}, 2, "tool"),
    ("us.anthropic.claude-sonnet-5-5", {"family": "claude-4-5"}, 3, "prompt"),
    ("us.anthropic.claude-sonnet-4-6", {"sampling": "both"}, 1, "json_schema"),
    ("us.amazon.nova-lite-v1:0", {"max_output_tokens": None}, 1, "prefill"),
    ("us.meta.llama3-3-70b-instruct-v1:0", {"prefill": True}, 1, "prompt"),
]


@pytest.mark.parametrize("mode", ["realtime", "batch"])
@pytest.mark.parametrize(("model_id", "overrides", "refusals", "output_mode"), WRONG)
def test_a_table_that_is_wrong_costs_a_refusal_and_no_row(
    local: LocalBedrock, model_id: str, overrides: dict[str, Any], refusals: int, output_mode: str, mode: str
) -> None:
    """A model that changed what it accepts would fail every row until somebody changes the table."""
    processor = make_processor(
        local, model_id, mode, model_capabilities=json.dumps(overrides), concurrency_mode="concurrent"
    )
    before = local.charges
    table = processor.process_batch(frame(f"wrong {mode} {model_id}"))
    assert table["llm_parse_status"].tolist() == ["success"] * ROWS
    assert (len(processor.primary_model.refusals), processor.model_input.output_mode) == (refusals, output_mode)
    assert sum((local.charges - before).values()) == ROWS
    can_batch = "5-5" not in model_id and not (mode == "batch" and is_held_back_by_the_sdk(local, processor))
    assert set(table["llm_source"]) == {"batch" if mode == "batch" and can_batch else "realtime"}
    if mode == "batch" and can_batch:
        assert len(processor.jobs) == refusals + 1, "each change of the request is a job of its own"


def test_a_run_that_was_sent_again_continues_without_paying_twice(tmp_path: Path) -> None:
    """A start after a kill would pay for the answers of the second job again."""
    world = World(
        tmp_path,
        small(),
        {"train/a.csv": 20},
        BEDROCK_PRIMARY_MODEL_ID="us.anthropic.claude-opus-4-8",
        BEDROCK_MODEL_CAPABILITIES='{"json_schema": true}',
    )
    try:
        first = world.answer()
        second = world.answer()
        assert second.all_rows == first.all_rows
        assert set(world.charges.values()) == {1}
        assert len(world.local.jobs) == 2
        assert first.summary["model"]["structured_output"] == "tool"
        assert len(first.summary["model"]["refusals"]) == 1
    finally:
        world.close()


def test_a_run_that_is_stopped_while_it_is_sent_again_continues(tmp_path: Path) -> None:
    """A kill between the two jobs of the same records would pay for them twice, or lose them."""
    stopped: list[int] = []

    def interrupt(call: CallInfo) -> None:
        again = call.operation == "CreateModelInvocationJob" and call.operation_ordinal == 2
        if again and call.when == "after" and not stopped:
            stopped.append(call.ordinal)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    world = World(
        tmp_path,
        small(),
        {"train/a.csv": 21},  # not the run of the test before: servers of one process share their buckets
        BEDROCK_PRIMARY_MODEL_ID="us.anthropic.claude-opus-4-8",
        BEDROCK_MAX_RECORDS_PER_JOB="30",
        BEDROCK_MODEL_CAPABILITIES='{"json_schema": true}',
    )
    world.local.on_call(interrupt)
    try:
        assert isinstance(world.run().error, KeyboardInterrupt)
        run = world.answer()
        assert [row["llm_parse_status"] for row in run.all_rows] == ["success"] * 21
        assert set(world.charges.values()) == {1}
        assert len(world.local.jobs) == 2
    finally:
        world.close()


def test_a_job_that_is_refused_in_part_is_not_sent_again(tmp_path: Path) -> None:
    """A few odd records would take the structured output from all the others, and pay for these twice."""
    text = "This model does not support assistant message prefill. The conversation must end with a user message."
    behaviour = small(records=RecordFaults(error=0.3, error_message=text))
    world = World(tmp_path, behaviour, {"train/a.csv": 40})
    try:
        run = world.answer()
        failed = [row for row in run.all_rows if row["llm_status"] == "error"]
        assert 0 < len(failed) < 40
        assert {row["llm_error"] for row in failed} == {text}
        assert run.summary["model"]["refusals"] == []
        assert set(world.charges.values()) == {1}
    finally:
        world.close()


@pytest.mark.parametrize("retryable", [False, True])
def test_an_odd_record_does_not_hide_what_a_job_was_refused_for(tmp_path: Path, retryable: bool) -> None:
    """One record that is too long would leave all the others of its job without an answer."""
    faults = RecordFaults(error=0.5, error_message="an odd record", error_retryable=retryable)
    world = World(
        tmp_path,
        small(records=faults),
        {"train/a.csv": 40},
        BEDROCK_PRIMARY_MODEL_ID="us.anthropic.claude-opus-4-8",
        BEDROCK_MODEL_CAPABILITIES='{"sampling": "both"}',
    )
    try:
        run = world.answer()
        failed = [row for row in run.all_rows if row["llm_status"] == "error"]
        assert len(failed) < 40
        assert {row["llm_error"] for row in failed} <= {"an odd record"}
        assert len(run.summary["model"]["refusals"]) == 1
    finally:
        world.close()


PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/team1"


@pytest.fixture(scope="module")
def profiled() -> Iterator[LocalBedrock]:
    """A service with an application profile of a model that takes neither a prefill nor any sampling parameter."""
    behaviour: Behaviour = replace(small(), application_profiles={"team1": "us.anthropic.claude-opus-4-8"})
    with LocalBedrock(behaviour, answers=SCHEMA, speed=4.0) as server:
        server.create_bucket(BUCKET)
        yield server


@INFERENCE_PROFILES
@pytest.mark.parametrize("mode", ["realtime", "batch"])
def test_an_application_profile_is_asked_as_the_model_behind_it(profiled: LocalBedrock, mode: str) -> None:
    """A user with profiles for cost allocation would be refused, since the ARN does not say which model it is."""
    processor = make_processor(profiled, PROFILE, mode)
    table = processor.process_batch(frame("by profile"))
    assert table["llm_parse_status"].tolist() == ["success"] * ROWS
    assert processor.primary_model.capabilities.family == "claude-opus-4-8"
    assert (processor.model_input.model_id, processor.primary_model.refusals) == (PROFILE, [])


@pytest.mark.parametrize(
    "more",
    [
        {"primary_model_id": "anthropic.claude-opus-4-8", "inference_profile_arn": PROFILE},
        {"primary_model_id": PROFILE, "model_capabilities": '{"family": "claude-opus-4-8"}'},
    ],
    ids=["profile setting", "family setting"],
)
def test_a_setting_tells_what_is_behind_a_profile(profiled: LocalBedrock, more: dict[str, str]) -> None:
    """A role without GetInferenceProfile could not use application profiles."""
    processor = make_processor(profiled, more["primary_model_id"], "realtime", **more)
    assert processor.process_batch(frame("told"))["llm_parse_status"].tolist() == ["success"] * ROWS
    assert "GetInferenceProfile" not in {call.operation for call in profiled.calls[-ROWS - 2 :]}


@INFERENCE_PROFILES
def test_a_role_that_may_not_look_a_profile_up_is_told_what_to_set(caplog: pytest.LogCaptureFixture) -> None:
    """A user would only see that the answers got worse."""
    behaviour = small(application_profiles={"team1": "us.anthropic.claude-opus-4-8"})
    denied = CallFault("GetInferenceProfile", code="AccessDeniedException", message="not authorized", status=403)
    with LocalBedrock(replace(behaviour, calls=(denied,)), answers=SCHEMA) as server:
        processor = make_processor(server, PROFILE, "realtime")
        assert processor.model_input.output_mode == "prompt"
    assert "BEDROCK_MODEL_CAPABILITIES" in caplog.text
    assert "bedrock:GetInferenceProfile" in caplog.text


def test_a_profile_that_cannot_be_looked_up_is_asked_carefully(local: LocalBedrock) -> None:
    """A profile of which nothing can be learned would end the run."""
    processor = make_processor(local, PROFILE, "realtime")
    assert processor.model_input.output_mode == "prompt"
    assert processor.model_input.api == "converse"
