"""The example that submits and collects: a pipeline, a state machine and a rule that AWS would take, and that fit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from bedrock_batch.aws.invocation_jobs import TERMINAL, job_name
from bedrock_batch.environment.settings import load_settings
from helpers.pipeline_checks import Resolver, aws_complaints, contract_complaints
from local_bedrock.wire.constraints import violations

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"


def render(what: str) -> dict[str, Any]:
    command = [sys.executable, str(EXAMPLES / "submit_and_collect.py"), what]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


PIPELINE, MACHINE, RULE = render("pipeline"), render("state_machine"), render("event_rule")
ASKING, CONDITION = PIPELINE["Steps"]
(TRAINING,) = CONDITION["Arguments"]["IfSteps"]
STATES: dict[str, dict[str, Any]] = MACHINE["States"]
resolver = Resolver(PIPELINE)
ENVIRONMENT = resolver.resolve(ASKING["Arguments"])["Environment"]
# The sample of docs.aws.amazon.com/bedrock/latest/userguide/monitoring-eventbridge-how-it-works.html.
EVENT = {
    "version": "0",
    "id": "a1b2c3d4",
    "detail-type": "Batch Inference Job State Change",
    "source": "aws.bedrock",
    "account": "123456789012",
    "time": "Wed Aug 28 22:58:30 UTC 2024",
    "region": "us-east-1",
    "resources": ["arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghwxyz"],
    "detail": {
        "version": "0.0",
        "accountId": "123456789012",
        "batchJobName": "dummy-batch-job-name",
        "batchJobArn": "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghwxyz",
        "batchModelId": "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-sonnet-20240229-v1:0",
        "status": "Completed",
        "failureMessage": "",
        "creationTime": "Aug 28, 2024, 10:47:53 PM",
    },
}


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Return whether EventBridge would send an event to the target of a rule: values and prefixes."""
    for name, wanted in pattern.items():
        value = event.get(name)
        if isinstance(wanted, dict):
            if not isinstance(value, dict) or not matches(wanted, value):
                return False
        elif not any(value.startswith(w["prefix"]) if isinstance(w, dict) else value == w for w in wanted):
            return False
    return True


def event(name: str, status: str) -> dict[str, Any]:
    return {**EVENT, "detail": {**EVENT["detail"], "batchJobName": name, "status": status}}  # type: ignore[dict-item]


@pytest.mark.parametrize("step", [ASKING, TRAINING], ids=lambda step: step["Name"])
def test_sagemaker_would_take_the_step(step: dict[str, Any]) -> None:
    """A user who copies the pipeline would see its first execution fail at this step."""
    assert aws_complaints(step, resolver.resolve(step["Arguments"])) == []


def test_the_asking_step_keeps_its_contract_and_does_not_wait() -> None:
    """The step would refuse what the example sets, or an instance would wait for a day."""
    assert contract_complaints(resolver.resolve(ASKING["Arguments"])) == []
    settings, warnings = load_settings(ENVIRONMENT)
    assert (settings.batch_wait, warnings) == (False, [])


def test_every_execution_has_the_same_inputs() -> None:
    """The second execution would be another run, and pay for everything again."""
    inputs = [each["S3Input"]["S3Uri"] for each in ASKING["Arguments"]["ProcessingInputs"]]
    assert [uri for uri in inputs if not uri["Get"].startswith("Parameters.")] == []
    assert "Execution." not in json.dumps(ASKING["Arguments"]["Environment"])


def test_the_condition_reads_the_state_that_the_step_writes() -> None:
    """The pipeline would train without answers, or never."""
    (file,) = ASKING["PropertyFiles"]
    outputs = {each["OutputName"] for each in ASKING["Arguments"]["ProcessingOutputConfig"]["Outputs"]}
    assert file["OutputName"] in outputs
    arguments = ASKING["Arguments"]["AppSpecification"]["ContainerArguments"]
    assert file["FilePath"] == f"processing_state_{arguments[arguments.index('--job_type') + 1]}.json"
    (condition,) = CONDITION["Arguments"]["Conditions"]
    wanted = {"Get": f"Steps.{ASKING['Name']}.PropertyFiles.{file['PropertyFileName']}"}
    assert condition["LeftValue"]["Std:JsonGet"] == {"PropertyFile": wanted, "Path": "state"}
    summary = json.loads((ROOT / "contracts" / "summary.schema.json").read_text(encoding="utf-8"))
    assert condition["RightValue"] in summary["properties"]["state"]["enum"]


