"""Answers outlive runs: what has been paid for once is never paid for again, whatever changes around the question."""

from __future__ import annotations

import csv
import io
import json
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from helpers.batch_runs import BUCKET, SCHEMA, StepRun, World, small
from helpers.table_files import make_rows, write_table
from local_bedrock import AnswerFaults
from local_bedrock.journal import CallInfo

MakeWorld = Callable[..., World]
ROWS = {"train/a.csv": 30, "val/b.csv": 15}
STORE = {"BEDROCK_ANSWERS_S3_PATH": ""}  # the store lies where it lies by default
REALTIME = {"BEDROCK_BATCH_MODE": "realtime"}


def data(world: World) -> Path:
    return world.processing / "input" / "data"


def charged(world: World, **environ: str) -> tuple[int, StepRun]:
    """Run the step and return how many answers were charged for it."""
    before = world.local.charges.total()
    run = world.answer(**environ)
    return world.local.charges.total() - before, run


def write_schema(world: World, change: Mapping[str, Any], **more: Any) -> None:
    (path,) = (world.processing / "input" / "schema").glob("*.json")
    schema = {**SCHEMA, "properties": {**SCHEMA["properties"], **change}, **more}
    path.write_text(json.dumps(schema), encoding="utf-8")


def answers(run: StepRun) -> dict[str, tuple[Any, ...]]:
    return {row["id"]: tuple(row[f"llm_{name}"] for name in ("category", "reason", "status")) for row in run.all_rows}


@pytest.mark.parametrize("mode", ["batch", "realtime"])
def test_only_new_questions_are_charged(make_world: MakeWorld, mode: str) -> None:
    """ML engineers loosen schemas, append rows and rename files all day, and would pay for every row each time."""
    world = make_world(files=ROWS, BEDROCK_BATCH_MODE=mode)
    paid, first = charged(world)
    assert paid == 45
    assert charged(world)[0] == 0
    write_schema(world, {"reason": {"type": "string", "maxLength": 5000}})
    paid, loosened = charged(world)
    assert paid == 0
    assert answers(loosened) == answers(first)
    write_table(data(world) / "val" / "new.csv", make_rows(12, 45))
    paid, appended = charged(world)
    assert paid == 12
    assert {key: answers(appended)[key] for key in answers(first)} == answers(first)
    (data(world) / "train" / "a.csv").rename(data(world) / "train" / "renamed.csv")
    assert charged(world)[0] == 0
    rows = list(csv.DictReader(io.StringIO((data(world) / "train" / "renamed.csv").read_text(encoding="utf-8"))))
    fewer = [{name: row[name] for name in ("id", "text")} for row in reversed(rows)]
    write_table(data(world) / "train" / "renamed.csv", fewer)
    paid, reordered = charged(world)
    assert paid == 0
    assert answers(reordered) == answers(appended)
    assert {row["llm_source"] for row in reordered.all_rows} == {"store"}
    assert reordered.summary["reused_records"] == 57
    assert reordered.summary["cost"]["total_usd"] == 0


def test_real_time_and_batch_share_their_answers(make_world: MakeWorld) -> None:
    """A trial in real time would be paid for again by the batch run behind it, and the other way round."""
    world = make_world(files=ROWS)
    assert charged(world, **REALTIME)[0] == 45
    assert charged(world)[0] == 0
    other = make_world(files={"train/c.csv": 60})
    paid, batch = charged(other)
    assert (paid, len(batch.jobs)) == (60, 3)
    assert charged(other, **REALTIME)[0] == 0


def test_a_profile_of_another_region_asks_the_same_model(make_world: MakeWorld) -> None:
    """Moving a pipeline to another region would pay for everything again."""
    world = make_world(files=ROWS, **REALTIME)
    assert charged(world)[0] == 45
    assert charged(world, BEDROCK_PRIMARY_MODEL_ID="eu.anthropic.claude-sonnet-4-20250514-v1:0")[0] == 0
    assert charged(world, BEDROCK_PRIMARY_MODEL_ID="us.anthropic.claude-3-7-sonnet-20250219-v1:0")[0] == 45


def test_only_answers_that_were_cut_off_are_asked_again_under_a_higher_limit(make_world: MakeWorld) -> None:
    """Raising the limit for a few long answers would pay for all the others again."""
    world = make_world(small(answers=AnswerFaults(truncated=0.2)), files=ROWS, **REALTIME)
    _, first = charged(world)
    cut = sum(row["llm_stop_reason"] == "max_tokens" for row in first.all_rows)
    assert 0 < cut < 45
    assert charged(world, BEDROCK_MAX_TOKENS="1024")[0] == cut


