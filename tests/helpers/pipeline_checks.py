"""Checks of a pipeline definition against AWS's own service model and against `contracts/`.

This module needs only botocore and the standard library, so that it also runs beside the sagemaker SDK.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from local_bedrock.wire.constraints import violations

ROOT = Path(__file__).resolve().parents[2]
ENTRY_POINT = ["/opt/venv/bin/python", "/opt/bedrock-batch/bedrock_batch_processing.py"]
OPERATIONS = {
    "Processing": ("CreateProcessingJob", "ProcessingJobName"),
    "Training": ("CreateTrainingJob", "TrainingJobName"),
}
_OUTPUT = re.compile(r"Steps\.([^.]+)\.ProcessingOutputConfig\.Outputs\['([^']+)'\]\.S3Output\.S3Uri")


class Resolver:
    """Replaces the variables of a definition by values, as SageMaker does at the start of an execution."""

    def __init__(self, definition: Mapping[str, Any]) -> None:
        self._steps = {step["Name"]: step for step in definition["Steps"]}
        self._parameters = {each["Name"]: each["DefaultValue"] for each in definition.get("Parameters", [])}

    def resolve(self, value: Any) -> Any:
        match value:
            case {"Get": name}:
                return self._variable(name)
            case {"Std:Join": {"On": on, "Values": values}}:
                return on.join(str(self.resolve(part)) for part in values)
            case dict():
                return {key: self.resolve(item) for key, item in value.items()}
            case list():
                return [self.resolve(item) for item in value]
        return value

    def _variable(self, name: str) -> Any:
        kind, _, rest = name.partition(".")
        if kind == "Parameters":
            return self._parameters[rest]
        if kind == "Execution":
            return {"PipelineExecutionId": "a1b2c3d4e5f6", "PipelineName": "labels"}[rest]
        found = _OUTPUT.fullmatch(name)
        assert found is not None, f"{name} is no variable of a pipeline"
        outputs = self._steps[found[1]]["Arguments"]["ProcessingOutputConfig"]["Outputs"]
        (uri,) = [each["S3Output"]["S3Uri"] for each in outputs if each["OutputName"] == found[2]]
        return self.resolve(uri)


@lru_cache(maxsize=1)
def _service() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker")


def aws_complaints(step: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[str]:
    """Return the errors that SageMaker would report for a step's arguments: unknown, missing, too long, malformed."""
    operation, name = OPERATIONS[step["Type"]]
    shape = _service().operation_model(operation).input_shape
    request = {**arguments, name: "job"}
    report = ParamValidator().validate(request, shape).generate_report()
    if report:
        return [report]
    # The patterns of tags use Unicode classes that Python's `re` does not support.
    tags = [(tag["Key"], tag["Value"]) for tag in request.pop("Tags", [])]
    odd = [str(pair) for pair in tags if not re.fullmatch(r"[\w .:/=+@-]{1,128}", pair[0] + pair[1])]
    return [*violations(shape, request), *odd]


def contract(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / "contracts" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def contract_complaints(arguments: Mapping[str, Any]) -> list[str]:
    """Return the differences between the resolved arguments of a step and its contract."""
    return [
        *_path_complaints(arguments),
        *_environment_complaints(arguments["Environment"]),
        *_argument_complaints(arguments["AppSpecification"].get("ContainerArguments", [])),
    ]


def _path_complaints(arguments: Mapping[str, Any]) -> list[str]:
    paths = contract("paths")
    given = {each["InputName"]: each["S3Input"]["LocalPath"] for each in arguments["ProcessingInputs"]}
    wanted = {each["name"]: each["path"] for each in paths["inputs"]}
    code = {name: path for name, path in given.items() if name == "code" or path.endswith("/input/entrypoint")}
    written = {
        each["OutputName"]: each["S3Output"]["LocalPath"] for each in arguments["ProcessingOutputConfig"]["Outputs"]
    }
    promised = {each["name"]: each["path"] for each in paths["outputs"]}
    inputs = {name: path for name, path in given.items() if name not in code}
    return [
        f"{found} is not {expected}" for found, expected in ((inputs, wanted), (written, promised)) if found != expected
    ]


def _environment_complaints(environment: Mapping[str, str]) -> list[str]:
    variables = {each["name"]: each for each in contract("environment")["variables"]}
    unknown = [f"{name} is no variable" for name in environment if name not in variables]
    missing = [f"{name} is missing" for name, each in variables.items() if each["required"] and name not in environment]
    # SageMaker's limit, which not every version of botocore knows.
    long = [f"{name} has more than 256 characters" for name, value in environment.items() if len(value) > 256]
    return unknown + missing + long


def _argument_complaints(arguments: list[str]) -> list[str]:
    known = {each["name"]: each for each in contract("arguments")["arguments"]}
    names, rest = [], list(arguments)
    complaints = []
    while rest:
        name = rest.pop(0)
        names.append(name)
        if name not in known:
            complaints.append(f"{name} is no argument")
        elif known[name]["type"] != "flag":
            value = rest.pop(0)
            choices = known[name]["choices"]
            complaints += [f"{name} {value} is not accepted"] if choices and value not in choices else []
    return complaints + [f"{name} is missing" for name, each in known.items() if each["required"] and name not in names]
