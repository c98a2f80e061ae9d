"""Names, tokens and arguments of jobs, against AWS's own patterns in botocore's service model."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import boto3
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bedrock_batch.aws import job_requests
from bedrock_batch.aws.job_requests import (
    JobRequest,
    client_request_token,
    job_name,
    request_arguments,
    request_problems,
    validate_job_name,
    validate_s3_uri,
)
from bedrock_batch.errors import ConfigurationError
from helpers.aws_clients import fake_session

REQUEST = JobRequest(
    name="cursus-bedrock-batch-run1-0000",
    role_arn="arn:aws:iam::123456789012:role/Batch",
    model_id="us.anthropic.claude-haiku-4-5-20251001-v1:0",
    input_uri="s3://bucket/in/run1/0000.jsonl",
    output_uri="s3://bucket/out/run1",
    client_request_token="a" * 64,
)
FULL = replace(
    REQUEST,
    timeout_hours=48,
    invocation_type="Converse",
    kms_key_id="alias/key",
    bucket_owner="123456789012",
    tags=(("team", "a b"), ("empty", "")),
    subnet_ids=("subnet-1",),
    security_group_ids=("sg-1", "sg-2"),
)


JOB_SHAPE: Any = (
    fake_session().client("bedrock").meta.service_model.operation_model("CreateModelInvocationJob").input_shape
)


def test_our_patterns_are_those_of_the_service_model() -> None:
    """A name that passes our check would be refused by the service after the upload, or a valid one be refused here."""
    members = JOB_SHAPE.members
    uri = members["inputDataConfig"].members["s3InputDataConfig"].members["s3Uri"].metadata
    limits = members["timeoutDurationInHours"].metadata
    assert members["jobName"].metadata["max"] == job_requests.NAME_LIMIT
    assert members["clientRequestToken"].metadata["max"] == job_requests.TOKEN_LIMIT
    assert members["roleArn"].metadata["pattern"] == job_requests.ROLE_PATTERN
    assert (limits["min"], limits["max"]) == (24, 168)
    assert members["tags"].member.members["key"].metadata["pattern"] == job_requests.TAG_PATTERN
    # The pattern for S3 differs between versions of botocore; ours is that of the newest we know.
    assert uri["max"] == job_requests.URI_LIMIT


@pytest.mark.parametrize(
    ("member", "ours"),
    [("jobName", job_requests.NAME_PATTERN), ("clientRequestToken", job_requests.TOKEN_PATTERN)],
    ids=["name", "token"],
)
@given(text=st.text("aB0-+._ \nä", max_size=12))
def test_our_patterns_accept_what_those_of_aws_accept(member: str, ours: str, text: str) -> None:
    """A prefix that AWS takes would be refused, or the other way round."""
    theirs = JOB_SHAPE.members[member].metadata["pattern"]
    assert bool(re.fullmatch(ours, text)) is bool(re.fullmatch(theirs, text))


def test_a_row_of_hyphens_is_checked_at_once() -> None:
    """AWS's own pattern would keep the processor busy for years over one mistyped prefix."""
    assert not validate_job_name("a" + "-" * 61 + "_")


run_ids = st.one_of(st.from_regex(r"[a-z0-9]{1,40}", fullmatch=True), st.text(max_size=60))


@given(prefix=st.text(max_size=80), run_id=run_ids, index=st.integers(0, 10**6))
@example(prefix="cursus-bedrock-batch", run_id="0123456789ab", index=0)
@example(prefix="my_prefix__", run_id="run_1", index=3)
@example(prefix="---", run_id="", index=12345)
def test_every_job_name_is_valid(prefix: str, run_id: str, index: int) -> None:
    """A run would be refused after everything was uploaded, because of the prefix that the user chose."""
    assert validate_job_name(job_name(prefix, run_id, index))


@given(st.lists(st.tuples(run_ids, st.integers(0, 20_000)), min_size=2, max_size=8, unique=True))
@example([("run-1", 1), ("run_1", 1), ("run", 1), ("run-1-0001", 1)])
@example([("a" * 70, 1), ("a" * 71, 1)])
def test_no_two_jobs_share_a_name(jobs: list[tuple[str, int]]) -> None:
    """AWS refuses a second job of a name, or a job of another run would be taken for ours."""
    assert len({job_name("prefix" * 20, run_id, index) for run_id, index in jobs}) == len(jobs)


def test_a_usual_name_is_readable() -> None:
    """A person would not find the jobs of a run in the console."""
    assert job_name("cursus-bedrock-batch", "3f9c2ab17e40", 7) == "cursus-bedrock-batch-3f9c2ab17e40-0007"


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("a", True), ("a-b.c+d", True), ("a" * 63, True), ("a" * 64, False), ("", False), ("_a", False),
        ("a_b", False), ("-a", False), ("a b", False), ("a\n", False), ("ä", False), ("a-", True),
    ],
)  # fmt: skip
def test_job_names_are_checked_as_aws_does(name: str, valid: bool) -> None:
    """botocore sends any name, and the service refuses it after the upload."""
    assert validate_job_name(name) is valid


