"""A SageMaker pipeline with this step, as plain JSON and without any SDK: `python pipeline.py > pipeline.json`.

It has three steps: the first writes the prompt template and the validation schema, this step asks the model, and the
last one trains on the answers. Create the pipeline with
`boto3.client("sagemaker").create_pipeline(PipelineName=..., PipelineDefinition=..., RoleArn=...)`.
"""

from __future__ import annotations

import json
from typing import Any

DATA = "/opt/ml/processing"
EXECUTION = {"Get": "Execution.PipelineExecutionId"}
TAGS = [{"Key": "project", "Value": "labels"}]
TEMPLATE_STEP, BEDROCK_STEP, TRAINING_STEP = "WritePromptTemplates", "AskBedrock", "Train"

PARAMETERS = [
    {"Name": "InputData", "Type": "String", "DefaultValue": "s3://example-data/labels/rows"},
    {"Name": "Bucket", "Type": "String", "DefaultValue": "example-results"},
    {"Name": "ModelId", "Type": "String", "DefaultValue": "us.anthropic.claude-sonnet-4-6"},
    {"Name": "RoleArn", "Type": "String", "DefaultValue": "arn:aws:iam::123456789012:role/Pipeline"},
    {"Name": "BatchRoleArn", "Type": "String", "DefaultValue": "arn:aws:iam::123456789012:role/BedrockBatch"},
    {"Name": "KmsKeyId", "Type": "String", "DefaultValue": "alias/pipeline"},
    {"Name": "Image", "Type": "String", "DefaultValue": "123456789012.dkr.ecr.us-east-1.amazonaws.com/step:0.1.0"},
    {"Name": "InstanceCount", "Type": "Integer", "DefaultValue": 1},
    {"Name": "InstanceType", "Type": "String", "DefaultValue": "ml.m5.xlarge"},
]


def build_pipeline() -> dict[str, Any]:
    """Return the definition of the pipeline."""
    return {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": PARAMETERS,
        "Steps": [template_step(), bedrock_step(), training_step()],
    }


def bedrock_step() -> dict[str, Any]:
    """Return this step: its inputs are rows, template and schema, its outputs rows with answers and a summary."""
    inputs = [
        # Each instance gets its own files. With `FullyReplicated`, the step divides the rows itself.
        processing_input("input_data", parameter("InputData"), f"{DATA}/input/data", "ShardedByS3Key"),
        processing_input("prompt_templates", output_of(TEMPLATE_STEP, "prompt_templates"), f"{DATA}/input/templates"),
        processing_input("validation_schema", output_of(TEMPLATE_STEP, "validation_schema"), f"{DATA}/input/schema"),
    ]
    outputs = [
        processing_output("processed_data", f"{DATA}/output/data"),
        processing_output("analysis_summary", f"{DATA}/output/summary"),
    ]
    environment = {
        "BEDROCK_PRIMARY_MODEL_ID": parameter("ModelId"),
        "BEDROCK_MAX_TOKENS": "1024",
        "BEDROCK_BATCH_MODE": "auto",
        "BEDROCK_BATCH_ROLE_ARN": parameter("BatchRoleArn"),
        # The ledger is here. The path does not contain the execution id, so a new execution with the same inputs uses
        # the answers that an earlier one has paid for.
        "BEDROCK_BATCH_INPUT_S3_PATH": join("s3:/", parameter("Bucket"), "bedrock-batch", "input"),
        "BEDROCK_BATCH_OUTPUT_S3_PATH": join("s3:/", parameter("Bucket"), "bedrock-batch", "output"),
        "BEDROCK_BATCH_TIMEOUT_HOURS": "72",
        "BEDROCK_BATCH_TAGS": json.dumps({tag["Key"]: tag["Value"] for tag in TAGS}),
        "BEDROCK_MAX_ERROR_RATE": "0.05",
    }
    arguments = processing_job(
        image=parameter("Image"),
        entry=["/opt/venv/bin/python", "/opt/bedrock-batch/bedrock_batch_processing.py"],
        arguments=["--job_type", "training"],
        inputs=inputs,
        outputs=outputs,
        environment=environment,
        # Longer than the longest batch job, so that the step can read its results. SageMaker allows up to 9 days.
        max_runtime=4 * 24 * 3600,
        instances=parameter("InstanceCount"),
    )
    retry = {"ExceptionType": ["Step.SERVICE_FAULT", "Step.THROTTLING"], "BackoffRate": 2.0, "MaxAttempts": 3}
    return {"Name": BEDROCK_STEP, "Type": "Processing", "Arguments": arguments, "RetryPolicies": [retry]}


