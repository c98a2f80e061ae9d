"""Equal prompts, answers that are asked for again, metadata columns, texts by reference: the same in both modes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.environment.context import RunContext
from bedrock_batch.errors import ConfigurationError
from helpers.batch_runs import BUCKET, SCHEMA, SYSTEM, TEMPLATE, StepRun, World, small
from helpers.table_files import write_table
from local_bedrock import LocalBedrock
from local_bedrock.behaviour import AnswerFaults
from local_bedrock.questions import Question

MakeWorld = Callable[..., World]
ANSWER = ("category", "confidence", "reason", "parse_status", "status", "error", "raw_response")
MODES = pytest.mark.parametrize("mode", ["realtime", "batch"])


def answers(run: StepRun) -> list[tuple[Any, ...]]:
    return [tuple(row[f"llm_{name}"] for name in ANSWER) for row in run.all_rows]


def column(run: StepRun, name: str) -> list[Any]:
    return [row[f"llm_{name}"] for row in run.all_rows]


# Equal prompts


def repeat(world: World) -> int:
    """Give the rows of all splits texts that recur within and across files; returns the number of different ones."""
    data = world.processing / "input" / "data"
    texts = [f"message {number % 11}" for number in range(60)]
    for name, start in (("train/a.csv", 0), ("train/b.csv", 15), ("val/c.tsv", 25), ("test/d.parquet", 40)):
        stop = {0: 15, 15: 25, 25: 40, 40: 60}[start]
        write_table(data / name, [{"id": f"{number:06d}", "text": texts[number]} for number in range(start, stop)])
    return len(set(texts))


@MODES
def test_equal_prompts_are_paid_once_and_answered_alike(make_world: MakeWorld, mode: str) -> None:
    """A user with many equal rows would pay for each of them, or get them answered differently."""
    environ = {"BEDROCK_BATCH_MODE": mode, "BEDROCK_MAX_RECORDS_PER_JOB": "6", "BEDROCK_ANSWER_REUSE": "false"}
    world = make_world(small(answers=AnswerFaults(invalid=0.2, refused=0.1)), **environ)
    distinct = repeat(world)
    each = world.answer()
    paid = world.local.charges
    shared = world.answer(BEDROCK_DEDUPLICATE_PROMPTS="true")
    assert sum((world.local.charges - paid).values()) == distinct
    assert answers(shared) == answers(each)
    assert [row["id"] for row in shared.all_rows] == [f"{number:06d}" for number in range(60)]
    assert shared.summary["shared_prompts"] == {"rows": 60, "distinct": distinct}
    assert column(shared, "attempts").count("1") == distinct
    assert column(shared, "attempts").count("0") == 60 - distinct
    tokens = [int(row["llm_input_tokens"]) for row in shared.all_rows]
    assert sum(tokens) == sum(
        shared.summary["tokens"].get(f"{source}_input_tokens", 0) for source in ("batch", "realtime")
    )
    assert sum(tokens) == sum(int(row["llm_input_tokens"]) for row in each.all_rows[:distinct])
    assert len(shared.jobs) == (2 if mode == "batch" else 0)


@MODES
def test_a_run_with_shared_answers_continues(make_world: MakeWorld, mode: str) -> None:
    """The second start would give rows the answers of others, or pay again."""
    world = make_world(small(), BEDROCK_BATCH_MODE=mode, BEDROCK_DEDUPLICATE_PROMPTS="true")
    repeat(world)
    first, second = world.answer(), world.answer()
    assert answers(second) == answers(first)
    assert set(world.local.charges.values()) == {1}


# Answers that did not validate


@MODES
def test_tokens_of_repeated_questions_are_counted_where_they_were_used(make_world: MakeWorld, mode: str) -> None:
    """The cost of a run would be told by the wrong price, or without the questions that were asked again."""
    behaviour = small(answers=AnswerFaults(invalid=1.0))
    world = make_world(behaviour, BEDROCK_BATCH_MODE=mode, BEDROCK_VALIDATION_RETRIES="2")
    run = world.answer()
    assert column(run, "parse_status") == ["validation_failed"] * 60
    assert column(run, "attempts") == ["3"] * 60
    assert set(world.charges.values()) == {3}
    tokens = run.summary["tokens"]
    for name in ("input_tokens", "output_tokens"):
        total = sum(int(row[f"llm_{name}"]) for row in run.all_rows)
        assert tokens.get(f"batch_{name}", 0) + tokens[f"realtime_{name}"] == total
        assert tokens.get(f"batch_{name}", 0) * 3 == (total if mode == "batch" else 0)
    salvage = run.summary["batch_job_info"]["salvaged"]["validation"]
    assert salvage["records"] == 60
    if mode == "batch":
        assert salvage["input_tokens"] == tokens["realtime_input_tokens"]


@MODES
def test_only_what_did_not_validate_is_asked_again(make_world: MakeWorld, mode: str) -> None:
    """Refusals and answers that were cut off would be paid for again, with the same end."""
    faults = AnswerFaults(invalid=0.2, truncated=0.2, refused=0.2, not_json=0.2)
    world = make_world(small(answers=faults), BEDROCK_BATCH_MODE=mode, BEDROCK_VALIDATION_RETRIES="1")
    run = world.answer()
    twice = {row["id"] for row in run.all_rows if row["llm_attempts"] == "2"}
    usable = {row["id"] for row in run.all_rows if row["llm_stop_reason"] == "end_turn"}
    failed = {row["id"] for row in run.all_rows if row["llm_parse_status"] != "success"}
    assert twice == usable & failed
    assert twice
    assert {row for row, count in world.charges.items() if count == 2} == twice


@MODES
def test_an_answer_that_gets_better_is_taken(make_world: MakeWorld, mode: str) -> None:
    """Asking again would never help."""
    asked: Counter[str] = Counter()

    def learn(_: str, question: Question) -> dict[str, Any]:
        asked[question.prompt] += 1
        right = asked[question.prompt] > 1
        return {"category": "praise" if right else "nothing of the kind", "confidence": 1}

    world = make_world(small(), BEDROCK_BATCH_MODE=mode, BEDROCK_VALIDATION_RETRIES="3")
    world.local.stop()
    world.local = LocalBedrock(small(), answers=learn, speed=4.0).start()
    world.local.create_bucket(BUCKET)
    run = world.answer()
    assert column(run, "parse_status") == ["success"] * 60
    assert column(run, "category") == ["praise"] * 60
    assert column(run, "attempts") == ["2"] * 60
    assert column(run, "source") == ["realtime"] * 60
    assert run.summary["batch_job_info"]["salvaged"]["validation"]["records"] == 60


# Metadata


@pytest.mark.parametrize("shown", ["true", "false"])
def test_metadata_columns_stand_behind_all_others(make_world: MakeWorld, shown: str) -> None:
    """A consumer of the table would find the columns in other places, or not at all."""
    run = make_world(
        small(), {"train/a.csv": 10}, BEDROCK_OUTPUT_METADATA=shown, BEDROCK_BATCH_MODE="realtime"
    ).answer()
    names = [name.removeprefix("llm_") for name in run.all_rows[0]]
    metadata = ["model_id", "input_tokens", "output_tokens", "stop_reason", "attempts", "source"]
    metadata += ["repair", "json_error"]
    assert names[-8:] == metadata if shown == "true" else not set(metadata) & set(names)


@pytest.mark.parametrize("mode", ["batch", "realtime"])
def test_the_reason_of_a_json_failure_is_a_column_of_the_metadata(make_world: MakeWorld, mode: str) -> None:
    """Answers that are no JSON could not be told by their reason from those that break the schema."""
    faults = AnswerFaults(not_json=0.2, invalid=0.2, truncated=0.1)
    rows = make_world(small(answers=faults), {"train/a.csv": 40}, BEDROCK_BATCH_MODE=mode).answer().all_rows
    assert {row["llm_parse_status"] for row in rows} == {"success", "validation_failed", "json_failed"}
    for row in rows:
        reason = row["llm_validation_error"] if row["llm_parse_status"] == "json_failed" else None
        assert row["llm_json_error"] == reason


# Texts by reference


def inside(world: World) -> Callable[[RunContext], RunContext]:
    return lambda context: replace(context, processing_dir=world.processing)


def test_template_and_schema_come_from_references(make_world: MakeWorld) -> None:
    """A user without the two input channels could not give anything longer than 256 characters."""
    world = make_world(small(), {"train/a.csv": 10}, BEDROCK_BATCH_MODE="realtime")
    channel = world.answer()
    for name in ("templates", "schema"):
        shutil.rmtree(world.processing / "input" / name)
    (world.processing / "input" / "data" / "prompt.txt").write_text(TEMPLATE, encoding="utf-8")
    world.local.client("s3").put_object(Bucket=BUCKET, Key="schema.json", Body=json.dumps(SCHEMA).encode())
    run = world.run(
        adapt=inside(world),
        BEDROCK_USER_PROMPT_TEMPLATE="file:input/data/prompt.txt",
        BEDROCK_SYSTEM_PROMPT=SYSTEM,
        BEDROCK_INPUT_PLACEHOLDERS='["text"]',
        BEDROCK_VALIDATION_SCHEMA=f"s3://{BUCKET}/schema.json",
    )
    assert run.error is None
    assert answers(run) == answers(channel)
    assert set(world.charges.values()) == {1}, "the same texts make the same run"


def test_references_that_lead_nowhere_are_all_told_before_anything_is_asked(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    """A file of the machine would be sent to a model; or the run would end at the first of several slips."""
    world = make_world(small(), {"train/a.csv": 10}, BEDROCK_BATCH_MODE="realtime")
    for name in ("templates", "schema"):
        shutil.rmtree(world.processing / "input" / name)
    run = world.run(
        adapt=inside(world),
        BEDROCK_USER_PROMPT_TEMPLATE="file:../../../secret.txt",
        BEDROCK_VALIDATION_SCHEMA=f"s3://{BUCKET}/absent.json",
    )
    assert isinstance(run.error, ConfigurationError)
    assert "BEDROCK_USER_PROMPT_TEMPLATE=file:../../../secret.txt" in str(run.error)
    assert f"BEDROCK_VALIDATION_SCHEMA=s3://{BUCKET}/absent.json" in str(run.error)
    assert world.local.count("InvokeModel") == 0


# The limit of tokens


def test_a_limit_that_is_far_too_high_is_told(make_world: MakeWorld) -> None:
    """A user who is throttled by his own BEDROCK_MAX_TOKENS could not see why."""
    world = make_world(small(), BEDROCK_BATCH_MODE="realtime", BEDROCK_MAX_TOKENS="32768")
    told = world.answer().summary["max_tokens"]
    assert told["max_tokens"] == 32768
    assert told["reserved_per_request"] > 32768
    assert "BEDROCK_MAX_TOKENS=256" in told["advice"]
    assert world.answer(BEDROCK_MAX_TOKENS="512").summary["max_tokens"]["advice"] is None
