"""`--plan` over HTTP: what it says is what the run then does, and it asks no model anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from batch_runs import NOVA, World, make_rows, write_table
from botocore_models import TOKEN_COUNTS

from bedrock_batch.container import container_paths
from bedrock_batch.errors import ConfigurationError
from bedrock_batch.plan.text import render_plan
from bedrock_batch.step import StepRequest, plan_step

ENTRY = Path(__file__).parents[2] / "src" / "bedrock_batch_processing.py"


def plan_of(world: World, *, show_rows: bool = False, **environ: str) -> dict[str, Any]:
    everything = {**world.environ, **world.local.environment, **environ}
    request = StepRequest(*container_paths(world.processing), everything, "training", processing_dir=world.processing)
    return plan_step(request, show_rows=show_rows)


@TOKEN_COUNTS
def test_the_plan_is_what_the_run_does(make_world: Callable[..., World]) -> None:
    """A user would decide on figures that the run does not keep."""
    world = make_world()
    plan = plan_of(world)
    assert {call.operation for call in world.local.calls} == {"CountTokens"}
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


def test_equal_prompts_are_planned_as_they_are_asked(make_world: Callable[..., World]) -> None:
    """A plan would show the cost of prompts that are not asked."""
    world = make_world(files={"train/a.csv": 20})
    path = world.processing / "input" / "data" / "train" / "a.csv"
    write_table(path, [*make_rows(20), *make_rows(20)])
    plan = plan_of(world, BEDROCK_DEDUPLICATE_PROMPTS="true")
    assert (plan["rows"], plan["estimate"]["records"]) == (40, 20)
    assert sum(job["records"] for job in plan["jobs"]) == 20
    assert any("20 of 40 prompts are identical" in problem for problem in plan_of(world)["problems"])


@TOKEN_COUNTS
def test_tokens_are_counted_where_the_model_counts(make_world: Callable[..., World]) -> None:
    """A plan would be a guess although the service would count for nothing."""
    method = plan_of(make_world())["estimate"]["method"]
    assert method.startswith("CountTokens on 12 prompts")


@TOKEN_COUNTS
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"BEDROCK_PRIMARY_MODEL_ID": NOVA}, "doesn't support counting tokens"),
        ({"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:9"}, "CountTokens is not to be had here (transient"),
    ],
    ids=["another-family", "no-connection"],
)
def test_without_counts_the_guess_says_its_error(
    make_world: Callable[..., World], settings: dict[str, str], reason: str
) -> None:
    """A plan would fail, or show a guess as a count."""
    plan = plan_of(make_world(), **settings)
    assert reason in plan["estimate"]["method"]
    assert plan["estimate"]["input_tokens"]["high"] == pytest.approx(
        2 * plan["estimate"]["input_tokens"]["low"], rel=0.1
    )


def test_a_model_without_a_price_is_planned_in_tokens(make_world: Callable[..., World]) -> None:
    """A user of a new model would get no plan at all, or a cost of nothing."""
    plan = plan_of(make_world(), BEDROCK_PRIMARY_MODEL_ID="new.model-v1:0")
    assert plan["cost"]["batch_usd"] is None
    assert any("no price is known for new.model-v1:0" in problem for problem in plan["problems"])
    assert "$" not in render_plan(plan)


def test_rows_are_shown_only_when_asked_for(make_world: Callable[..., World]) -> None:
    """The text of rows would end in a log, or a user could not see what is asked."""
    world = make_world()
    assert "message 0" not in json.dumps(plan_of(world))
    shown = plan_of(world, show_rows=True)
    assert shown["prompts"][0]["prompt"] == "Which category has this message? message 0: plain"
    assert "| Which category has this message? message 0: plain" in render_plan(shown)


def test_columns_and_cells_that_are_missing_are_found(make_world: Callable[..., World]) -> None:
    """A typo in a template would be noticed in the answers, after paying for them."""
    world = make_world(files={"train/a.csv": 20})
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


def test_a_wrong_configuration_is_told_as_a_whole(make_world: Callable[..., World]) -> None:
    """A user would correct one problem per start."""
    with pytest.raises(ConfigurationError) as error:
        plan_of(make_world(), BEDROCK_MAX_TOKENS="many", BEDROCK_TEMPERATURE="hot")
    assert len(error.value.problems) == 2


def test_a_cost_above_the_limit_is_told_and_not_refused(make_world: Callable[..., World]) -> None:
    """The command that explains the cost would be refused because of the cost."""
    plan = plan_of(make_world(), BEDROCK_MAX_COST_USD="0.0001")
    assert any("the run would be refused" in problem for problem in plan["problems"])


def test_the_command_prints_json_alone(make_world: Callable[..., World]) -> None:
    """A program could not read the plan from the standard output."""
    world = make_world(files={"train/a.csv": 20})
    environ = {**os.environ, **world.environ, **world.local.environment}
    command = [sys.executable, str(ENTRY), "--job_type", "training", "--processing-dir", str(world.processing)]
    done = subprocess.run([*command, "--plan", "--json"], env=environ, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["rows"] == 20
    done = subprocess.run([*command, "--json"], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, "belongs to --plan" in done.stderr) == (2, True)
