"""A pipeline of the sagemaker SDK, version 3, with this step deployed in one of three ways.

`image` is the image of this repository's Dockerfile; `file` is `dist/bedrock_batch_processing.pyz` (`make pyz`) in any
image with Python; `source_dir` is the folder `src/` with its `requirements.txt`. The last two install missing packages
when the job begins, so they need a package index. pipeline.py needs no SDK.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sagemaker.core.processing import FrameworkProcessor, Processor, ScriptProcessor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.parameters import ParameterInteger, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import ProcessingStep

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
        processing_input("input_data", data, f"{DATA}/input/data", "ShardedByS3Key"),
        processing_input("prompt_templates", templates, f"{DATA}/input/templates"),
        processing_input("validation_schema", schema, f"{DATA}/input/schema"),
    ]
    outputs = [
        processing_output("processed_data", results(bucket, "processed_data"), f"{DATA}/output/data"),
        processing_output("analysis_summary", results(bucket, "analysis_summary"), f"{DATA}/output/summary"),
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
            framework = FrameworkProcessor(command=["python3"], **common)
            return framework.run(
                code="bedrock_batch_processing.py",
                source_dir=str(ROOT / "src"),
                inputs=inputs,
                outputs=outputs,
                arguments=ARGUMENTS,
            )
    raise ValueError(f"{way} is none of image, file and source_dir")


def processing_input(name: str, uri: Any, path: str, distribution: str = "FullyReplicated") -> ProcessingInput:
    source = ProcessingS3Input(
        s3_uri=uri,
        local_path=path,
        s3_data_type="S3Prefix",
        s3_input_mode="File",
        s3_data_distribution_type=distribution,
    )
    return ProcessingInput(input_name=name, s3_input=source)


def processing_output(name: str, uri: Any, path: str) -> ProcessingOutput:
    target = ProcessingS3Output(s3_uri=uri, local_path=path, s3_upload_mode="EndOfJob")
    return ProcessingOutput(output_name=name, s3_output=target)


def results(bucket: str, name: str) -> Join:
    """Return an S3 path that contains the execution id, so that executions do not overwrite each other."""
    return Join(on="/", values=["s3:/", bucket, ExecutionVariables.PIPELINE_EXECUTION_ID, name])
