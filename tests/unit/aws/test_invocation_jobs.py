"""Jobs against botocore's stub (exact requests) and a scripted server (lost responses)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from botocore.stub import Stubber

from bedrock_batch.aws.calls.error_codes import WAIT_KINDS, ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.clients import supports
from bedrock_batch.aws.invocation_jobs import (
    TERMINAL,
    BatchUnavailableError,
    JobRefusedError,
    JobRequest,
    JobState,
    create_job,
    find_job,
    get_job,
    list_jobs,
    stop_job,
)
from bedrock_batch.errors import HopelessError, JobError
from helpers.aws_clients import clients_at, fake_session
from helpers.scripted_http import Reply, failure, scripted_server

ARN = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abcdefghijkl"
OTHER_ARN = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/mnopqrstuvwx"
REQUEST = JobRequest(
    name="cursus-bedrock-batch-run1-0000",
    role_arn="arn:aws:iam::123456789012:role/Batch",
    model_id="us.anthropic.claude-haiku-4-5-20251001-v1:0",
    input_uri="s3://bucket/in/run1/0000.jsonl",
    output_uri="s3://bucket/out/run1",
    client_request_token="a" * 64,
)
SUBMITTED = datetime(2026, 11, 24, tzinfo=timezone.utc)


def summary(arn: str = ARN, name: str = REQUEST.name, status: str = "InProgress", **more: Any) -> dict[str, Any]:
    return {
        "jobArn": arn,
        "jobName": name,
        "modelId": REQUEST.model_id,
        "clientRequestToken": REQUEST.client_request_token,
        "roleArn": REQUEST.role_arn,
        "status": status,
        "submitTime": SUBMITTED,
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": REQUEST.input_uri}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": REQUEST.output_uri}},
        **more,
    }


def listed(*summaries: dict[str, Any]) -> Reply:
    """Return a listing as the service sends it: times are ISO 8601 texts."""
    return Reply(
        body={"invocationJobSummaries": [{**item, "submitTime": "2026-11-24T00:00:00Z"} for item in summaries]}
    )


@pytest.fixture
def client() -> Any:
    return fake_session().client("bedrock")


@pytest.fixture
def stub(client: Any) -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def test_a_job_is_created_with_everything_that_was_asked_for(client: Any, stub: Stubber) -> None:
    """A job would run without the user's key, network or tags, or for another time."""
    if not supports(client, "CreateModelInvocationJob", "modelInvocationType"):
        pytest.skip("this botocore does not know Converse in batch")
    full = replace(
        REQUEST,
        timeout_hours=48,
        invocation_type="Converse",
        kms_key_id="alias/key",
        bucket_owner="123456789012",
        tags=(("team", "a"),),
        subnet_ids=("subnet-1",),
        security_group_ids=("sg-1",),
    )
    expected = {
        "jobName": REQUEST.name,
        "roleArn": REQUEST.role_arn,
        "modelId": REQUEST.model_id,
        "clientRequestToken": REQUEST.client_request_token,
        "timeoutDurationInHours": 48,
        "modelInvocationType": "Converse",
        "inputDataConfig": {
            "s3InputDataConfig": {
                "s3Uri": REQUEST.input_uri,
                "s3InputFormat": "JSONL",
                "s3BucketOwner": "123456789012",
            }
        },
        "outputDataConfig": {
            "s3OutputDataConfig": {
                "s3Uri": REQUEST.output_uri,
                "s3EncryptionKeyId": "alias/key",
                "s3BucketOwner": "123456789012",
            }
        },
        "vpcConfig": {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]},
        "tags": [{"key": "team", "value": "a"}],
    }
    stub.add_response("create_model_invocation_job", {"jobArn": ARN}, expected)
    assert create_job(client, full) == ARN


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param(Reply(lost=True), id="connection lost"),
        pytest.param(failure(500, "InternalServerException"), id="server fault"),
        pytest.param(failure(400, "ConflictException", "The provided job name is currently in use."), id="conflict"),
        pytest.param(failure(400, "ValidationException", "The provided job name is currently in use"), id="in use"),
    ],
)
def test_a_job_whose_creation_was_lost_is_found_again(lost: Reply) -> None:
    """A user would pay for a job that nobody reads, and for a second one with the same records."""
    longer = summary(OTHER_ARN, f"{REQUEST.name}0")
    with scripted_server(lost, listed(longer, summary())) as server:
        assert create_job(clients_at(server.url).bedrock, REQUEST) == ARN
    assert [request.method for request in server.requests] == ["POST", "GET"]
    assert f"nameContains={REQUEST.name}" in server.requests[1].path


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(listed(), id="nothing there"),
        pytest.param(listed(summary(clientRequestToken="b")), id="another token"),
        pytest.param(
            listed(summary(inputDataConfig={"s3InputDataConfig": {"s3Uri": "s3://bucket/other.jsonl"}})),
            id="another input",
        ),
        pytest.param(failure(429, "ThrottlingException"), id="no listing"),
    ],
)
def test_a_job_of_somebody_else_is_not_taken(found: Reply) -> None:
    """The answers of another run would be written to the user's rows."""
    with scripted_server(Reply(lost=True), found) as server, pytest.raises(AwsError) as caught:
        create_job(clients_at(server.url).bedrock, REQUEST)
    assert caught.value.kind is ErrorKind.TRANSIENT
    assert caught.value.kind in WAIT_KINDS