@pytest.mark.parametrize(
    ("uri", "valid"),
    [
        ("s3://bucket/a/b.jsonl", True), ("s3://bucket", True), ("s3://bucket/a/", True), ("s3://b/a", False),
        ("s3://bucket/dt=2026-01-01/x", False), ("s3://bucket/a b", False), ("s3://bucket//a", False),
        ("s3://bucket/ä", False), ("s3://Bucket/a", False), ("https://bucket/a", False),
        ("s3://bucket/" + "a" * 1012, True), ("s3://bucket/" + "a" * 1013, False),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_s3_paths_are_checked_as_aws_does(uri: str, valid: bool) -> None:
    """A Hive-style prefix (`dt=...`) would be refused after everything was uploaded below it."""
    assert validate_s3_uri(uri) is valid


@given(run_id=st.text(max_size=80), digest=st.text(max_size=80))
def test_a_token_is_valid_and_the_same_again(run_id: str, digest: str) -> None:
    """A restarted run would create, and pay for, the same job a second time."""
    token = client_request_token(run_id, digest)
    assert re.fullmatch(job_requests.TOKEN_PATTERN, token)
    assert token == client_request_token(run_id, digest)
    assert token != client_request_token(run_id, digest + "x")
    assert token != client_request_token(run_id + "x", digest)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "a_b"}, "job name 'a_b'"),
        ({"role_arn": "Batch"}, "BEDROCK_BATCH_ROLE_ARN"),
        ({"client_request_token": "a_b"}, "client request token"),
        ({"timeout_hours": 23}, "BEDROCK_BATCH_TIMEOUT_HOURS"),
        ({"timeout_hours": 169}, "BEDROCK_BATCH_TIMEOUT_HOURS"),
        ({"input_uri": "s3://bucket/dt=1/x"}, "s3://bucket/dt=1/x"),
        ({"output_uri": "s3://bucket//x"}, "s3://bucket//x"),
        ({"bucket_owner": "12"}, "BEDROCK_BATCH_BUCKET_OWNER"),
        ({"subnet_ids": ("subnet-1",)}, "BEDROCK_BATCH_SECURITY_GROUP_IDS"),
        ({"subnet_ids": ("s",) * 17, "security_group_ids": ("sg",)}, "BEDROCK_BATCH_SUBNET_IDS"),
        ({"subnet_ids": ("a_b",), "security_group_ids": ("sg",)}, "BEDROCK_BATCH_SUBNET_IDS"),
        ({"tags": (("", "v"),)}, "tag ''"),
        ({"tags": (("k", "ä#"),)}, "tag 'k'"),
        ({"tags": tuple((f"k{i}", "") for i in range(201))}, "201 tags"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_what_aws_would_refuse_is_named_before_the_call(change: dict[str, Any], named: str) -> None:
    """botocore sends all of this, and AWS answers with a text that does not name the setting."""
    (problem,) = request_problems(replace(REQUEST, **change))
    assert named in problem


def test_good_requests_have_no_problems() -> None:
    """A valid run would be refused."""
    assert request_problems(REQUEST) == request_problems(FULL) == []


def test_a_partition_other_than_aws_is_accepted() -> None:
    """Users in China and GovCloud could not run at all."""
    assert request_problems(replace(REQUEST, role_arn="arn:aws-cn:iam::123456789012:role/Batch")) == []


def test_a_plain_request_sends_nothing_that_an_old_sdk_does_not_know() -> None:
    """The step would not run on the botocore of many SageMaker images."""
    arguments = request_arguments(fake_session().client("bedrock"), REQUEST)
    assert arguments == {
        "jobName": REQUEST.name,
        "roleArn": REQUEST.role_arn,
        "modelId": REQUEST.model_id,
        "clientRequestToken": REQUEST.client_request_token,
        "timeoutDurationInHours": 24,
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": REQUEST.input_uri, "s3InputFormat": "JSONL"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": REQUEST.output_uri}},
    }


class OldBotocore:
    """A client whose service model has only the members of botocore 1.35.1 (2024-08-19)."""

    def __init__(self, client: Any) -> None:
        known = {
            name: member
            for name, member in JOB_SHAPE.members.items()
            if name not in ("vpcConfig", "modelInvocationType")
        }
        old_input = _Shape({"s3InputDataConfig": _Shape({"s3Uri": None, "s3InputFormat": None})})
        self.input_shape = _Shape({**known, "inputDataConfig": old_input})
        self.meta = self
        self.service_model = self
        self.operation_names = client.meta.service_model.operation_names

    def operation_model(self, name: str) -> OldBotocore:
        return self


class _Shape:
    def __init__(self, members: dict[str, Any]) -> None:
        self.members = members


def test_an_old_sdk_is_told_from_a_new_one_in_one_message() -> None:
    """A user would fix one setting after the other, with a run between them."""
    old: Any = OldBotocore(fake_session().client("bedrock"))
    with pytest.raises(ConfigurationError) as caught:
        request_arguments(old, replace(FULL, name="a_b"))
    assert len(caught.value.problems) == 4
    text = str(caught.value)
    for part in (
        "job name 'a_b'",
        "1.42.59",
        "modelInvocationType",
        "vpcConfig",
        "s3BucketOwner",
        boto3.__version__[:2],
    ):
        assert part in text
    assert request_arguments(old, REQUEST)["jobName"] == REQUEST.name