def test_the_rule_takes_the_ends_of_the_jobs_of_this_pipeline_and_nothing_else() -> None:
    """No event would start the collection, or those of other jobs would."""
    name = job_name(ENVIRONMENT["BEDROCK_BATCH_JOB_NAME_PREFIX"], "0123456789abcdef", 3)
    pattern = RULE["EventPattern"]
    assert {
        status for status in [*TERMINAL, "InProgress", "Submitted"] if matches(pattern, event(name, status))
    } == TERMINAL
    assert not matches(pattern, EVENT)
    assert not matches(pattern, {**event(name, "Completed"), "source": "aws.batch"})


def test_the_state_machine_has_no_dead_end() -> None:
    """Step Functions would refuse the definition, or an execution would never end."""
    following = {
        name: {state.get("Next"), state.get("Default"), *(each["Next"] for each in state.get("Choices", []))} - {None}
        for name, state in STATES.items()
    }
    assert set().union(*following.values(), {MACHINE["StartAt"]}) == set(STATES)
    assert [name for name, after in following.items() if not after] == ["StartPipeline"]
    assert STATES["StartPipeline"]["End"] is True


@pytest.mark.parametrize("name", ["ListJobs", "StartPipeline"])
def test_aws_would_take_the_call_of_a_state(name: str) -> None:
    """The execution would fail hours after the pipeline has submitted its jobs."""
    service, operation = STATES[name]["Resource"].removeprefix("arn:aws:states:::aws-sdk:").split(":")
    model = botocore.session.get_session().get_service_model(service)
    shape = model.operation_model(operation[0].upper() + operation[1:]).input_shape
    members = {member[0].upper() + member[1:]: member for member in shape.members}
    given = {members[key]: value for key, value in STATES[name]["Arguments"].items()}
    given = {key: "0" * 64 if value == "{% $token %}" else value for key, value in given.items()}  # SHA-256 in hex
    assert violations(shape, given) == []
    assert set(shape.required_members) <= set(given)


def test_the_expressions_name_what_the_response_has() -> None:
    """An expression that names another member is undefined, and the execution fails."""
    model = botocore.session.get_session().get_service_model("bedrock")
    output = model.operation_model("ListModelInvocationJobs").output_shape
    jobs = output.members["invocationJobSummaries"].member
    text = " ".join(STATES["ListJobs"]["Assign"].values())
    assert set(re.findall(r"\$states\.result\.(\w+)", text)) == {"InvocationJobSummaries"}
    assert {"Status", "JobArn"} <= {member[0].upper() + member[1:] for member in jobs.members}
    assert set(re.findall(r"'([A-Z]\w+)'", text)) == TERMINAL
    assert set(re.findall(r"\$(\w+)", STATES["HaveAllEnded"]["Choices"][0]["Condition"])) <= set(
        STATES["ListJobs"]["Assign"]
    )


def test_the_policies_allow_what_the_example_does() -> None:
    """The event would be dropped, or the execution denied."""
    actions = {}
    for name in ("collect-state-machine", "collect-event-rule"):
        policy = json.loads((EXAMPLES / "iam" / f"{name}.json").read_text(encoding="utf-8"))
        actions[name] = {statement["Action"] for statement in policy["Statement"]}
    called = {state["Resource"].rsplit(":aws-sdk:")[1] for state in STATES.values() if "Resource" in state}
    assert {action.lower() for action in actions["collect-state-machine"]} == {each.lower() for each in called}
    assert actions["collect-event-rule"] == {"states:StartExecution"}