def test_a_name_that_another_job_holds_is_this_jobs_failure(client: Any, stub: Stubber) -> None:
    """A run would wait for ever for a name to become free."""
    stub.add_client_error("create_model_invocation_job", "ConflictException", "currently in use")
    stub.add_response("list_model_invocation_jobs", {"invocationJobSummaries": []})
    with pytest.raises(JobRefusedError) as caught:
        create_job(client, REQUEST)
    assert caught.value.kind is ErrorKind.CONFLICT


ENTITLEMENT = "You are not authorized to use batch inference. Please create a support case."
UNSUPPORTED = "Batch inference is not supported for model amazon.nova-lite-v1:0 in region us-west-2"
PASS_ROLE = "User: x is not authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/Batch"


@pytest.mark.parametrize(
    ("code", "message", "raised", "kind", "named"),
    [
        pytest.param("ThrottlingException", "slow down", AwsError, "throttled", "slow down", id="throttled: wait"),
        pytest.param("ServiceQuotaExceededException", "20", AwsError, "quota_exceeded", "20", id="quota: wait"),
        pytest.param(
            "ValidationException", ENTITLEMENT, BatchUnavailableError, "entitlement", "AWS Support", id="not entitled"
        ),
        pytest.param(
            "ValidationException",
            UNSUPPORTED,
            BatchUnavailableError,
            "model_unsupported",
            "BEDROCK_BATCH_MODE=realtime",
            id="no batch",
        ),
        pytest.param(
            "AccessDeniedException",
            PASS_ROLE,
            BatchUnavailableError,
            "access_denied",
            "iam:PassedToService",
            id="pass role",
        ),
        pytest.param(
            "ValidationException",
            "The role arn:x cannot be assumed by Bedrock",
            BatchUnavailableError,
            "validation",
            "BEDROCK_BATCH_ROLE_ARN",
            id="role",
        ),
        pytest.param(
            "ResourceNotFoundException",
            "Could not resolve the foundation model",
            BatchUnavailableError,
            "model_not_found",
            "BEDROCK_PRIMARY_MODEL_ID",
            id="no model",
        ),
        pytest.param("ExpiredTokenException", "expired", HopelessError, None, "renew", id="credentials"),
        pytest.param("ValidationException", "Bad file", JobRefusedError, "validation", "Bad file", id="this job"),
    ],
)
def test_a_refused_creation_says_whom_it_concerns(
    client: Any, stub: Stubber, code: str, message: str, raised: type[Exception], kind: str | None, named: str
) -> None:
    """One bad job would end a run of forty, or forty jobs be tried where none can be created."""
    stub.add_client_error("create_model_invocation_job", code, message)
    with pytest.raises(raised, match=named) as caught:
        create_job(client, REQUEST)
    if kind is not None:
        error: Any = caught.value
        assert error.kind.value == kind
        assert (error.kind in WAIT_KINDS) is (raised is AwsError)
    assert isinstance(caught.value, JobError) is (raised is JobRefusedError)


