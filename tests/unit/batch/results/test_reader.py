"""The results of a job: which row gets which line, and the error of a row without one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.answers.collector import AnswerCollector
from bedrock_batch.answers.columns import AnswerColumns
from bedrock_batch.answers.parser import AnswerParser
from bedrock_batch.answers.schema.response_schema import ResponseSchema
from bedrock_batch.batch.results.reader import UNANSWERED, JobResults, SentRecords, read_results
from bedrock_batch.costs.prices import PriceBook
from bedrock_batch.costs.tracker import CostTracker
from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.models.model_input import build_model_input
from bedrock_batch.records import prompt_check, record_id

MODEL = "us.anthropic.claude-sonnet-4-20250514-v1:0"
INPUT = build_model_input(settings_from_mapping({"primary_model_id": MODEL}), MODEL)
# Lines of the first are plain; the strict parser refuses those of the second.
ALL_PROMPTS = {
    "plain": {number: f"prompt {number} \u2028 Grüße" for number in range(4)},
    "with half of a surrogate pair": {number: f"prompt {number} \u2028 Grüße \ud800" for number in range(4)},
}
SCHEMA = ResponseSchema({"properties": {"a": {"type": "integer"}}})


@dataclass
class Files:
    """Result files of a job over four prompts."""

    prompts: dict[int, str]
    folder: Path

    def line(self, number: int, fields: Any = None, *, echo: Any = None, **more: Any) -> bytes:
        echoed = INPUT.body(self.prompts[number]) if echo is None else echo
        entry = {"recordId": record_id(number), "modelInput": echoed, **more}
        if fields is not None:
            content = [{"type": "text", "text": json.dumps(fields)[1:]}]
            usage = {"input_tokens": 7, "output_tokens": 3}
            entry["modelOutput"] = {"content": content, "stop_reason": "end_turn", "usage": usage}
        return json.dumps(entry).encode() + b"\n"

    def read(self, *files: bytes, unanswered: str = "missing") -> JobResults:
        paths = [self.folder / f"{index}.jsonl.out" for index in range(len(files))]
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        checks = {number: prompt_check(text) for number, text in self.prompts.items()}
        answers = AnswerCollector(PARSER, COLUMNS, CostTracker(PriceBook({})), self.folder / "answers", lambda _: False)
        return read_results(paths, SentRecords(checks, MODEL, prefilled=True), answers, unanswered=unanswered)


PARSER, COLUMNS = AnswerParser(SCHEMA), AnswerColumns(SCHEMA, "")


@pytest.fixture(params=ALL_PROMPTS)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return Files(ALL_PROMPTS[request.param], tmp_path)


def kinds(results: JobResults) -> dict[int, str]:
    """Return the kind of each row's error, or `answer`; `rows` fails unless each row has exactly one of them."""
    return {number: row["_error_kind"] if row["error"] else "answer" for number, row in enumerate(rows(results))}


def rows(results: JobResults) -> list[dict[str, Any]]:
    """Return the rows as they are in the output."""
    errors = {number: PARSER.parse(error) for number, error in results.errors.items()}
    return [row for _, batch in results.answers.rows(0, 4, errors) for row in batch.to_pylist()]


def test_lines_of_several_files_in_any_order_are_joined_by_id(files: Files) -> None:
    """Answers would stand in other rows."""
    first = files.line(3, {"a": 3}) + files.line(0, {"a": 0})
    results = files.read(first, files.line(2, {"a": 2}) + files.line(1, {"a": 1}))
    assert [row["a"] for row in rows(results)] == [0, 1, 2, 3]
    shown = ("_source", "_model_id", "_repair", "_input_tokens", "_batch_output_tokens", "parse_status", "status")
    same = {tuple(row[name] for name in shown) for row in rows(results)}
    assert same == {("batch", MODEL, "none", 7, 3, "success", "success")}
    assert (results.counts.lines, results.counts.missing) == (4, 0)


@pytest.mark.parametrize("kind", UNANSWERED)
def test_records_without_a_line_tell_why(files: Files, kind: str) -> None:
    """A row would be without an answer and without a reason."""
    results = files.read(files.line(1, {}), unanswered=kind)
    assert kinds(results) == {0: kind, 1: "answer", 2: kind, 3: kind}
    assert results.counts.missing == 3


def test_a_job_without_files_leaves_every_record_to_be_asked(files: Files) -> None:
    """A job that failed in validation would raise instead."""
    assert kinds(files.read(unanswered="job_failed")) == dict.fromkeys(range(4), "job_failed")


def test_the_first_answer_of_a_repeated_id_is_kept_and_wins_over_an_error(files: Files) -> None:
    """A second line would change an answer, or an error would hide one that was paid for."""
    failed = {"errorCode": 500, "errorMessage": "no"}
    first = files.line(0, {"a": 1}) + files.line(0, {"a": 2})
    second = files.line(1, error=failed) + files.line(1, {"a": 1}) + files.line(1, error=failed)
    results = files.read(first + second + files.line(2, {}) + files.line(3, {}))
    assert [row["a"] for row in rows(results)][:2] == [1, 1]
    assert results.counts.repeated == 3


