"""The stored form of a ledger across versions of the step."""

from __future__ import annotations

import json

import pytest

from bedrock_batch.ledger.document import SCHEMA_VERSION, LedgerDocument, parse_document


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_ledger_of_an_earlier_version_is_continued(version: int) -> None:
    """An upgrade of the step would make every interrupted run unreadable, and its answers paid for again."""
    job = {
        "index": 0, "start": 0, "stop": 20, "records": 20, "left_out": 0, "bytes": 9000, "max_bytes": 943718400,
        "content_digest": "ab", "name": "job-0", "input_uri": "s3://b/in/job-00000.jsonl", "state": "created",
        "arn": "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/abc", "status": None, "message": None,
        "output_uri": None, "submit_time": None, "end_time": None, "results": None,
    }  # fmt: skip # as the first version wrote it; the second added a field with a default
    stored = {
        "schema_version": version, "run_id": "0123456789abcdef", "parts": {"inputs": "x"}, "mode": "batch",
        "owner": None, "beat": 7, "finished": False, "jobs": [job],
    }  # fmt: skip
    document = parse_document(json.dumps(stored).encode(), "s3://b/in/ledger.json")
    assert document.jobs[0].refused_model is False
    assert document.jobs[0].arn == job["arn"]
    written = LedgerDocument.model_validate_json(document.model_dump_json())
    assert (written.schema_version, written.beat) == (SCHEMA_VERSION, 7)