def test_a_job_is_read_completely(client: Any, stub: Stubber) -> None:
    """Progress, totals and the place of the results would be missing."""
    counts: dict[str, Any] = {}
    if supports_counts(client):
        counts = {
            "totalRecordCount": 10,
            "processedRecordCount": 9,
            "successRecordCount": 8,
            "errorRecordCount": 1,
        }
    response = summary(status="PartiallyCompleted", message="time", endTime=SUBMITTED, **counts)
    stub.add_response("get_model_invocation_job", response, {"jobIdentifier": ARN})
    state = get_job(client, ARN)
    assert state == JobState(
        arn=ARN,
        name=REQUEST.name,
        status="PartiallyCompleted",
        message="time",
        input_uri=REQUEST.input_uri,
        output_uri=REQUEST.output_uri,
        client_request_token=REQUEST.client_request_token,
        total_records=counts.get("totalRecordCount"),
        processed_records=counts.get("processedRecordCount"),
        success_records=counts.get("successRecordCount"),
        error_records=counts.get("errorRecordCount"),
        submit_time=SUBMITTED,
        end_time=SUBMITTED,
        model_id=response["modelId"],
    )
    assert (state.job_id, state.results_uri) == ("abcdefghijkl", "s3://bucket/out/run1/abcdefghijkl/")


def supports_counts(client: Any) -> bool:
    shape = client.meta.service_model.operation_model("GetModelInvocationJob").output_shape
    return "totalRecordCount" in shape.members


def test_only_the_five_final_statuses_end_a_job(client: Any) -> None:
    """A status that AWS adds tomorrow would end a job that still runs, and its records be paid twice."""
    known = client.meta.service_model.shape_for("ModelInvocationJobStatus").enum
    assert set(known) >= TERMINAL
    with scripted_server(Reply(body={**summary(status="Pondering"), "submitTime": "2026-11-24T00:00:00Z"})) as server:
        assert not get_job(clients_at(server.url).bedrock, ARN).terminal


def test_a_listing_goes_through_all_pages(client: Any, stub: Stubber) -> None:
    """A running job on the second page would be created again."""
    order = {"sortBy": "CreationTime", "sortOrder": "Descending"}
    stub.add_response(
        "list_model_invocation_jobs", {"invocationJobSummaries": [summary(name="other")], "nextToken": "t"}, order
    )
    stub.add_response(
        "list_model_invocation_jobs", {"invocationJobSummaries": [summary()]}, {**order, "nextToken": "t"}
    )
    assert [job.name for job in list_jobs(client)] == ["other", REQUEST.name]


def test_a_listing_is_filtered_by_the_service(client: Any, stub: Stubber) -> None:
    """Thousands of old jobs would be read at every start."""
    expected = {
        "sortBy": "CreationTime",
        "sortOrder": "Descending",
        "nameContains": "run1",
        "statusEquals": "InProgress",
        "submitTimeAfter": SUBMITTED,
    }
    stub.add_response("list_model_invocation_jobs", {"invocationJobSummaries": []}, expected)
    assert list(list_jobs(client, name_contains="run1", status="InProgress", submitted_after=SUBMITTED)) == []


def test_a_job_is_found_by_its_whole_name(client: Any, stub: Stubber) -> None:
    """Job 10 of a run would be taken for job 1."""
    pages = {"invocationJobSummaries": [summary(OTHER_ARN, f"{REQUEST.name}0"), summary(OTHER_ARN, "x" + REQUEST.name)]}
    stub.add_response("list_model_invocation_jobs", pages)
    assert find_job(client, REQUEST.name) is None


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_stopping_a_job_that_has_ended_is_no_failure(client: Any, stub: Stubber, code: str) -> None:
    """Ending a run would fail because one of its jobs was already done."""
    stub.add_response("stop_model_invocation_job", {}, {"jobIdentifier": ARN})
    stub.add_client_error("stop_model_invocation_job", code, "already ended")
    assert stop_job(client, ARN) is True
    assert stop_job(client, ARN) is False


def test_a_job_that_could_not_be_stopped_is_told(client: Any, stub: Stubber) -> None:
    """A user would believe that a job had stopped which goes on costing money."""
    stub.add_client_error("stop_model_invocation_job", "AccessDeniedException", "no")
    with pytest.raises(AwsError, match="StopModelInvocationJob"):
        stop_job(client, ARN)
