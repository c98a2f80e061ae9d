"""What the tests of the local Bedrock share: bodies, jobs and their outputs, all through boto3."""

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
    """An Anthropic body for one prompt."""
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    if prefill is not None:
        messages.append({"role": "assistant", "content": [{"type": "text", "text": prefill}]})
    return {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1000, "messages": messages, **more}


def converse_body(text="Where is my parcel?", **more):
    """A Converse request without its model id."""
    return {"messages": [{"role": "user", "content": [{"text": text}]}], "inferenceConfig": {"maxTokens": 1000}, **more}


def lines_of(bodies, first_id=0):
    """JSONL of batch records with ids CALL0000000 and so on."""
    records = [{"recordId": f"CALL{i:07d}", "modelInput": body} for i, body in enumerate(bodies, first_id)]
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def create_job(local, data=None, key="in/records.jsonl", name="job-1", bucket="bucket", **more):
    """Upload `data` (default: 100 records) and create a job over it; its ARN."""
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
    """Poll until the job has one of the statuses; the last answer of Get."""
    client = local.client("bedrock")
    for _ in range(2000):
        job = client.get_model_invocation_job(jobIdentifier=arn)
        if job["status"] in statuses:
            return job
        time.sleep(0.005)
    raise AssertionError(f"the job stays {job['status']}")


def run_job(local, *args, **kwargs):
    """Create a job and wait for its end; the last answer of Get."""
    return wait_for(local, create_job(local, *args, **kwargs))


def output_keys(local, job, bucket="bucket"):
    """Every key in the job's output folder."""
    pages = (
        local.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=bucket, Prefix=f"out/{job['jobArn'][-12:]}/")
    )
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def read_object(local, key, bucket="bucket"):
    """The bytes of one object."""
    return local.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def output_records(local, job):
    """Every JSON line of the job's results, in the order in which they stand there."""
    keys = [key for key in output_keys(local, job) if key.endswith(".jsonl.out")]
    return [json.loads(line) for key in keys for line in read_object(local, key).split(b"\n") if line]


def manifest(local, job):
    """The job's manifest."""
    (key,) = [key for key in output_keys(local, job) if key.endswith("manifest.json.out")]
    return json.loads(read_object(local, key))