def test_a_changed_question_is_asked(make_world: MakeWorld) -> None:
    """A new template, system prompt or temperature would get the answers to the old one."""
    world = make_world(files=ROWS, **REALTIME)
    charged(world)
    assert charged(world, BEDROCK_TEMPERATURE="0.5")[0] == 45
    prompts = world.processing / "input" / "templates" / "prompts.json"
    template = json.loads(prompts.read_text(encoding="utf-8"))
    prompts.write_text(json.dumps({**template, "system_prompt": "Answer with JSON, briefly."}), encoding="utf-8")
    assert charged(world)[0] == 45
    prompts.write_text(json.dumps({**template, "user_prompt_template": "Judge {text}"}), encoding="utf-8")
    assert charged(world)[0] == 45


def test_old_answers_and_all_answers_can_be_refused(make_world: MakeWorld) -> None:
    """People who must not reuse answers would get them, or a fresh answer would not replace the old one."""
    world = make_world(files=ROWS, **REALTIME)
    assert charged(world)[0] == 45
    write_schema(world, {"reason": {"type": "string", "maxLength": 5000}})
    assert charged(world, BEDROCK_ANSWER_REUSE="false")[0] == 45
    write_schema(world, {"reason": {"type": "string", "maxLength": 4000}})
    assert charged(world, BEDROCK_ANSWER_MAX_AGE_DAYS="0.000001")[0] == 45
    assert charged(world, BEDROCK_BATCH_RESUME="false")[0] == 45
    write_schema(world, {"reason": {"type": "string", "maxLength": 3000}})
    assert charged(world)[0] == 0


def test_an_answer_that_does_not_validate_is_kept_and_validates_later(make_world: MakeWorld) -> None:
    """Loosening a schema after `validation_failed` would pay for every row again."""
    world = make_world(files=ROWS, **REALTIME)
    write_schema(world, {"reason": {"type": "string", "maxLength": 1}})
    _, strict = charged(world)
    failed = [row["id"] for row in strict.all_rows if row["llm_parse_status"] == "validation_failed"]
    assert failed
    write_schema(world, {})
    paid, loose = charged(world)
    assert paid == 0
    assert {row["llm_parse_status"] for row in loose.all_rows} == {"success"}


def test_validation_retries_of_an_earlier_run_count(make_world: MakeWorld) -> None:
    """Each run would ask hopeless rows again, as often as the settings allow."""
    world = make_world(small(answers=AnswerFaults(invalid=0.3)), files=ROWS, **REALTIME)
    retries = {"BEDROCK_VALIDATION_RETRIES": "2"}
    _, first = charged(world, **retries)
    write_schema(world, {}, description="the same, said otherwise")
    write_table(data(world) / "val" / "new.csv", make_rows(1, 500))
    world.inputs += make_rows(1, 500)
    paid, second = charged(world, **retries)
    assert paid <= 3
    kept = answers(first)
    assert {key: answers(second)[key] for key in kept} == kept


def test_a_run_that_is_started_again_keeps_its_retries_once(make_world: MakeWorld) -> None:
    """The store would grow with each start of a run that is finished."""
    world = make_world(small(answers=AnswerFaults(invalid=0.3)), files=ROWS, **REALTIME)
    retries = {"BEDROCK_VALIDATION_RETRIES": "2"}
    charged(world, **retries)
    prefix = world.environ["BEDROCK_ANSWERS_S3_PATH"].removeprefix(f"s3://{BUCKET}/")
    kept = world.local.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)["KeyCount"]
    assert charged(world, **retries)[0] == 0
    assert world.local.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)["KeyCount"] == kept


def test_retries_are_asked_for_stored_answers_that_do_not_validate(make_world: MakeWorld) -> None:
    """A run with retries would take a failed answer from the store and leave it at that."""
    world = make_world(files=ROWS, **REALTIME)
    write_schema(world, {})
    charged(world)
    write_schema(world, {"reason": {"type": "string", "maxLength": 1}})
    paid, run = charged(world, BEDROCK_VALIDATION_RETRIES="1")
    asked = [row for row in run.all_rows if row["llm_source"] == "realtime"]
    assert paid == len(asked) > 0


