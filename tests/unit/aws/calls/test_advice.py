"""The advice on each kind of failure."""

from __future__ import annotations

import json

import pytest

from bedrock_batch.aws.calls.advice import advice, hopeless_error, statement
from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.errors import HopelessError

ROLE = "arn:aws:sts::123456789012:assumed-role/Step/s"
MODEL = "arn:aws:bedrock:us-east-1::foundation-model/m"


@pytest.mark.parametrize("kind", [kind for kind in ErrorKind if kind.hopeless], ids=lambda kind: kind.value)
def test_every_error_that_ends_a_run_says_what_to_do(kind: ErrorKind) -> None:
    """A user would have an ended run and only the bare error text of AWS."""
    error = AwsError(kind, "text", operation="InvokeModel", code="Code")
    ended = hopeless_error(error)
    assert isinstance(ended, HopelessError)
    assert str(ended) == f"InvokeModel: Code: text. What to do: {advice(error)}"
    assert len(advice(error)) > 40


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            ErrorKind.ON_DEMAND_UNSUPPORTED,
            ("BEDROCK_INFERENCE_PROFILE_ARN", "BEDROCK_INFERENCE_PROFILE_REQUIRED_MODELS"),
        ),
        (ErrorKind.MODEL_NOT_FOUND, ("BEDROCK_PRIMARY_MODEL_ID",)),
        (ErrorKind.MODEL_UNSUPPORTED, ("BEDROCK_BATCH_MODE=realtime",)),
        (ErrorKind.MARKETPLACE, ("aws-marketplace:Subscribe",)),
        (ErrorKind.TIMEOUT, ("BEDROCK_READ_TIMEOUT_SECONDS",)),
    ],
    ids=lambda value: value.value if isinstance(value, ErrorKind) else "",
)
def test_advice_names_the_setting(kind: ErrorKind, names: tuple[str, ...]) -> None:
    """A user would have to search the documentation for the variable that helps."""
    assert all(name in advice(AwsError(kind, "text")) for name in names)


def test_a_denied_action_becomes_the_statement_that_allows_it() -> None:
    """A user would have to work out which action on which resource the role lacks."""
    text = f"User: {ROLE} is not authorized to perform: bedrock:InvokeModel on resource: {MODEL} because no policy"
    error = AwsError(ErrorKind.ACCESS_DENIED, text, operation="Converse")
    expected = {"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": MODEL}
    assert json.loads(statement(error)) == expected
    assert statement(error) in advice(error)


def test_a_denial_without_details_names_the_action_of_the_call() -> None:
    """S3 says no more than "Access Denied"; the user would not even learn which right is missing."""
    error = AwsError(ErrorKind.ACCESS_DENIED, "Access Denied", operation="UploadFile")
    assert json.loads(statement(error))["Action"] == "s3:PutObject"


def test_passing_the_role_is_allowed_for_bedrock_only() -> None:
    """The advice would hand out a right to pass the role to any service."""
    role = "arn:aws:iam::123456789012:role/Batch"
    text = f"User: {ROLE} is not authorized to perform: iam:PassRole on resource: {role}"
    body = json.loads(statement(AwsError(ErrorKind.ACCESS_DENIED, text, operation="CreateModelInvocationJob")))
    assert body["Condition"] == {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("not authorized ... with an explicit deny in a service control policy", "service control policy denies"),
        ("because no VPC endpoint policy allows the bedrock:InvokeModel action", "policy of the VPC endpoint"),
        ("You don't have access to the model with the specified model ID.", "request access to the model"),
    ],
    ids=["deny", "endpoint", "model access"],
)
def test_denials_that_a_policy_statement_does_not_help(text: str, expected: str) -> None:
    """A user would add a statement to the role and still be denied."""
    assert expected in advice(AwsError(ErrorKind.ACCESS_DENIED, text))


def test_a_record_error_has_no_advice() -> None:
    """Advice that does not fit would hide AWS's own words."""
    error = AwsError(ErrorKind.VALIDATION, "text", code="ValidationException")
    assert advice(error) == ""
    assert str(hopeless_error(error)) == "ValidationException: text"
