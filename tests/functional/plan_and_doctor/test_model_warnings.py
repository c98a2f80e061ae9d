"""Plan, doctor and run over HTTP: each names a retired model and a profile of another account or model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.commands.doctor.examine import examine_step
from bedrock_batch.commands.plan.build import plan_step
from bedrock_batch.commands.preparation import StepRequest
from bedrock_batch.environment.container.paths import container_paths
from bedrock_batch.environment.context import RunContext, make_clients
from bedrock_batch.environment.settings import Settings
from helpers.batch_runs import StepRun, World, small
from helpers.botocore_models import INFERENCE_PROFILES, LIFECYCLE_DATES
from local_bedrock import CallFault, LocalBedrock

ENTRY = Path(__file__).parents[3] / "src" / "bedrock_batch_processing.py"
SONNET_4 = "us.anthropic.claude-sonnet-4-20250514-v1:0"
SONNET_46 = "us.anthropic.claude-sonnet-4-6"
NOVA_LITE = "amazon.nova-lite-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:{}:{}"
OWN, OTHER = "123456789012", "999999999999"
ENDED = "2026-10-14"
FAR = "2999-01-01"


def at(day: str) -> Callable[[], datetime]:
    """A clock that stands still on a day."""
    return lambda: datetime.fromisoformat(day).replace(tzinfo=timezone.utc)


def request_of(world: World, day: str, environ: dict[str, str]) -> StepRequest:
    everything = {**world.environ, **world.local.environment, **environ}

    def make_context(settings: Settings) -> RunContext:
        return RunContext(make_clients(settings, everything), now=at(day))

    return StepRequest(*container_paths(world.processing), everything, "training", make_context=make_context)


def planned(world: World, day: str, **environ: str) -> list[str]:
    """What the plan finds worth a look."""
    problems: list[str] = plan_step(request_of(world, day, environ))["problems"]
    return problems


def examined(world: World, day: str, **environ: str) -> list[str]:
    """The problems that the doctor finds, each with its fix."""
    findings = examine_step(request_of(world, day, environ))
    return [f"{each.message}; {each.fix}" for each in findings if each.status == "problem"]


def run_on(world: World, day: str, **environ: str) -> StepRun:
    return world.run(adapt=lambda context: replace(context, now=at(day)), **environ)


def first_lines(run: StepRun) -> list[str]:
    """The warnings of a run before it asks a model or writes the input of a job."""
    busy = next((i for i, line in enumerate(run.log) if "job=" in line or "progress" in line), len(run.log))
    return [line for line in run.log[:busy] if line.startswith("WARNING")]


def everywhere(world: World, day: str, **environ: str) -> list[list[str]]:
    """What plan, doctor and run say."""
    run = run_on(world, day, **environ)
    return [planned(world, day, **environ), examined(world, day, **environ), first_lines(run)]


def said(lines: list[str], text: str) -> bool:
    return any(text in line for line in lines)


def test_a_model_in_its_legacy_period_is_named_with_its_end_and_its_successor(
    make_world: Callable[..., World],
) -> None:
    """A user would learn of the end of a model from a pipeline that fails on that day."""
    expected = (
        f"{SONNET_4} (BEDROCK_PRIMARY_MODEL_ID) is in its legacy period since 2026-04-14, its end of life is "
        f"2026-10-14; set BEDROCK_PRIMARY_MODEL_ID to its nearest successor, {SONNET_46}"
    )
    for lines in everywhere(make_world(), "2026-04-14", BEDROCK_PRIMARY_MODEL_ID=SONNET_4):
        assert said(lines, expected), lines


def test_a_model_past_its_end_of_life_is_named(make_world: Callable[..., World]) -> None:
    """A user would read that a model id is unknown, and look for a typo in it."""
    expected = (
        f"{SONNET_4} (BEDROCK_PRIMARY_MODEL_ID) reached its end of life on 2026-10-14: AWS refuses its requests; set "
        f"BEDROCK_PRIMARY_MODEL_ID to its nearest successor, {SONNET_46}"
    )
    for lines in everywhere(make_world(), ENDED, BEDROCK_PRIMARY_MODEL_ID=SONNET_4):
        assert said(lines, expected), lines


@pytest.mark.parametrize("mode", ["batch", "realtime"])
def test_the_fallback_model_is_named_too(make_world: Callable[..., World], mode: str) -> None:
    """A run would lean on a model that AWS refuses when it is needed."""
    settings = {
        "BEDROCK_PRIMARY_MODEL_ID": SONNET_46,
        "BEDROCK_FALLBACK_MODEL_ID": SONNET_4,
        "BEDROCK_BATCH_MODE": mode,
    }
    for lines in everywhere(make_world(), ENDED, **settings):
        assert said(lines, f"{SONNET_4} (BEDROCK_FALLBACK_MODEL_ID) reached its end of life on 2026-10-14"), lines


def test_of_an_active_model_nothing_is_said(make_world: Callable[..., World]) -> None:
    """Users would get used to a warning that means nothing."""
    for lines in everywhere(make_world(), ENDED, BEDROCK_PRIMARY_MODEL_ID=SONNET_46):
        assert not said(lines, "legacy period"), lines
        assert not said(lines, "end of life"), lines


@LIFECYCLE_DATES
def test_the_service_knows_what_the_table_does_not(make_world: Callable[..., World]) -> None:
    """A user would not learn that AWS has announced the end of a model since the step was released."""
    behaviour = small(legacy_models=(NOVA_LITE,), ends_of_life={NOVA_LITE: FAR})
    for lines in everywhere(make_world(behaviour), ENDED, BEDROCK_PRIMARY_MODEL_ID=f"us.{NOVA_LITE}"):
        assert said(lines, f"is in its legacy period since 2998-07-02, its end of life is {FAR}"), lines
        assert said(lines, "no active successor is known"), lines


def test_the_service_wins_over_the_table(make_world: Callable[..., World]) -> None:
    """A user of a region in which a model lives on would be warned at each run."""
    behaviour = small(ends_of_life={SONNET_4.removeprefix("us."): FAR})
    for lines in everywhere(make_world(behaviour), "2026-05-01", BEDROCK_PRIMARY_MODEL_ID=SONNET_4):
        assert not said(lines, "legacy period"), lines


@pytest.mark.parametrize(
    "fault", [{"code": "AccessDeniedException"}, {"drop": True}, {"body": "{}"}], ids=["denied", "dropped", "damaged"]
)
def test_without_an_answer_of_the_service_the_table_counts(
    make_world: Callable[..., World], fault: dict[str, Any]
) -> None:
    """A role that may not describe models could not run, or its user would not be warned."""
    world = make_world(small(calls=(CallFault("GetFoundationModel", **fault),)))
    run = run_on(world, ENDED, BEDROCK_PRIMARY_MODEL_ID=SONNET_4)
    assert run.error is None
    for lines in (planned(world, ENDED, BEDROCK_PRIMARY_MODEL_ID=SONNET_4), first_lines(run)):
        assert said(lines, "reached its end of life on 2026-10-14"), lines


def test_a_control_plane_out_of_reach_is_asked_once(make_world: Callable[..., World]) -> None:
    """A plan would wait for one time-out after the other."""
    world = make_world(small(calls=(CallFault("GetFoundationModel", drop=True),)))
    planned(world, ENDED, BEDROCK_PRIMARY_MODEL_ID=SONNET_4, BEDROCK_FALLBACK_MODEL_ID=SONNET_46)
    assert world.local.count("GetFoundationModel") == 1


def test_a_run_in_real_time_does_not_need_the_control_plane(make_world: Callable[..., World]) -> None:
    """A container that reaches only the runtime would wait at each start."""
    world = make_world(BEDROCK_BATCH_MODE="realtime")
    run = run_on(world, ENDED, BEDROCK_PRIMARY_MODEL_ID=SONNET_4)
    assert said(first_lines(run), "reached its end of life on 2026-10-14")
    assert world.local.count("GetFoundationModel") == 0


def test_a_refused_model_is_explained(make_world: Callable[..., World]) -> None:
    """The date would be missing exactly when AWS no longer describes the model."""
    ended = {SONNET_4.removeprefix("us."): ENDED}
    world = make_world(small(ends_of_life=ended), BEDROCK_BATCH_MODE="realtime")
    run = run_on(world, ENDED, BEDROCK_PRIMARY_MODEL_ID=SONNET_4)
    assert "reached the end of its life" in str(run.error)
    for lines in (first_lines(run), examined(world, ENDED, BEDROCK_PRIMARY_MODEL_ID=SONNET_4)):
        assert said(lines, "reached its end of life on 2026-10-14"), lines


@pytest.mark.parametrize("account", [OWN, OTHER])
def test_a_profile_of_another_account_is_named(make_world: Callable[..., World], account: str) -> None:
    """A job would be refused, and its rows be asked at the full price, without a word about the cause."""
    arn = PROFILE.format(account, f"inference-profile/{SONNET_46}")
    settings = {"BEDROCK_PRIMARY_MODEL_ID": SONNET_46, "BEDROCK_INFERENCE_PROFILE_ARN": arn}
    for lines in everywhere(make_world(), ENDED, **settings):
        assert said(lines, f"a profile of account {OTHER}, but BEDROCK_BATCH_ROLE_ARN a role of account {OWN}") == (
            account == OTHER
        ), lines


def test_a_role_that_local_sets_is_of_the_account_of_the_profile(make_world: Callable[..., World]) -> None:
    """A user who tries a run with `--local` would be told to correct a role that is not set."""
    world = make_world(files={"train/a.csv": 20})
    world.environ.pop("BEDROCK_BATCH_ROLE_ARN")
    arn = PROFILE.format(OTHER, f"inference-profile/{SONNET_46}")
    environ = {"BEDROCK_PRIMARY_MODEL_ID": SONNET_46, "BEDROCK_INFERENCE_PROFILE_ARN": arn}
    command = [sys.executable, str(ENTRY), "--job_type", "training", "--processing-dir", str(world.processing)]
    done = subprocess.run(
        [*command, "--local", "--plan", "--json"],
        env={**os.environ, **world.environ, **environ},
        capture_output=True,
        check=True,
    )
    assert not said(json.loads(done.stdout)["problems"], "BEDROCK_BATCH_ROLE_ARN")


def test_the_account_of_a_profile_does_not_matter_in_real_time(make_world: Callable[..., World]) -> None:
    """A user without batch inference would be told to change a role that is not used."""
    settings = {
        "BEDROCK_PRIMARY_MODEL_ID": SONNET_46,
        "BEDROCK_INFERENCE_PROFILE_ARN": PROFILE.format(OTHER, f"inference-profile/{SONNET_46}"),
        "BEDROCK_BATCH_MODE": "realtime",
    }
    for lines in everywhere(make_world(), ENDED, **settings):
        assert not said(lines, f"account {OTHER}"), lines


@pytest.mark.parametrize("profile", [PROFILE.format(OWN, f"inference-profile/us.{NOVA_LITE}"), f"us.{NOVA_LITE}"])
def test_a_profile_of_another_model_is_named(make_world: Callable[..., World], profile: str) -> None:
    """A user would pay for a model that is asked in the way of another one."""
    settings = {"BEDROCK_PRIMARY_MODEL_ID": SONNET_46, "BEDROCK_INFERENCE_PROFILE_ARN": profile}
    expected = f"leads to {NOVA_LITE}, but BEDROCK_PRIMARY_MODEL_ID is {SONNET_46}"
    for lines in everywhere(make_world(), ENDED, **settings):
        assert said(lines, expected), lines


@INFERENCE_PROFILES
@pytest.mark.parametrize("mode", ["batch", "realtime"])
@pytest.mark.parametrize("target", [SONNET_46, NOVA_LITE])
def test_an_application_profile_of_another_model_is_named(
    make_world: Callable[..., World], target: str, mode: str
) -> None:
    """The ARN hides its model, so that only the service can tell that it is another one."""
    arn = PROFILE.format(OWN, "application-inference-profile/abc123")
    settings = {
        "BEDROCK_PRIMARY_MODEL_ID": SONNET_46,
        "BEDROCK_INFERENCE_PROFILE_ARN": arn,
        "BEDROCK_BATCH_MODE": mode,
    }
    for lines in everywhere(make_world(small(application_profiles={"abc123": target})), ENDED, **settings):
        assert said(lines, f"leads to {NOVA_LITE}, but BEDROCK_PRIMARY_MODEL_ID is") == (target == NOVA_LITE), lines


@INFERENCE_PROFILES
def test_the_model_behind_an_application_profile_is_looked_at(make_world: Callable[..., World]) -> None:
    """A retired model would hide behind the ARN of a profile."""
    arn = PROFILE.format(OWN, "application-inference-profile/abc123")
    world = make_world(small(application_profiles={"abc123": SONNET_4}))
    settings = {"BEDROCK_PRIMARY_MODEL_ID": SONNET_4, "BEDROCK_INFERENCE_PROFILE_ARN": arn}
    for lines in everywhere(world, ENDED, **settings):
        assert said(lines, "reached its end of life on 2026-10-14"), lines


def test_the_local_bedrock_describes_a_lifecycle_as_aws_does() -> None:
    """The tests above would hold for a form of the answer that AWS does not have."""
    with LocalBedrock() as local:
        client = local.client("bedrock")
        known = {each["modelId"]: each["modelLifecycle"] for each in client.list_foundation_models()["modelSummaries"]}
        described = client.get_foundation_model(modelIdentifier=SONNET_4.removeprefix("us."))["modelDetails"]
    assert {each["status"] for each in known.values()} == {"ACTIVE", "LEGACY"}
    assert described["modelLifecycle"] == known[SONNET_4.removeprefix("us.")]
    assert known[SONNET_46.removeprefix("us.")]["status"] == "ACTIVE"
    assert known[SONNET_4.removeprefix("us.")]["status"] == "LEGACY"


@LIFECYCLE_DATES
def test_the_local_bedrock_gives_dates() -> None:
    """A step that reads a date wrongly would pass."""
    with LocalBedrock() as local:
        details = local.client("bedrock").get_foundation_model(modelIdentifier=SONNET_4.removeprefix("us."))
    dates = details["modelDetails"]["modelLifecycle"]
    assert (dates["legacyTime"].date().isoformat(), dates["endOfLifeTime"].date().isoformat()) == (
        "2026-04-14",
        "2026-10-14",
    )
