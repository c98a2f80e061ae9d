"""`--plan` over HTTP: the run does what the plan says, and the plan asks no model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.commands.plan.build import plan_step
from bedrock_batch.commands.plan.text import render_plan
from bedrock_batch.commands.preparation import StepRequest
from bedrock_batch.environment.container.paths import container_paths
from bedrock_batch.errors import ConfigurationError
from helpers.batch_runs import BUCKET, NOVA, World, small
from helpers.botocore_models import TOKEN_COUNTS
from helpers.table_files import make_rows, write_table
from local_bedrock.behaviour import CallFault

ENTRY = Path(__file__).parents[3] / "src" / "bedrock_batch_processing.py"


def plan_of(world: World, *, show_rows: bool = False, **environ: str) -> dict[str, Any]:
    everything = {**world.environ, **world.local.environment, **environ}
    request = StepRequest(*container_paths(world.processing), everything, "training", processing_dir=world.processing)
    return plan_step(request, show_rows=show_rows)


@TOKEN_COUNTS
def test_the_plan_is_what_the_run_does(make_world: Callable[..., World]) -> None:
    """A user would decide on figures that differ from those of the run."""
    world = make_world()
    plan = plan_of(world)
    assert {call.operation for call in world.local.calls} == {
        "CountTokens",
        "GetFoundationModel",
        "ListModelInvocationJobs",
        "S3.ListObjectsV2",
    }
    assert plan["rows"] == len(world.inputs)
    assert plan["mode"]["mode"] == "batch"
    assert [split["split"] for split in plan["splits"]] == ["train", "val", "test"]
    assert not (world.processing / "output").exists()
    assert not (world.processing / ".bedrock-batch").exists()
    run = world.answer()
    jobs = [(job["records"], job["bytes"]) for job in sorted(run.jobs, key=lambda job: job["name"])]
    assert [(job["records"], job["bytes"]) for job in plan["jobs"]] == jobs
    usage = run.summary["cost"]["usage"][0]
    assert plan["estimate"]["input_tokens"]["low"] <= usage["input_tokens"] <= plan["estimate"]["input_tokens"]["high"]
    assert plan["cost"]["batch_usd"]["likely"] == pytest.approx(plan["cost"]["realtime_usd"]["likely"] / 2, rel=1e-3)


def test_the_plan_shows_full_and_equal_jobs(make_world: Callable[..., World]) -> None:
    """A user could not see that most slots stay empty, or would plan with other jobs than those of the run."""
    world = make_world()
    full, even = plan_of(world), plan_of(world, BEDROCK_BATCH_SPREAD="even")
    unknown = {"low": 600, "high": 24 * 3600}  # no past job
    assert full["spread"] == {
        "seconds": {"full": unknown, "even": unknown},
        "chosen": "full",
        "full": {"jobs": 3, "jobs_at_a_time": 3, "most_records": 20},
        "even": {"jobs": 12, "jobs_at_a_time": 12, "most_records": 5},
    }
    assert even["spread"] == {**full["spread"], "chosen": "even"}
    assert [job["records"] for job in even["jobs"]] == [5] * 12
    text = render_plan(even)
    assert "BEDROCK_BATCH_SPREAD=full: 3 jobs of at most 20 records, 3 at a time" in text
    assert "BEDROCK_BATCH_SPREAD=even (as set): 12 jobs of at most 5 records, 12 at a time" in text


def test_the_time_of_jobs_is_what_past_jobs_show(make_world: Callable[..., World]) -> None:
    """A user would read "10 minutes to 24 hours", although the account knows better."""
    world = make_world(BEDROCK_MAX_RECORDS_PER_JOB="5")
    before = plan_of(world)["time"]
    assert (before["past_jobs"], before["batch_seconds"]["high"]) == (0, 24 * 3600)
    assert "a forecast needs 9 past jobs of this model (there are 0)" in before["note"]
    world.answer()
    plan = plan_of(world, BEDROCK_ANSWER_REUSE="false", BEDROCK_MAX_RECORDS_PER_JOB="20")
    assert plan["time"]["past_jobs"] == 12
    seconds = plan["time"]["batch_seconds"]
    assert 0 <= seconds["low"] <= seconds["likely"] <= seconds["high"] < 600
    text = render_plan(plan)
    assert "what 12 past jobs of this model show, with a chance of 80 %" in " ".join(text.split())
    other = plan_of(world, BEDROCK_ANSWER_REUSE="false", BEDROCK_PRIMARY_MODEL_ID=NOVA)
    assert other["time"]["past_jobs"] == 0


def test_a_plan_without_a_list_of_jobs_says_so(make_world: Callable[..., World]) -> None:
    """A user without the permission would get no plan."""
    denied = CallFault("ListModelInvocationJobs", code="AccessDeniedException", status=403)
    world = make_world(small(calls=(denied,)))
    assert "past jobs cannot be listed" in plan_of(world)["time"]["note"]


def test_equal_prompts_are_planned_as_they_are_asked(make_world: Callable[..., World]) -> None:
    """The plan would include the cost of prompts that are not asked."""
    world = make_world(files={"train/a.csv": 20})
    path = world.processing / "input" / "data" / "train" / "a.csv"
    write_table(path, [*make_rows(20), *make_rows(20)])
    plan = plan_of(world, BEDROCK_DEDUPLICATE_PROMPTS="true")
    assert (plan["rows"], plan["estimate"]["records"]) == (40, 20)
    assert sum(job["records"] for job in plan["jobs"]) == 20
    assert any("20 of 40 prompts are identical" in problem for problem in plan_of(world)["problems"])


REALTIME = {"BEDROCK_BATCH_MODE": "realtime"}


@pytest.mark.parametrize("more", [{}, {"BEDROCK_DEDUPLICATE_PROMPTS": "true"}], ids=["each-row", "each-prompt"])
def test_answered_rows_are_not_planned_again(make_world: Callable[..., World], more: dict[str, str]) -> None:
    """A user who has appended rows would see the cost of all rows, and a mode that the run does not choose."""
    world = make_world(files={"train/a.csv": 20}, **more)
    world.answer(**REALTIME)
    path = world.processing / "input" / "data" / "train" / "a.csv"
    write_table(path, [*make_rows(20), *make_rows(5, 7), *make_rows(12, 100), *make_rows(3, 100)])
    plan = plan_of(world)
    run = world.answer()
    reused = run.summary["reused_records"]
    assert reused == (25 if more else 20)
    assert plan["answer_store"]["reused_records"] == reused
    assert plan["answer_store"]["location"].startswith(world.environ["BEDROCK_ANSWERS_S3_PATH"])
    asked = sum(job["records"] for job in run.jobs)
    assert asked == (12 if more else 20)
    assert plan["estimate"]["records"] == plan["answer_store"]["asked_records"] == asked
    assert plan["mode"]["mode"] == "batch"
    assert sum(job["records"] for job in plan["jobs"]) == asked
    assert f"answered already: {reused} rows" in render_plan(plan)


def test_the_mode_counts_the_rows_that_are_asked(make_world: Callable[..., World]) -> None:
    """A user would plan for batch prices although too few rows are left for batch inference."""
    world = make_world(files={"train/a.csv": 20})
    world.answer(**REALTIME)
    path = world.processing / "input" / "data" / "train" / "a.csv"
    write_table(path, make_rows(22))
    plan = plan_of(world)
    assert plan["mode"]["mode"] == "realtime"
    assert plan["mode"]["reasons"] == world.answer().summary["batch_job_info"]["decision"]
    assert any("2 records reach" in condition["condition"] for condition in plan["mode"]["conditions"])
    plan = plan_of(world)
    assert (plan["mode"]["mode"], plan["jobs"], plan["estimate"]["records"]) == ("none", [], 0)
    assert plan["cost"]["realtime_usd"]["high"] == 0
    assert "nothing is asked" in render_plan(plan)


@pytest.mark.parametrize(
    "more", [{"BEDROCK_ANSWER_REUSE": "false"}, {"BEDROCK_BATCH_RESUME": "false"}], ids=lambda more: next(iter(more))
)
def test_the_plan_takes_no_answers_that_the_run_does_not_take(
    make_world: Callable[..., World], more: dict[str, str]
) -> None:
    """A user who asks for fresh answers would see a cost of zero and pay for all rows."""
    world = make_world(files={"train/a.csv": 20})
    world.answer(**REALTIME)
    plan = plan_of(world, **more)
    assert (plan["answer_store"], plan["estimate"]["records"]) == (None, 20)
    assert "answered already" not in render_plan(plan)


def test_answers_without_s3_are_planned_from_the_state_folder(make_world: Callable[..., World]) -> None:
    """A user on a laptop would see the cost of all rows."""
    names = ("BEDROCK_ANSWERS_S3_PATH", "BEDROCK_BATCH_INPUT_S3_PATH", "BEDROCK_BATCH_OUTPUT_S3_PATH")
    world = make_world(files={"train/a.csv": 20}, **REALTIME, **dict.fromkeys(names, ""))
    world.answer()
    assert plan_of(world)["answer_store"]["reused_records"] == 20


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, "the answer store cannot be used"),
        ({"BEDROCK_ANSWERS_S3_PATH": "s3://no-such-bucket/answers"}, "bucket"),
        ({}, "it is damaged"),
    ],
    ids=["no-connection", "no-bucket", "damaged"],
)
def test_a_store_that_cannot_be_read_is_a_problem_of_the_plan(
    make_world: Callable[..., World], settings: dict[str, str], reason: str
) -> None:
    """The plan would fail, or be silent about what ends the run."""
    world = make_world(files={"train/a.csv": 20})
    world.answer(**REALTIME)
    client, prefix = world.local.client("s3"), world.environ["BEDROCK_ANSWERS_S3_PATH"].removeprefix(f"s3://{BUCKET}/")
    (item,) = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    client.put_object(Bucket=BUCKET, Key=item["Key"], Body=b"damaged")
    plan = plan_of(world, **settings)
    assert (plan["answer_store"], plan["estimate"]["records"]) == (None, 20)
    (problem,) = [each for each in plan["problems"] if "without the answers of earlier runs" in each]
    assert reason in problem


@TOKEN_COUNTS
def test_tokens_are_counted_where_the_model_counts(make_world: Callable[..., World]) -> None:
    """The plan would be a guess although the service counts tokens free of charge."""
    method = plan_of(make_world())["estimate"]["method"]
    assert method.startswith("CountTokens on 12 prompts")


@TOKEN_COUNTS
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"BEDROCK_PRIMARY_MODEL_ID": NOVA}, "doesn't support counting tokens"),
        ({"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:9"}, "CountTokens is not available (transient"),
    ],
    ids=["another-family", "no-connection"],
)
def test_without_counts_the_estimate_states_its_error(
    make_world: Callable[..., World], settings: dict[str, str], reason: str
) -> None:
    """The plan would fail, or present an estimate as a count."""
    plan = plan_of(make_world(), **settings)
    assert reason in plan["estimate"]["method"]
    assert plan["estimate"]["input_tokens"]["high"] == pytest.approx(
        2 * plan["estimate"]["input_tokens"]["low"], rel=0.1
    )


def test_a_model_without_a_price_is_planned_in_tokens(make_world: Callable[..., World]) -> None:
    """A user of a new model would get no plan, or a cost of zero."""
    plan = plan_of(make_world(), BEDROCK_PRIMARY_MODEL_ID="new.model-v1:0")
    assert plan["cost"]["batch_usd"] is None
    assert any("no price is known for new.model-v1:0" in problem for problem in plan["problems"])
    assert "$" not in render_plan(plan)


def test_rows_are_shown_only_when_asked_for(make_world: Callable[..., World]) -> None:
    """The text of rows would end up in a log, or a user could not see the prompts."""
    world = make_world()
    assert "message 0" not in json.dumps(plan_of(world))
    shown = plan_of(world, show_rows=True)
    assert shown["prompts"][0]["prompt"] == "Which category has this message? message 0: plain"
    assert "| Which category has this message? message 0: plain" in render_plan(shown)


def test_columns_and_cells_that_are_missing_are_found(make_world: Callable[..., World]) -> None:
    """A user would notice a typo in a template only in the answers, after paying for them."""
    world = make_world(files={"train/a.csv": 20})
    prompts = {"user_prompt_template": "Message {id}: {text}", "input_placeholders": ["id", "text"]}
    (world.processing / "input" / "templates" / "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")
    write_table(
        world.processing / "input" / "data" / "train" / "b.csv", [{"id": "1", "texts": "x"}, {"id": "2", "texts": ""}]
    )
    write_table(world.processing / "input" / "data" / "train" / "c.csv", [*make_rows(1), {"id": "3", "text": ""}])
    plan = plan_of(world, BEDROCK_MAX_INPUT_FIELD_LENGTH="12")
    problems = "\n".join(plan["problems"])
    assert "b.csv has no column 'text': its prompts read [Missing: text]; did you mean 'texts'?" in problems
    assert "column 'text' is empty in 1 of 24 rows" in problems
    assert "BEDROCK_MAX_INPUT_FIELD_LENGTH=12 characters, which is cut" in problems
    assert plan["prompts"][-1]["truncated_fields"] == ["text"]


def test_all_problems_of_a_configuration_are_reported(make_world: Callable[..., World]) -> None:
    """A user would have to start the step once for each problem."""
    with pytest.raises(ConfigurationError) as error:
        plan_of(make_world(), BEDROCK_MAX_TOKENS="many", BEDROCK_TEMPERATURE="hot")
    assert len(error.value.problems) == 2


def test_a_cost_above_the_limit_is_reported_and_not_refused(make_world: Callable[..., World]) -> None:
    """The plan, which explains the cost, would fail because of the cost."""
    plan = plan_of(make_world(), BEDROCK_MAX_COST_USD="0.0001")
    assert any("the run would be refused" in problem for problem in plan["problems"])


def test_the_command_prints_json_alone(make_world: Callable[..., World]) -> None:
    """A program could not parse the plan on the standard output."""
    world = make_world(files={"train/a.csv": 20})
    environ = {**os.environ, **world.environ, **world.local.environment}
    command = [sys.executable, str(ENTRY), "--job_type", "training", "--processing-dir", str(world.processing)]
    done = subprocess.run([*command, "--plan", "--json"], env=environ, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["rows"] == 20
    done = subprocess.run([*command, "--json"], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, "belongs to --plan" in done.stderr) == (2, True)


MODES = [
    {},
    {"BEDROCK_BATCH_MODE": "batch"},
    {"BEDROCK_BATCH_MODE": "realtime"},
    {"BEDROCK_BATCH_THRESHOLD": "61"},
    {"BEDROCK_BATCH_THRESHOLD": "60"},
    {"BEDROCK_BATCH_ROLE_ARN": ""},
    {"BEDROCK_BATCH_INPUT_S3_PATH": ""},
    {"BEDROCK_BATCH_OUTPUT_S3_PATH": "", "BEDROCK_BATCH_MODE": "batch"},
    {"BEDROCK_MIN_RECORDS_PER_JOB": "61", "BEDROCK_MAX_RECORDS_PER_JOB": "100"},
    {"BEDROCK_PRIMARY_MODEL_ID": NOVA},
    {"BEDROCK_MODEL_CAPABILITIES": '{"batch": false}'},
    {"BEDROCK_MODEL_CAPABILITIES": '{"batch": false}', "BEDROCK_BATCH_MODE": "batch"},
    {"BEDROCK_DEDUPLICATE_PROMPTS": "true"},
]


@pytest.mark.parametrize("settings", MODES, ids=str)
def test_plan_and_run_choose_one_mode(make_world: Callable[..., World], settings: dict[str, str]) -> None:
    """A user would plan for the batch price and pay the on-demand price."""
    world = make_world()
    planned = plan_of(world, **settings)["mode"]
    run = world.answer(**settings)
    used = "batch" if run.summary["batch_processing_used"] else "realtime"
    assert planned["mode"] == used
    assert planned["reasons"] == run.summary["batch_job_info"]["decision"]
    assert all(condition["met"] for condition in planned["conditions"]) == (used == "batch")


def test_what_local_sets_is_not_shown_as_set_by_the_user(make_world: Callable[..., World]) -> None:
    """A user would believe that a role is set, and find out on AWS that it is not."""
    world = make_world()
    environ = {
        name: value
        for name, value in world.environ.items()
        if name not in ("BEDROCK_BATCH_ROLE_ARN", "BEDROCK_BATCH_INPUT_S3_PATH", "BEDROCK_BATCH_OUTPUT_S3_PATH")
    }
    command = [sys.executable, str(ENTRY), "--job_type", "training", "--processing-dir", str(world.processing)]
    done = subprocess.run(
        [*command, "--local", "--plan", "--json"], env={**os.environ, **environ}, capture_output=True, check=True
    )
    conditions = [condition["condition"] for condition in json.loads(done.stdout)["mode"]["conditions"]]
    assert sum("set by --local" in condition for condition in conditions) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BEDROCK_BATCH_INPUT_S3_PATH", "nonsense"),
        ("BEDROCK_BATCH_OUTPUT_S3_PATH", "s3://UPPER_CASE/x"),
        ("BEDROCK_BATCH_ROLE_ARN", "bad"),
        ("AWS_DEFAULT_REGION", "mars"),
    ],
)
def test_a_bad_setting_under_local_is_one_message(make_world: Callable[..., World], name: str, value: str) -> None:
    """A typo would end in a traceback."""
    world = make_world()
    command = [sys.executable, str(ENTRY), "--job_type", "training", "--processing-dir", str(world.processing)]
    environ = {**os.environ, **world.environ, name: value}
    done = subprocess.run([*command, "--local"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert name in done.stderr
    assert value in done.stderr
    assert "Traceback" not in done.stderr


def test_the_plan_shows_what_a_prompt_cache_saves(make_world: Callable[..., World]) -> None:
    """A user would not learn that a long beginning of the prompts costs a tenth in real time."""
    world = make_world(BEDROCK_PRIMARY_MODEL_ID="us.anthropic.claude-sonnet-4-6", BEDROCK_BATCH_MODE="realtime")
    short = plan_of(world)
    assert short["prompt_caching"]["saved_usd"] is None
    assert "the model needs 1024" in short["prompt_caching"]["reason"]
    place = world.processing / "input" / "templates" / "prompts.json"
    prompts = json.loads(place.read_text(encoding="utf-8"))
    prompts["user_prompt_template"] = "Read this with care. " * 280 + "{text}"
    place.write_text(json.dumps(prompts), encoding="utf-8")
    plan = plan_of(world)
    shared = plan["prompt_caching"]["shared_tokens"]
    assert plan["prompt_caching"]["saved_usd"] == pytest.approx(shared * (59 * 2.97 - 0.825) / 1e6, rel=1e-3)
    assert "saved by cache" in render_plan(plan)
    run = world.answer()
    assert run.summary["prompt_caching"]["saved_usd"] == pytest.approx(plan["prompt_caching"]["saved_usd"], rel=0.2)
