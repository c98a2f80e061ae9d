"""The example pipeline: every step is one that SageMaker would take, and this step is given what its contract says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.environment.settings import load_settings
from helpers.pipeline_checks import ENTRY_POINT, Resolver, aws_complaints, contract_complaints

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "pipeline.py"
DEFINITION: dict[str, Any] = json.loads(
    subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=True).stdout
)
STEPS = {step["Name"]: step for step in DEFINITION["Steps"]}
resolver = Resolver(DEFINITION)


def arguments_of(name: str) -> dict[str, Any]:
    arguments: dict[str, Any] = resolver.resolve(STEPS[name]["Arguments"])
    return arguments


@pytest.mark.parametrize("name", STEPS)
def test_sagemaker_would_take_the_step(name: str) -> None:
    """A user who copies the pipeline would see its first execution fail at this step."""
    assert aws_complaints(STEPS[name], arguments_of(name)) == []


def test_the_step_is_given_what_its_contract_says() -> None:
    """The step would look for its input in another folder, or be given a variable that it does not know."""
    assert contract_complaints(arguments_of("AskBedrock")) == []


def test_the_settings_of_the_step_load_without_a_warning() -> None:
    """The step would refuse what the example sets, after the pipeline has run for an hour."""
    assert load_settings(arguments_of("AskBedrock")["Environment"])[1] == []


def test_the_steps_hand_over_their_outputs() -> None:
    """The training step would read an old folder, or begin before this step has ended."""
    data = {each["InputName"]: each["S3Input"]["S3Uri"] for each in arguments_of("AskBedrock")["ProcessingInputs"]}
    assert data["prompt_templates"] == "s3://example-results/a1b2c3d4e5f6/prompt_templates"
    (channel,) = arguments_of("Train")["InputDataConfig"]
    written = "s3://example-results/a1b2c3d4e5f6/processed_data"
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == f"{written}/train"


def test_the_entry_point_is_that_of_the_image() -> None:
    """The pipeline would start a program that the image does not hold."""
    entry = arguments_of("AskBedrock")["AppSpecification"]["ContainerEntrypoint"]
    (line,) = re.findall(r"^ENTRYPOINT (.+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert entry == ENTRY_POINT == json.loads(line)


def test_the_instance_count_is_a_parameter_and_inputs_are_sharded() -> None:
    """A user who raises the instance count at start would get a job that ignores it."""
    raw = STEPS["AskBedrock"]["Arguments"]
    assert raw["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == {"Get": "Parameters.InstanceCount"}
    data = {each["InputName"]: each["S3Input"] for each in raw["ProcessingInputs"]}
    assert data["input_data"]["S3DataDistributionType"] == "ShardedByS3Key"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"StoppingCondition": {"MaxRuntimeInSeconds": 777601}}, "777600", id="too-long"),
        pytest.param({"Environment": {"BEDROCK_SYSTEM_PROMPT": "x" * 257}}, "256", id="long-value"),
        pytest.param({"RoleArn": "pipeline-role"}, "RoleArn", id="role"),
        pytest.param({"Colour": "red"}, "Colour", id="unknown"),
    ],
)
def test_the_checks_see_a_wrong_step(change: dict[str, Any], complaint: str) -> None:
    """A check that accepts everything would let a broken example through."""
    complaints = aws_complaints(STEPS["AskBedrock"], arguments_of("AskBedrock") | change)
    assert complaint in " ".join(complaints)


def test_the_contract_checks_see_a_wrong_step() -> None:
    """A check that accepts everything would let the contract and the example drift apart."""
    arguments = arguments_of("AskBedrock")
    arguments["Environment"] = {"BEDROCK_MODEL": "x"}
    arguments["AppSpecification"]["ContainerArguments"] = ["--job_type", "train", "--fast"]
    arguments["ProcessingInputs"][0]["S3Input"]["LocalPath"] = "/opt/ml/processing/input"
    complaints = " ".join(contract_complaints(arguments))
    for part in ("BEDROCK_MODEL is no variable", "BEDROCK_PRIMARY_MODEL_ID is missing", "--job_type train is not"):
        assert part in complaints
    for part in ("--fast is no argument", "'/opt/ml/processing/input'"):
        assert part in complaints