def test_ids_that_were_not_sent_are_counted_and_dropped(files: Files) -> None:
    """A foreign result would become a row, or end the run."""
    foreign = b'{"recordId":"CALL0000001","modelOutput":{}}\n{"recordId":"R0000000099","modelOutput":{}}\n'
    results = files.read(foreign + b"".join(files.line(n, {}) for n in range(4)))
    assert kinds(results) == dict.fromkeys(range(4), "answer")
    assert results.counts.unknown == 2


def test_a_line_that_is_not_json_costs_the_record_whose_id_it_shows(files: Files) -> None:
    """A torn line would leave its record `missing`, as if nothing had come."""
    torn = files.line(2, {"a": "x" * 50})[:-40] + b"\n"
    results = files.read(b"no json at all\n\n" + torn + files.line(0, {}) + files.line(1, {}) + files.line(3, {})[:-1])
    assert kinds(results) == {0: "answer", 1: "answer", 2: "unreadable", 3: "answer"}
    assert results.counts.unreadable == 2


def test_a_line_nested_without_end_costs_no_other_record(files: Files) -> None:
    """A hostile answer would end the process, and the answers of a whole job would never be read."""
    deep = b'"more": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b', "usage"'
    first = files.line(0, {"a": 0}).replace(b'"usage"', deep)
    results = files.read(first + b"".join(files.line(number, {"a": number}) for number in (1, 2, 3)))
    assert {number: kinds(results)[number] for number in (1, 2, 3)} == dict.fromkeys((1, 2, 3), "answer")
    assert kinds(results)[0] in ("answer", "unreadable")


def test_an_answer_under_another_records_id_is_not_taken(files: Files) -> None:
    """A row would get the answer to another row's text."""
    bodies = [INPUT.body(files.prompts[number]) for number in (1, 0)]
    swapped = files.line(0, {"a": 0}, echo=bodies[0]) + files.line(1, {"a": 1}, echo=bodies[1])
    results = files.read(swapped + files.line(2, {}) + files.line(3, {}))
    assert kinds(results) == {0: "mismatched", 1: "mismatched", 2: "answer", 3: "answer"}


@pytest.mark.parametrize("echo", [{}, {"messages": []}, {"messages": [{"content": [{"image": 1}]}]}], ids=str)
def test_an_echo_without_a_prompt_is_counted_and_its_answer_kept(files: Files, echo: Any) -> None:
    """A change of AWS's echo would buy every answer of a run a second time."""
    results = files.read(b"".join(files.line(n, {}, echo=echo) for n in range(4)))
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
    files: Files, error: dict[str, Any], kind: str, retryable: bool
) -> None:
    """The same refusal would be paid for again, or a busy moment taken for a refusal."""
    results = files.read(files.line(0, error=error))
    failure = results.errors[0]
    assert (failure.kind, failure.retryable) == (kind, retryable)
    assert failure.message


def test_a_line_with_neither_answer_nor_error_is_an_error(files: Files) -> None:
    """An empty result would be taken for an answer."""
    assert kinds(files.read(files.line(0)))[0] == "batch_error_unknown"


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


DAMAGED_OUTPUTS = {
    "a list": b"[]",
    "null": b"null",
    "a number": b"5",
    "a text": b'"text"',
    "an empty object": b"{}",
    "no message": b'{"output": {}}',
    "a message that is a list": b'{"output": {"message": []}}',
    "content that is an object": b'{"output": {"message": {"content": {}}}}',
    "a block that is null": b'{"output": {"message": {"content": [null]}}}',
    "a text that is a list": b'{"output": {"message": {"content": [{"text": []}]}}}',
    "usage that is a list": b'{"output": {"message": {"content": [{"text": "x"}]}}, "usage": [1]}',
    **{
        f"{place} of {depth} levels": form % nested(depth)
        for depth in (100, 190, 250, 500, 900, 990, 5_000, 100_000)
        for place, form in {
            "an answer": b'{"output": %s}',
            "an input of a tool": b'{"output": {"message": {"content": [{"toolUse": {"input": %s}}]}}}',
            "another member": b'{"metrics": %s}',
        }.items()
    },
}


@pytest.mark.parametrize("damage", DAMAGED_OUTPUTS)
def test_a_damaged_answer_costs_its_own_row_alone(files: Files, damage: str) -> None:
    """One answer that is a list, or is nested too deep, would end the run with all other answers of the job."""
    echo = json.dumps(INPUT.body(files.prompts[1])).encode()
    line = b'{"recordId": "%s", "modelInput": %s, "modelOutput": %s}\n'
    line %= (record_id(1).encode(), echo, DAMAGED_OUTPUTS[damage])
    results = files.read(files.line(0, {"a": 0}) + line + files.line(2, {"a": 2}) + files.line(3, {"a": 3}))
    read = rows(results)
    assert [row["a"] for row in read] == [0, None, 2, 3]
    assert [row["parse_status"] == "success" for row in read] == [True, False, True, True]
