"""docs/local_bedrock.md names every setting of the behaviour."""

import dataclasses
from pathlib import Path

import pytest

from local_bedrock import AnswerFaults, Behaviour, CallFault, JobFault, Phases, RecordFaults

DOCUMENT = (Path(__file__).parents[3] / "docs" / "local_bedrock.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [AnswerFaults, Behaviour, CallFault, JobFault, Phases, RecordFaults])
def test_every_knob_is_in_the_document(kind):
    """A fault that is not documented would be implemented twice."""
    missing = [field.name for field in dataclasses.fields(kind) if field.name not in DOCUMENT]
    assert missing == []
