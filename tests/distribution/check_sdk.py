"""Render the example pipeline of a sagemaker SDK offline and check it: `make pipeline-test`.

It runs in an environment that contains the SDK and moto but not this project. moto simulates S3 and SageMaker in this
process; every connection to another host raises.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import socket
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
ROLE = "arn:aws:iam::123456789012:role/Pipeline"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/step:0.1.0"
BUCKET = "example-results"
WAYS = ("image", "file", "source_dir")
# Both SDKs send telemetry to AWS unless it is switched off.
CONFIGURATION = 'SchemaVersion: "1.0"\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n'


def main(version: str) -> int:
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src"), str(ROOT / "tools")]
    close_the_network()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "sagemaker.yaml"
        configuration.write_text(CONFIGURATION)
        os.environ |= {
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(configuration),
            "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        return render_all(version)


def close_the_network() -> None:
    def refuse(*_: Any) -> NoReturn:
        raise OSError("this check renders offline, but something tried to connect")

    socket.socket.connect = refuse  # type: ignore[method-assign]


def render_all(version: str) -> int:
    from make_pyz import make_pyz
    from moto import mock_aws

    make_pyz(ROOT / "dist" / "bedrock_batch_processing.pyz")
    example = load(ROOT / "docs" / "examples" / f"pipeline_sagemaker_sdk{version}.py")
    failed = 0
    for way in WAYS:
        with mock_aws():
            complaints = check(render(example, way), way)
        print(f"pipeline-test: sdk {version}, {way}: {'; '.join(complaints) or 'ok'}", flush=True)
        failed += bool(complaints)
    return min(failed, 1)


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def render(example: ModuleType, way: str) -> dict[str, Any]:
    import boto3

    boto3.client("s3").create_bucket(Bucket=BUCKET)
    session = example.PipelineSession(boto_session=boto3.Session(), default_bucket=BUCKET)
    definition: dict[str, Any] = json.loads(example.build_pipeline(session, ROLE, IMAGE, BUCKET, way).definition())
    return definition


def check(definition: dict[str, Any], way: str) -> list[str]:
    """Return the problems of a rendered step by AWS's service model, the contract and the way of delivery."""
    from helpers.pipeline_checks import ENTRY_POINT, Resolver, aws_complaints, contract_complaints

    (step,) = definition["Steps"]
    arguments = Resolver(definition).resolve(step["Arguments"])
    entry = arguments["AppSpecification"]["ContainerEntrypoint"]
    code = "/opt/ml/processing/input/code"
    wanted = {
        "image": ENTRY_POINT,
        "file": ["python3", f"{code}/bedrock_batch_processing.pyz"],
        "source_dir": ["/bin/bash", "/opt/ml/processing/input/entrypoint/runproc.sh"],
    }[way]
    complaints = [] if entry == wanted else [f"the entry point is {entry}"]
    return complaints + aws_complaints(step, arguments) + contract_complaints(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
