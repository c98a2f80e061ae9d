"""The questions of a job beside its ledger: another run reads what was written, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.ledger.job_questions import JobQuestions, parse_job_questions

FRAME = "a.model/" + "0" * 32


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**32 - 1), st.binary(min_size=16, max_size=16))))
def test_questions_are_read_as_they_were_written(records):
    """A run would wait for a job that does not hold its questions, or take the answers to others."""
    numbers, checks, digests = ([record[part] for record in records] for part in range(3))
    sent = JobQuestions.of(FRAME, "us.a.model", True, numbers, checks, b"".join(digests))
    found = parse_job_questions(sent.encode())
    assert found is not None
    assert (found.frame, found.model_id, found.prefilled) == (FRAME, "us.a.model", True)
    assert (found.numbers.tolist(), found.checks.tolist(), found.digests) == (numbers, checks, b"".join(digests))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data.replace(b'"schema_version": 1', b'"schema_version": 2'),
        lambda data: data.replace(b'"records": 1', b'"records": -1'),
        lambda data: data.replace(b'"prefilled": false', b'"prefilled": null'),
        lambda data: b"[]" + data[data.index(b"\n") :],
    ],
)
def test_damaged_questions_are_none(change):
    """One damaged file beside the ledger of a killed run would end all later runs that ask the same."""
    data = JobQuestions.of(FRAME, "m", False, [7], [9], b"0123456789abcdef").encode()
    assert parse_job_questions(data) is not None
    assert parse_job_questions(change(data)) is None