def test_an_interrupted_run_keeps_its_numbers(make_world: MakeWorld) -> None:
    """A run that took answers from the store would attach its jobs to the wrong rows after a kill."""
    world = make_world(files={"train/a.csv": 60})
    charged(world, BEDROCK_MAX_RECORDS_PER_JOB="20")
    rows = [row for number in range(60) for row in (make_rows(1, number)[0], make_rows(1, 100 + number)[0])]
    write_table(data(world) / "train" / "a.csv", rows)
    world.inputs = rows

    interrupted: list[int] = []

    def interrupt(call: CallInfo) -> None:
        if call.operation == "GetModelInvocationJob" and call.when == "after" and not interrupted:
            interrupted.append(call.ordinal)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    world.local.on_call(interrupt)
    jobs = len(world.local.jobs)
    before = world.local.charges.total()
    assert isinstance(world.run().error, KeyboardInterrupt)
    run = world.answer()
    assert world.local.charges.total() - before == 60
    assert len(world.local.jobs) - jobs == 3
    assert [row["id"] for row in run.all_rows] == [row["id"] for row in rows]
    assert {row["llm_status"] for row in run.all_rows} == {"success"}
    assert [row["llm_source"] for row in run.all_rows] == ["store", "batch"] * 60
    fresh = world.answer(BEDROCK_BATCH_RESUME="false")
    assert answers(fresh) == answers(run)


def interrupt_after(world: World, requests: int) -> None:
    """Interrupt the step once, after this many real-time requests from now on."""
    last = world.local.count("InvokeModel") + requests
    interrupted: list[int] = []

    def interrupt(call: CallInfo) -> None:
        if call.operation == "InvokeModel" and call.when == "after" and call.ordinal >= last and not interrupted:
            interrupted.append(call.ordinal)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    world.local.on_call(interrupt)


def with_known_rows_between(world: World, count: int) -> None:
    """Let the store know `count` rows, and put an unknown row behind each."""
    charged(world)
    rows = [row for number in range(count) for row in (make_rows(1, number)[0], make_rows(1, 100 + number)[0])]
    write_table(data(world) / "train" / "a.csv", rows)
    world.inputs = rows


def empty_store(world: World) -> None:
    client = world.local.client("s3")
    prefix = world.environ["BEDROCK_ANSWERS_S3_PATH"].removeprefix(f"s3://{BUCKET}/")
    for item in client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]:
        client.delete_object(Bucket=BUCKET, Key=item["Key"])


def test_a_run_that_goes_on_without_the_store_keeps_its_numbers(make_world: MakeWorld) -> None:
    """After a kill, 17 of 120 rows had the answer of another row and the exit code was 0."""
    world = make_world(files={"train/a.csv": 40}, **REALTIME)
    with_known_rows_between(world, 40)
    interrupt_after(world, 20)
    assert isinstance(world.run().error, KeyboardInterrupt)
    run = world.answer(BEDROCK_ANSWER_REUSE="false")
    assert answers(run) == answers(world.answer(BEDROCK_BATCH_RESUME="false"))
    assert {row["llm_source"] for row in run.all_rows} == {"realtime"}


def test_what_a_refused_start_would_have_taken_decides_nothing(make_world: MakeWorld) -> None:
    """A run whose first start was refused for its cost would give rows the answers of others after a kill."""
    world = make_world(files={"train/a.csv": 40}, **REALTIME)
    with_known_rows_between(world, 40)
    assert "BEDROCK_MAX_COST_USD" in str(world.run(BEDROCK_MAX_COST_USD="0.000001").error)
    empty_store(world)
    interrupt_after(world, 20)
    assert isinstance(world.run().error, KeyboardInterrupt)
    assert answers(world.answer()) == answers(world.answer(BEDROCK_BATCH_RESUME="false"))


def test_a_lost_file_of_taken_answers_ends_the_run(make_world: MakeWorld) -> None:
    """A life-cycle rule that deletes a file beside the ledger would give rows the answers of others."""
    world = make_world(files={"train/a.csv": 40}, **REALTIME)
    with_known_rows_between(world, 40)
    interrupt_after(world, 20)
    assert isinstance(world.run().error, KeyboardInterrupt)
    client = world.local.client("s3")
    listed = client.list_objects_v2(Bucket=BUCKET)["Contents"]
    keys = [item["Key"] for item in listed if "/taken-" in item["Key"]]
    assert keys
    for key in keys:
        client.delete_object(Bucket=BUCKET, Key=key)
    assert "is damaged (it is missing)" in str(world.run().error)


def test_answers_that_vanish_in_between_are_asked_again(make_world: MakeWorld) -> None:
    """Somebody who empties the store while a run goes on would end it, or leave rows without an answer."""
    world = make_world(files={"train/a.csv": 20}, **REALTIME)
    charged(world)
    rows = make_rows(40, 0)
    write_table(data(world) / "train" / "a.csv", rows)
    paid, _ = charged(world)
    assert paid == 20
    empty_store(world)
    paid, run = charged(world)
    assert paid == 20
    assert {row["llm_status"] for row in run.all_rows} == {"success"}
    assert run.logged("answer_store=lost answers=20")


