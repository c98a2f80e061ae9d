"""The document of the local Bedrock names what there is."""

import dataclasses
from pathlib import Path

import pytest

from local_bedrock import AnswerFaults, Behaviour, CallFault, JobFault, Phases, RecordFaults

DOCUMENT = (Path(__file__).parents[2] / "docs" / "local_bedrock.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [AnswerFaults, Behaviour, CallFault, JobFault, Phases, RecordFaults])
def test_every_knob_is_in_the_document(kind):
    """A fault that no one can find would be built again."""
    missing = [field.name for field in dataclasses.fields(kind) if field.name not in DOCUMENT]
    assert missing == []
