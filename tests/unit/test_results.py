"""Results of a job: which row gets which line, and why another gets none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.config import settings_from_mapping
from bedrock_batch.model_input import build_model_input
from bedrock_batch.records import ModelAnswer, RecordError, record_id
from bedrock_batch.results import UNANSWERED, JobResults, SentRecords, read_results
from bedrock_batch.staging import prompt_check

MODEL = "us.anthropic.claude-sonnet-4-20250514-v1:0"
INPUT = build_model_input(settings_from_mapping({"primary_model_id": MODEL}), MODEL)
PROMPTS = {number: f"prompt {number} \u2028 Grüße \ud800" for number in range(4)}
SENT = SentRecords({number: prompt_check(text) for number, text in PROMPTS.items()}, MODEL, prefilled=True)


def line(number: int, output: Any = None, *, echo: Any = None, **more: Any) -> bytes:
    entry = {"recordId": record_id(number), "modelInput": INPUT.body(PROMPTS[number]) if echo is None else echo, **more}
    if output is not None:
        entry["modelOutput"] = output
    return json.dumps(entry).encode() + b"\n"


def read(tmp_path: Path, *files: bytes, unanswered: str = "missing") -> JobResults:
    paths = [tmp_path / f"{index}.jsonl.out" for index in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return read_results(paths, SENT, unanswered=unanswered)


def kinds(results: JobResults) -> dict[int, str]:
    return {n: o.kind if isinstance(o, RecordError) else "answer" for n, o in sorted(results.outputs.items())}


def test_lines_of_several_files_in_any_order_are_joined_by_id(tmp_path: Path) -> None:
    """Answers would stand in other rows."""
    results = read(tmp_path, line(3, {"a": 3}) + line(0, {"a": 0}), line(2, {"a": 2}) + line(1, {"a": 1}))
    assert {n: o.body["a"] for n, o in results.outputs.items() if isinstance(o, ModelAnswer)} == {
        0: 0,
        1: 1,
        2: 2,
        3: 3,
    }
    assert all(isinstance(o, ModelAnswer) and o.prefilled and o.source == "batch" for o in results.outputs.values())
    assert (results.counts.lines, results.counts.missing) == (4, 0)


@pytest.mark.parametrize("kind", UNANSWERED)
def test_records_without_a_line_tell_why(tmp_path: Path, kind: str) -> None:
    """A row would be without an answer and without a reason."""
    results = read(tmp_path, line(1, {}), unanswered=kind)
    assert kinds(results) == {0: kind, 1: "answer", 2: kind, 3: kind}
    assert results.counts.missing == 3


def test_a_job_without_files_leaves_every_record_to_be_asked(tmp_path: Path) -> None:
    """A job that failed in validation would raise instead."""
    assert kinds(read(tmp_path, unanswered="job_failed")) == dict.fromkeys(range(4), "job_failed")


def test_the_first_answer_of_a_repeated_id_is_kept_and_wins_over_an_error(tmp_path: Path) -> None:
    """A second line would change an answer, or an error would hide one that was paid for."""
    failed = {"errorCode": 500, "errorMessage": "no"}
    data = line(0, {"a": 1}) + line(0, {"a": 2}) + line(1, error=failed) + line(1, {"a": 1}) + line(1, error=failed)
    results = read(tmp_path, data + line(2, {}) + line(3, {}))
    assert results.outputs[0] == ModelAnswer(0, {"a": 1}, MODEL, "batch", prefilled=True)
    assert isinstance(results.outputs[1], ModelAnswer)
    assert results.counts.repeated == 3


def test_ids_that_were_not_sent_are_counted_and_dropped(tmp_path: Path) -> None:
    """A foreign result would become a row, or end the run."""
    foreign = b'{"recordId":"CALL0000001","modelOutput":{}}\n{"recordId":"R0000000099","modelOutput":{}}\n'
    results = read(tmp_path, foreign + b"".join(line(n, {}) for n in range(4)))
    assert sorted(results.outputs) == [0, 1, 2, 3]
    assert results.counts.unknown == 2


def test_a_line_that_is_not_json_costs_the_record_whose_id_it_shows(tmp_path: Path) -> None:
    """A torn line would leave its record `missing`, as if nothing had come."""
    torn = line(2, {"a": "x" * 50})[:-40] + b"\n"
    results = read(tmp_path, b"no json at all\n\n" + torn + line(0, {}) + line(1, {}) + line(3, {})[:-1])
    assert kinds(results) == {0: "answer", 1: "answer", 2: "unreadable", 3: "answer"}
    assert results.counts.unreadable == 2


def test_an_answer_under_another_records_id_is_not_taken(tmp_path: Path) -> None:
    """A row would get the answer to another row's text."""
    swapped = line(0, {"a": 0}, echo=INPUT.body(PROMPTS[1])) + line(1, {"a": 1}, echo=INPUT.body(PROMPTS[0]))
    results = read(tmp_path, swapped + line(2, {}) + line(3, {}))
    assert kinds(results) == {0: "mismatched", 1: "mismatched", 2: "answer", 3: "answer"}


@pytest.mark.parametrize("echo", [{}, {"messages": []}, {"messages": [{"content": [{"image": 1}]}]}], ids=str)
def test_an_echo_without_a_prompt_is_counted_and_its_answer_kept(tmp_path: Path, echo: Any) -> None:
    """A change of AWS's echo would buy every answer of a run a second time."""
    results = read(tmp_path, b"".join(line(n, {}, echo=echo) for n in range(4)))
    assert kinds(results) == dict.fromkeys(range(4), "answer")
    assert results.counts.unverified == 4


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        ({"errorCode": 400, "errorMessage": "bad"}, "batch_error_400", False),
        ({"errorCode": 429, "errorMessage": "busy"}, "batch_error_429", True),
        ({"errorCode": 424}, "batch_error_424", True),
        ({"errorCode": 500}, "batch_error_500", True),
        ({"errorCode": 400, "retryable": True}, "batch_error_400", True),
        ({"errorCode": 500, "retryable": False}, "batch_error_500", False),
        ({"errorCode": 400, "expired": True, "retryable": False}, "expired", True),
        ({"errorCode": "ThrottlingException"}, "batch_error_ThrottlingException", True),
        ({"errorCode": "\ud800"}, "batch_error_unknown", True),
        ({"errorCode": {"a": 1}}, "batch_error_unknown", True),
        ({}, "batch_error_unknown", True),
    ],
    ids=str,
)
def test_an_error_says_whether_asking_again_can_help(
    tmp_path: Path, error: dict[str, Any], kind: str, retryable: bool
) -> None:
    """The same refusal would be paid for again, or a busy moment taken for a refusal."""
    results = read(tmp_path, line(0, error=error))
    output = results.outputs[0]
    assert isinstance(output, RecordError)
    assert (output.kind, output.retryable) == (kind, retryable)
    assert output.message


def test_a_line_with_neither_answer_nor_error_is_an_error(tmp_path: Path) -> None:
    """An empty result would be taken for an answer."""
    assert kinds(read(tmp_path, line(0)))[0] == "batch_error_unknown"
