"""Request bodies, jobs and job outputs for the tests of the local Bedrock, all through boto3."""

import json
import time

MODEL = "us.anthropic.claude-sonnet-4-20250514-v1:0"
ROLE = "arn:aws:iam::123456789012:role/batch"
SCHEMA = {
    "type": "object",
    "properties": {
        "category": {"type": "string", "enum": ["praise", "complaint", "question"]},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "reason": {"type": "string"},
    },
    "required": ["category", "confidence", "reason"],
    "additionalProperties": False,
}
TERMINAL = {"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"}


def messages_body(text="Where is my parcel?", prefill=None, **more):
    """Return an Anthropic body with one prompt."""
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    if prefill is not None:
        messages.append({"role": "assistant", "content": [{"type": "text", "text": prefill}]})
    return {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1000, "messages": messages, **more}


def converse_body(text="Where is my parcel?", **more):
    """Return a Converse request without model id."""
    return {"messages": [{"role": "user", "content": [{"text": text}]}], "inferenceConfig": {"maxTokens": 1000}, **more}


def lines_of(bodies, first_id=0):
    """Return JSON Lines of batch records with the ids CALL0000000, CALL0000001 and so on."""
    records = [{"recordId": f"CALL{i:07d}", "modelInput": body} for i, body in enumerate(bodies, first_id)]
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def create_job(local, data=None, key="in/records.jsonl", name="job-1", bucket="bucket", **more):
    """Upload `data` (default: 100 records), create a job for it, and return its ARN."""
    local.create_bucket(bucket)
    if data is None:
        data = lines_of(messages_body(f"text {i}") for i in range(100))
    if data:
        local.client("s3").put_object(Bucket=bucket, Key=key, Body=data)
    request = {
        "jobName": name,
        "roleArn": ROLE,
        "modelId": MODEL,
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"s3://{bucket}/{key}"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"s3://{bucket}/out/"}},
        **more,
    }
    return local.client("bedrock", retries={"total_max_attempts": 1}).create_model_invocation_job(**request)["jobArn"]


def wait_for(local, arn, statuses=TERMINAL):
    """Poll until the job has one of the statuses, and return the last response."""
    client = local.client("bedrock")
    for _ in range(2000):
        job = client.get_model_invocation_job(jobIdentifier=arn)
        if job["status"] in statuses:
            return job
        time.sleep(0.005)
    raise AssertionError(f"the job stays {job['status']}")


def run_job(local, *args, **kwargs):
    """Create a job, wait for its end, and return the last response."""
    return wait_for(local, create_job(local, *args, **kwargs))


def output_keys(local, job, bucket="bucket"):
    """Return every key in the job's output folder."""
    pages = (
        local.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=bucket, Prefix=f"out/{job['jobArn'][-12:]}/")
    )
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def read_object(local, key, bucket="bucket"):
    """Return the bytes of an object."""
    return local.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def output_records(local, job):
    """Return every record of the job's result files, in their order."""
    keys = [key for key in output_keys(local, job) if key.endswith(".jsonl.out")]
    return [json.loads(line) for key in keys for line in read_object(local, key).split(b"\n") if line]


def manifest(local, job):
    """Return the job's manifest."""
    (key,) = [key for key in output_keys(local, job) if key.endswith("manifest.json.out")]
    return json.loads(read_object(local, key))
