"""The report says what to do about every failure."""

from __future__ import annotations

from typing import get_args

import pytest

from bedrock_batch.aws.calls.advice import TEXT_BY_KIND
from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.outputs.report.actions import next_action
from bedrock_batch.records import JobErrorKind

GENERAL = next_action("a kind that nobody has seen")


@pytest.mark.parametrize("kind", get_args(JobErrorKind))
def test_each_failure_of_a_batch_record_has_an_action(kind: str) -> None:
    """A user would be sent to the documentation for a failure that the step itself names."""
    assert next_action(kind) != GENERAL


def test_a_failure_of_aws_has_the_text_of_its_kind() -> None:
    """The report would know less about a failure than the log."""
    assert next_action(ErrorKind.ENTITLEMENT.value) == TEXT_BY_KIND[ErrorKind.ENTITLEMENT]


def test_an_unknown_kind_has_a_general_action() -> None:
    """A new stop reason of a service would fail the report."""
    assert "docs/troubleshooting.md" in GENERAL