def test_refused_fields_do_not_hide_the_answers(make_world: MakeWorld) -> None:
    """A run whose model refuses a field would pay again at each change, or get answers to other requests."""
    more = {**REALTIME, "BEDROCK_PRIMARY_MODEL_ID": "us.anthropic.claude-opus-4-8"}
    world = make_world(files=ROWS, BEDROCK_MODEL_CAPABILITIES='{"prefill": true}', **more)
    paid, first = charged(world)
    assert paid == 45
    assert first.summary["model"]["refusals"]
    assert charged(world, BEDROCK_MAX_TOKENS="600")[0] == 0
    write_schema(world, {"reason": {"type": "string", "maxLength": 5000}})  # in the tool's schema, which is asked now
    assert charged(world)[0] == 45


def test_the_store_lies_below_the_input_path_and_holds_no_prompt(make_world: MakeWorld) -> None:
    """Users could not find, share or delete what is kept of them."""
    world = make_world(files=ROWS, **STORE)
    charged(world)
    client = world.local.client("s3")
    keys = [
        item["Key"]
        for item in client.list_objects_v2(Bucket=BUCKET, Prefix="input/answers/anthropic.claude-sonnet-4-")["Contents"]
    ]
    assert keys
    for key in keys:
        content = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        assert b"Which category" not in content
        table = pq.read_table(io.BytesIO(content))
        assert not any(b"Which category" in body for body in table["body"].to_pylist())


def test_a_damaged_segment_ends_the_run_before_anything_is_paid_for(make_world: MakeWorld) -> None:
    """A damaged store would be paid around in silence."""
    world = make_world(files=ROWS, **REALTIME)
    charged(world)
    client = world.local.client("s3")
    prefix = world.environ["BEDROCK_ANSWERS_S3_PATH"].removeprefix(f"s3://{BUCKET}/")
    (item,) = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    client.put_object(Bucket=BUCKET, Key=item["Key"], Body=b"damaged")
    write_schema(world, {}, description="another run")
    before = world.local.charges.total()
    failed = world.run()
    assert item["Key"].rsplit("/", 1)[-1] in str(failed.error)
    assert world.local.charges.total() == before
    assert charged(world, BEDROCK_ANSWER_REUSE="false")[0] == 45


def test_runs_without_s3_keep_their_answers_in_the_state_folder(make_world: MakeWorld) -> None:
    """Users on a laptop would pay again where users with a bucket do not."""
    names = ("BEDROCK_ANSWERS_S3_PATH", "BEDROCK_BATCH_INPUT_S3_PATH", "BEDROCK_BATCH_OUTPUT_S3_PATH")
    world = make_world(files=ROWS, **REALTIME, **dict.fromkeys(names, ""))
    assert charged(world)[0] == 45
    write_schema(world, {}, description="another run")
    assert charged(world)[0] == 0
    files = list((world.processing / ".bedrock-batch" / "answers").rglob("*.parquet"))
    assert files
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_equal_prompts_get_answers_of_their_own(make_world: MakeWorld) -> None:
    """A run that samples one prompt ten times would get one answer ten times, or pay again."""
    world = make_world(files={"train/a.csv": 10}, **REALTIME)
    rows = [{**row, "text": "the same"} for row in make_rows(10, 0)]
    write_table(data(world) / "train" / "a.csv", rows)
    assert charged(world)[0] == 10
    write_table(data(world) / "train" / "a.csv", [*rows, *({**row, "text": "the same"} for row in make_rows(5, 10))])
    assert charged(world)[0] == 5
    assert charged(world, BEDROCK_DEDUPLICATE_PROMPTS="true")[0] == 0


def test_shared_prompts_are_spread_over_the_rows(make_world: MakeWorld) -> None:
    """Rows would get the answers of others where deduplication and the store meet."""
    world = make_world(files={"train/a.csv": 30}, BEDROCK_DEDUPLICATE_PROMPTS="true", **REALTIME)
    rows = [{**row, "text": f"text {int(row['id']) % 7}"} for row in make_rows(30, 0)]
    write_table(data(world) / "train" / "a.csv", rows)
    paid, first = charged(world)
    assert paid == 7
    more = [{**row, "text": f"text {int(row['id']) % 11}"} for row in make_rows(40, 0)]
    write_table(data(world) / "train" / "a.csv", more)
    paid, second = charged(world)
    assert paid == 4
    by_text = {row["text"]: row["llm_reason"] for row in first.all_rows}
    assert len(second.all_rows) == 40
    assert all(by_text.get(row["text"], row["llm_reason"]) == row["llm_reason"] for row in second.all_rows)
