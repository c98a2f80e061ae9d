"""A sample before the run: what it asks, how its outputs are named, and what the full run pays for after it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bedrock_batch.commands.plan.build import plan_step
from bedrock_batch.commands.plan.text import render_plan
from bedrock_batch.commands.preparation import StepRequest
from bedrock_batch.environment.container.paths import container_paths
from helpers.batch_runs import World, sent_ids
from helpers.run_checks import check_complete, check_paid_once

Reference = dict[str, tuple[Any, ...]]


def outputs(world: World) -> dict[str, Path]:
    """The files of all output folders by name."""
    return {path.name: path for path in (world.processing / "output").rglob("*.*") if path.is_file()}


def test_the_full_run_pays_only_for_what_the_sample_has_not_asked(
    make_world: Callable[..., World], reference: Reference
) -> None:
    """A user who looks at a sample first would pay for its rows again, or take its outputs for those of the run."""
    world = make_world()
    sample = world.answer(BEDROCK_SAMPLE_RECORDS="13")
    assert world.local.jobs == [], "a sample does not wait for a job"
    assert [len(sample.rows[split]) for split in ("train", "val", "test")] == [5, 4, 4]
    assert sum(world.charges.values()) == len(world.realtime_ids) == 13
    assert sample.summary["sample"] == {"records": 13, "of_records": 60, "way": "hash"}
    assert (
        "a sample is asked in real time unless BEDROCK_BATCH_MODE=batch" in sample.summary["batch_job_info"]["decision"]
    )
    made = outputs(world)
    assert all("sample" in name for name in made), made.keys()
    (report,) = (path for name, path in made.items() if name.startswith("processing_sample_report_training_"))
    assert "a sample of 13 of 60 records" in report.read_text(encoding="utf-8")
    (summary,) = (path for name, path in made.items() if name.startswith("processing_sample_summary_training_"))
    assert json.loads(summary.read_text(encoding="utf-8"))["total_records"] == 13
    for path in made.values():
        path.unlink()

    run = world.answer()
    assert not any("sample" in name for name in outputs(world))
    assert sum(len(sent_ids(world, job)) for job in world.local.jobs) == 47
    assert run.summary["sample"] is None
    assert run.summary["reused_records"] == 13
    check_complete(run, reference)
    check_paid_once(run)


def test_a_forced_batch_sends_the_sample_in_a_job(make_world: Callable[..., World]) -> None:
    """A user could not try the jobs themselves on few rows."""
    world = make_world(files={"train/a.csv": 40, "val/b.tsv": 3}, BEDROCK_BATCH_MODE="batch")
    run = world.answer(BEDROCK_LIMIT_RECORDS="10")
    (job,) = world.local.jobs
    assert len(sent_ids(world, job)) == 10
    assert [row["id"] for row in run.all_rows] == [f"{number:06d}" for number in (*range(7), 40, 41, 42)]


def test_the_plan_of_a_sample_is_that_of_its_rows(make_world: Callable[..., World]) -> None:
    """A user would see the cost of the whole run for a look at ten rows."""
    world = make_world()
    environ = {**world.environ, **world.local.environment}
    paths = container_paths(world.processing)
    plan = plan_step(StepRequest(*paths, environ, "training", sample_records=10, processing_dir=world.processing))
    assert (plan["rows"], plan["mode"]["mode"], plan["estimate"]["records"]) == (10, "realtime", 10)
    assert "Data: 10 rows, a sample of 60" in render_plan(plan)
    rows = [prompt["row"] for prompt in plan["prompts"]]
    assert all(1 <= row <= 25 for row in rows)
