"""Batch or real time: the specification's rule, and the reasons that a user reads."""

from __future__ import annotations

import pytest

from bedrock_batch.batch.mode import Decision, decide_mode
from bedrock_batch.environment.settings import settings_from_mapping

BATCH = {
    "primary_model_id": "us.anthropic.claude-sonnet-4-20250514-v1:0",
    "batch_role_arn": "arn:aws:iam::123456789012:role/batch",
    "batch_input_s3_path": "s3://bucket/input",
    "batch_output_s3_path": "s3://bucket/output",
}


def decide(count: int, **more: object) -> Decision:
    return decide_mode(settings_from_mapping({**BATCH, **more}), count)


@pytest.mark.parametrize(
    ("count", "settings", "expected"),
    [
        (999, {}, False),
        (1000, {}, True),
        (100, {"batch_threshold": 100}, True),
        (99, {"batch_threshold": 1}, False),
        (1000, {"batch_role_arn": ""}, False),
        (1000, {"batch_input_s3_path": ""}, False),
        (1000, {"batch_output_s3_path": ""}, False),
        (100, {"batch_mode": "batch"}, True),
        (99, {"batch_mode": "batch"}, False),
        (0, {"batch_mode": "batch"}, False),
        (1_000_000, {"batch_mode": "realtime"}, False),
    ],
    ids=str,
)
def test_the_rule_of_the_specification_decides(count: int, settings: dict[str, object], expected: bool) -> None:
    """A run would take the mode that its user did not ask for, at twice the price or after hours."""
    assert decide(count, **settings).use_batch is expected


def test_every_reason_is_told_with_what_to_set() -> None:
    """A user would remove one obstacle after the other, with a run for each."""
    decision = decide(5, batch_role_arn="", batch_input_s3_path="", batch_output_s3_path="")
    assert decision.reasons == (
        "BEDROCK_BATCH_ROLE_ARN is not set",
        "BEDROCK_BATCH_INPUT_S3_PATH is not set",
        "BEDROCK_BATCH_OUTPUT_S3_PATH is not set",
        "5 records are fewer than a job needs, BEDROCK_MIN_RECORDS_PER_JOB=100",
        "5 records are fewer than BEDROCK_BATCH_THRESHOLD=1000",
    )