def template_step() -> dict[str, Any]:
    """Return the first step: your image, which writes `prompts.json` and `validation_schema_*.json`."""
    arguments = processing_job(
        image=parameter("Image"),
        entry=["/opt/venv/bin/python", "/opt/program/write_templates.py"],
        arguments=["--output-dir", f"{DATA}/output"],
        inputs=[],
        outputs=[
            processing_output("prompt_templates", f"{DATA}/output/templates"),
            processing_output("validation_schema", f"{DATA}/output/schema"),
        ],
        environment={},
        max_runtime=3600,
        instances=1,
    )
    return {"Name": TEMPLATE_STEP, "Type": "Processing", "Arguments": arguments}


def training_step() -> dict[str, Any]:
    """Return the last step, which reads the training split from the output of this step."""
    data = join(output_of(BEDROCK_STEP, "processed_data"), "train")
    source = {"S3DataType": "S3Prefix", "S3Uri": data, "S3DataDistributionType": "FullyReplicated"}
    arguments = {
        "AlgorithmSpecification": {"TrainingImage": parameter("Image"), "TrainingInputMode": "File"},
        "InputDataConfig": [
            {"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}
        ],
        "OutputDataConfig": {"S3OutputPath": results("model"), "KmsKeyId": parameter("KmsKeyId")},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 24 * 3600},
        "RoleArn": parameter("RoleArn"),
        "Tags": TAGS,
    }
    return {"Name": TRAINING_STEP, "Type": "Training", "Arguments": arguments}


def processing_job(
    *,
    image: Any,
    entry: list[str],
    arguments: list[str],
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
    environment: dict[str, Any],
    max_runtime: int,
    instances: Any,
) -> dict[str, Any]:
    """Return the arguments of a Processing step, which are those of CreateProcessingJob without the job name."""
    cluster = {
        "InstanceCount": instances,
        "InstanceType": parameter("InstanceType"),
        "VolumeSizeInGB": 50,
        "VolumeKmsKeyId": parameter("KmsKeyId"),
    }
    return {
        "AppSpecification": {"ImageUri": image, "ContainerEntrypoint": entry, "ContainerArguments": arguments},
        "ProcessingInputs": inputs,
        "ProcessingOutputConfig": {"Outputs": outputs, "KmsKeyId": parameter("KmsKeyId")},
        "ProcessingResources": {"ClusterConfig": cluster},
        "StoppingCondition": {"MaxRuntimeInSeconds": max_runtime},
        "Environment": environment,
        # Network isolation would cut the step off from Bedrock and S3.
        "NetworkConfig": {"EnableNetworkIsolation": False},
        "RoleArn": parameter("RoleArn"),
        "Tags": TAGS,
    }


def processing_input(name: str, uri: Any, path: str, distribution: str = "FullyReplicated") -> dict[str, Any]:
    source = {
        "S3Uri": uri,
        "LocalPath": path,
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        "S3DataDistributionType": distribution,
    }
    return {"InputName": name, "S3Input": source}


def processing_output(name: str, path: str) -> dict[str, Any]:
    return {
        "OutputName": name,
        "S3Output": {"S3Uri": results(name), "LocalPath": path, "S3UploadMode": "EndOfJob"},
    }


def results(name: str) -> dict[str, Any]:
    """Return an S3 path that contains the execution id, so that executions do not overwrite each other."""
    return join("s3:/", parameter("Bucket"), EXECUTION, name)


def parameter(name: str) -> dict[str, str]:
    return {"Get": f"Parameters.{name}"}


def output_of(step: str, output: str) -> dict[str, str]:
    """Return the S3 path of a step's output; a step that reads it waits for that step."""
    return {"Get": f"Steps.{step}.ProcessingOutputConfig.Outputs['{output}'].S3Output.S3Uri"}


def join(*values: Any) -> dict[str, Any]:
    return {"Std:Join": {"On": "/", "Values": list(values)}}


if __name__ == "__main__":
    print(json.dumps(build_pipeline(), indent=2))
