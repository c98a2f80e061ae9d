"""`--forget` over HTTP and on disk: it lists first, deletes what is named, and later runs pay for that alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from bedrock_batch.commands.forget import forget_step, render_forgotten
from bedrock_batch.commands.preparation import StepRequest
from bedrock_batch.environment.container.paths import container_paths
from bedrock_batch.errors import RunError
from helpers.batch_runs import BUCKET, World, small
from helpers.step_command import run_process, step_command, step_environ
from helpers.table_files import make_rows, write_table
from local_bedrock import CallFault

MakeWorld = Callable[..., World]
FILES = {"train/a.csv": 20}
REALTIME = {"BEDROCK_BATCH_MODE": "realtime"}
MODEL = "anthropic.claude-sonnet-4-20250514-v1:0"
OTHER = "us.anthropic.claude-3-7-sonnet-20250219-v1:0"
NO_S3 = dict.fromkeys(("BEDROCK_ANSWERS_S3_PATH", "BEDROCK_BATCH_INPUT_S3_PATH", "BEDROCK_BATCH_OUTPUT_S3_PATH"), "")


def forget(world: World, target: str, *, confirmed: bool = True, **environ: str) -> dict[str, Any]:
    everything = {**world.environ, **world.local.environment, **environ}
    request = StepRequest(*container_paths(world.processing), everything, "training", processing_dir=world.processing)
    return forget_step(request, target, confirmed=confirmed)


def append(world: World, start: int, stop: int) -> None:
    """Replace the rows, which makes a new run."""
    path = world.processing / "input" / "data" / "train" / "a.csv"
    world.inputs = make_rows(stop - start, start)
    write_table(path, world.inputs)


def charged(world: World, **environ: str) -> int:
    before = world.local.charges.total()
    world.answer(**environ)
    return world.local.charges.total() - before


def counts(report: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {each["model"]: (each["answers"], each["rewritten_files"]) for each in report["models"]}


@pytest.mark.parametrize("place", [{}, NO_S3], ids=["s3", "folder"])
def test_nothing_is_deleted_before_it_is_confirmed(make_world: MakeWorld, place: dict[str, str]) -> None:
    """A user who wants to look would lose what was paid for, or could not delete it."""
    world = make_world(files=FILES, **REALTIME, **place)
    assert charged(world) == 20
    listed = forget(world, "all", confirmed=False)
    assert counts(listed) == {MODEL: (20, 0)}
    assert "add --yes" in render_forgotten(listed)
    append(world, 0, 25)
    assert charged(world) == 5
    assert counts(forget(world, "all", BEDROCK_ANSWER_REUSE="false")) == {MODEL: (25, 0)}
    assert forget(world, "all")["models"] == []
    append(world, 0, 26)
    assert charged(world) == 26


def test_one_model_is_forgotten(make_world: MakeWorld) -> None:
    """A user would lose the answers of all models, or could not name the model as the settings do."""
    world = make_world(files=FILES, **REALTIME)
    charged(world)
    assert charged(world, BEDROCK_PRIMARY_MODEL_ID=OTHER) == 20
    assert "none. The store has answers of" in render_forgotten(forget(world, "anthropic.unknown-v1:0"))
    assert counts(forget(world, OTHER)) == {OTHER.removeprefix("us."): (20, 0)}
    append(world, 0, 21)
    assert charged(world) == 1
    assert charged(world, BEDROCK_PRIMARY_MODEL_ID=OTHER) == 21


@pytest.mark.parametrize("place", [{}, NO_S3], ids=["s3", "folder"])
def test_one_run_is_forgotten(make_world: MakeWorld, place: dict[str, str]) -> None:
    """A user who must remove the answers of one data set would have to remove, and pay for, all others."""
    world = make_world(files=FILES, **REALTIME, **place)
    charged(world)
    append(world, 10, 35)
    run = world.answer()
    report = forget(world, run.summary["run_id"])
    assert counts(report) == {MODEL: (15, 0)}
    append(world, 0, 36)
    assert charged(world) == 16


def test_a_refused_deletion_says_what_to_allow(make_world: MakeWorld) -> None:
    """A user would believe that answers are gone, or not know which right is missing."""
    world = make_world(small(calls=(CallFault("S3.DeleteObject", code="AccessDenied"),)), files=FILES, **REALTIME)
    charged(world)
    with pytest.raises(RunError, match="s3:DeleteObject"):
        forget(world, "all")
    assert counts(forget(world, "all", confirmed=False)) == {MODEL: (20, 0)}


def test_foreign_files_are_named_and_stay(make_world: MakeWorld) -> None:
    """A user would lose files of others that lie there by mistake."""
    world = make_world(files=FILES, **REALTIME)
    charged(world)
    key = world.environ["BEDROCK_ANSWERS_S3_PATH"].removeprefix(f"s3://{BUCKET}/") + "/answers/mine/notes.txt"
    client = world.local.client("s3")
    client.put_object(Bucket=BUCKET, Key=key, Body=b"mine")
    report = forget(world, "all")
    assert report["foreign_files"] == [f"s3://{BUCKET}/{key}"]
    assert "left alone" in render_forgotten(report)
    assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"mine"


def test_the_command_lists_and_deletes(make_world: MakeWorld) -> None:
    """A program could not parse the list, or the options would do nothing on the command line."""
    world = make_world(files=FILES, **REALTIME)
    charged(world)
    environ = step_environ(world.environ, world.local.environment)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_process(step_command(world.processing, "--job_type", "training", *arguments), environ)

    listed = json.loads(run("--forget", "all", "--json").stdout)
    assert (listed["deleted"], counts(listed)) == (False, {MODEL: (20, 0)})
    done = run("--forget", "all", "--yes")
    assert (done.returncode, "answers: 20, files: 1," in done.stdout, "Deleted." in done.stdout) == (0, True, True)
    assert "none. The store has answers of: no model" in run("--forget", MODEL).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--yes",), "--yes belongs to --forget"),
        (("--forget", ""), "needs a model id"),
        (("--forget", "all", "--plan"), "give one of them"),
        (("--forget", "all", "--local"), "keeps no answers after its end"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_combination_deletes_nothing(make_world: MakeWorld, arguments: tuple[str, ...], message: str) -> None:
    """A slip on the command line would delete what was paid for."""
    world = make_world(files=FILES)
    command = step_command(world.processing, "--job_type", "training", *arguments)
    done = run_process(command, step_environ(world.environ))
    assert (done.returncode, message in done.stderr) == (2, True)
