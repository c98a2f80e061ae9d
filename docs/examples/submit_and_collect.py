"""A pipeline whose instances wait for no batch job, and what starts it again when the jobs have ended; needs no SDK.

`python submit_and_collect.py pipeline > pipeline.json` prints the pipeline, `state_machine` the Step Functions
definition and `event_rule` the EventBridge rule. The first execution of the pipeline submits the jobs. An event for
each job that ends starts the state machine; once no job runs, it starts the same pipeline again, which collects and
then trains.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pipeline import (
    BEDROCK_STEP,
    DATA,
    PARAMETERS,
    TRAINING_STEP,
    bedrock_step,
    parameter,
    processing_input,
    training_step,
)

PIPELINE, STATE_MACHINE = "labels", "collect-labels"
# It begins the names of the jobs of this pipeline and of no other, so that only they start it.
JOB_PREFIX = "labels-pipeline"
STATE_FILE = "processing_state_training.json"
ENDED = ["Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"]
WAIT_SECONDS = 3600


def build_pipeline() -> dict[str, Any]:
    """Return the pipeline: it asks, and trains if all answers are there."""
    more = [
        {"Name": "PromptTemplates", "Type": "String", "DefaultValue": "s3://example-data/labels/templates"},
        {"Name": "ValidationSchema", "Type": "String", "DefaultValue": "s3://example-data/labels/schema"},
    ]
    return {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": [*PARAMETERS, *more],
        "Steps": [asking_step(), finished_step()],
    }


def asking_step() -> dict[str, Any]:
    """Return this step; every execution gives it the same inputs, by which it finds the jobs that run."""
    step = bedrock_step()
    arguments = step["Arguments"]
    data = next(each for each in arguments["ProcessingInputs"] if each["InputName"] == "input_data")
    arguments["ProcessingInputs"] = [
        data,
        processing_input("prompt_templates", parameter("PromptTemplates"), f"{DATA}/input/templates"),
        processing_input("validation_schema", parameter("ValidationSchema"), f"{DATA}/input/schema"),
    ]
    arguments["Environment"] |= {"BEDROCK_BATCH_WAIT": "false", "BEDROCK_BATCH_JOB_NAME_PREFIX": JOB_PREFIX}
    # It waits for no job, but real-time requests for what the jobs did not answer take their time.
    arguments["StoppingCondition"] = {"MaxRuntimeInSeconds": 12 * 3600}
    # One instance: each of several would write a state of its own.
    arguments["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 1
    file = {"PropertyFileName": "State", "OutputName": "analysis_summary", "FilePath": STATE_FILE}
    return {**step, "PropertyFiles": [file]}


def finished_step() -> dict[str, Any]:
    """Return the step that goes on if the state is `finished`, and ends the execution if it is `submitted`."""
    state = {"PropertyFile": {"Get": f"Steps.{BEDROCK_STEP}.PropertyFiles.State"}, "Path": "state"}
    condition = {"Type": "Equals", "LeftValue": {"Std:JsonGet": state}, "RightValue": "finished"}
    arguments = {"Conditions": [condition], "IfSteps": [training_step()], "ElseSteps": []}
    return {"Name": f"{TRAINING_STEP}IfFinished", "Type": "Condition", "Arguments": arguments}


def build_event_rule() -> dict[str, Any]:
    """Return the rule for jobs of this pipeline that have ended; its target is the state machine.

    Bedrock sends the events on a best-effort basis:
    https://docs.aws.amazon.com/bedrock/latest/userguide/monitoring-eventbridge-how-it-works.html
    """
    return {
        "Name": f"{STATE_MACHINE}-jobs-ended",
        "EventPattern": {
            "source": ["aws.bedrock"],
            "detail-type": ["Batch Inference Job State Change"],
            "detail": {"batchJobName": [{"prefix": f"{JOB_PREFIX}-"}], "status": ENDED},
        },
    }


def build_state_machine() -> dict[str, Any]:
    """Return the state machine: once no job of the pipeline runs, it starts the pipeline.

    Several events lead to one execution of the pipeline: they have seen the same jobs, and so send the same token.
    """
    jobs = "$states.result.InvocationJobSummaries"
    ended = "[" + ", ".join(f"'{status}'" for status in ENDED) + "]"
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 30, "BackoffRate": 2, "MaxAttempts": 6}]
    return {
        "QueryLanguage": "JSONata",
        "StartAt": "ListJobs",
        "States": {
            "ListJobs": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:bedrock:listModelInvocationJobs",
                "Arguments": {
                    "NameContains": JOB_PREFIX,
                    "SortBy": "CreationTime",
                    "SortOrder": "Descending",
                    "MaxResults": 1000,
                },
                "Assign": {
                    "running": f"{{% $count({jobs}[$not(Status in {ended})]) %}}",
                    "token": f"{{% $hash($join($append(['{PIPELINE}'], {jobs}.JobArn), ' '), 'SHA-256') %}}",
                },
                "Retry": retry,
                "Next": "HaveAllEnded",
            },
            "HaveAllEnded": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $running = 0 %}", "Next": "StartPipeline"}],
                "Default": "WaitForTheOthers",
            },
            # In case that no event comes for the last job.
            "WaitForTheOthers": {"Type": "Wait", "Seconds": WAIT_SECONDS, "Next": "ListJobs"},
            "StartPipeline": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:sagemaker:startPipelineExecution",
                "Arguments": {"PipelineName": PIPELINE, "ClientRequestToken": "{% $token %}"},
                "Retry": retry,
                "End": True,
            },
        },
    }


BUILDERS = {"pipeline": build_pipeline, "state_machine": build_state_machine, "event_rule": build_event_rule}

if __name__ == "__main__":
    if sys.argv[1:] not in [[name] for name in BUILDERS]:
        sys.exit(f"usage: submit_and_collect.py {'|'.join(BUILDERS)}")
    print(json.dumps(BUILDERS[sys.argv[1]](), indent=2))
