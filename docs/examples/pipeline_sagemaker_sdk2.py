"""A pipeline of the sagemaker SDK, version 2, with this step deployed in one of three ways.

`image` is the image of this repository's Dockerfile; `file` is `dist/bedrock_batch_processing.pyz` (`make pyz`) in any
image with Python; `source_dir` is the folder `src/` with its `requirements.txt`. The last two install missing packages
when the job begins, so they need a package index. pipeline.py needs no SDK.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sagemaker.processing import FrameworkProcessor, ProcessingInput, ProcessingOutput, Processor, ScriptProcessor
from sagemaker.sklearn.estimator import SKLearn
from sagemaker.workflow.execution_variables import ExecutionVariables
from sagemaker.workflow.functions import Join
from sagemaker.workflow.parameters import ParameterInteger, ParameterString
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession
from sagemaker.workflow.steps import ProcessingStep

ROOT = Path(__file__).resolve().parents[2]
DATA = "/opt/ml/processing"
ENTRY = ["/opt/venv/bin/python", "/opt/bedrock-batch/bedrock_batch_processing.py"]
ARGUMENTS = ["--job_type", "training"]
# SageMaker ends the job after this time, which is longer than the longest batch job: the step must read its results.
MAX_RUNTIME_SECONDS = 4 * 24 * 3600


def build_pipeline(session: PipelineSession, role: str, image: str, bucket: str, way: str = "image") -> Pipeline:
    """Return a pipeline with this step; `way` is `image`, `file` or `source_dir`."""
    data = ParameterString("InputData", default_value=f"s3://{bucket}/rows")
    templates = ParameterString("Templates", default_value=f"s3://{bucket}/templates")
    schema = ParameterString("Schema", default_value=f"s3://{bucket}/schema")
    model = ParameterString("ModelId", default_value="us.anthropic.claude-sonnet-4-6")
    instances = ParameterInteger("InstanceCount", default_value=1)
    environment = {
        "BEDROCK_PRIMARY_MODEL_ID": model,
        "BEDROCK_MAX_TOKENS": "1024",
        "BEDROCK_BATCH_ROLE_ARN": role,
        "BEDROCK_BATCH_INPUT_S3_PATH": f"s3://{bucket}/bedrock-batch/input",
        "BEDROCK_BATCH_OUTPUT_S3_PATH": f"s3://{bucket}/bedrock-batch/output",
    }
    common: dict[str, Any] = {
        "role": role,
        "instance_count": instances,
        "instance_type": "ml.m5.xlarge",
        "image_uri": image,
        "env": environment,
        "max_runtime_in_seconds": MAX_RUNTIME_SECONDS,
        "sagemaker_session": session,
    }
    inputs = [
        ProcessingInput(data, f"{DATA}/input/data", "input_data", s3_data_distribution_type="ShardedByS3Key"),
        ProcessingInput(templates, f"{DATA}/input/templates", "prompt_templates"),
        ProcessingInput(schema, f"{DATA}/input/schema", "validation_schema"),
    ]
    outputs = [
        ProcessingOutput(f"{DATA}/output/{folder}", results(bucket, name), name)
        for name, folder in (("processed_data", "data"), ("analysis_summary", "summary"))
    ]
    step = ProcessingStep("AskBedrock", step_args=run_arguments(way, common, inputs, outputs))
    parameters = [data, templates, schema, model, instances]
    return Pipeline("labels", parameters=parameters, steps=[step], sagemaker_session=session)


def run_arguments(way: str, common: dict[str, Any], inputs: list[Any], outputs: list[Any]) -> Any:
    match way:
        case "image":
            processor = Processor(entrypoint=ENTRY, **common)
            return processor.run(inputs=inputs, outputs=outputs, arguments=ARGUMENTS)
        case "file":
            script = ScriptProcessor(command=["python3"], **common)
            code = str(ROOT / "dist" / "bedrock_batch_processing.pyz")
            return script.run(code=code, inputs=inputs, outputs=outputs, arguments=ARGUMENTS)
        case "source_dir":
            framework = FrameworkProcessor(
                estimator_cls=SKLearn, framework_version="1.2-1", command=["python3"], **common
            )
            return framework.run(
                code="bedrock_batch_processing.py",
                source_dir=str(ROOT / "src"),
                inputs=inputs,
                outputs=outputs,
                arguments=ARGUMENTS,
            )
    raise ValueError(f"{way} is none of image, file and source_dir")


def results(bucket: str, name: str) -> Join:
    """Return an S3 path that contains the execution id, so that executions do not overwrite each other."""
    return Join(on="/", values=["s3:/", bucket, ExecutionVariables.PIPELINE_EXECUTION_ID, name])
