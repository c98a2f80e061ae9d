"""The collector of a job's answers: more than fit in memory, from several sources, in row order."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.answers.collector import AnswerCollector
from bedrock_batch.answers.columns import AnswerColumns
from bedrock_batch.answers.parser import AnswerParser
from bedrock_batch.answers.schema.response_schema import ResponseSchema
from bedrock_batch.answers.validation_retries import is_worth_repeating
from bedrock_batch.batch.results.reader import ResultReader, SentRecords
from bedrock_batch.costs.prices import PriceBook
from bedrock_batch.costs.tracker import CostTracker
from bedrock_batch.records import Answer, ModelOutput, prompt_check, record_id

MODEL = "a.model"
SCHEMA = ResponseSchema({"properties": {"a": {"type": "integer"}}, "required": ["a"]})
PARSERS = {"schema": AnswerParser(SCHEMA), "no schema": AnswerParser(None)}
COLUMNS = {"schema": AnswerColumns(SCHEMA, ""), "no schema": AnswerColumns(None, "")}
# Several times as many as memory holds; every 97th answer is invalid before repair.
COUNT = 10_000
BOOK = PriceBook({MODEL: {"input": 1.0, "output": 1.0}})
ONE_ANSWER_USD = 5e-6


def body_of(number: int) -> dict[str, Any]:
    text = f'"a": {number}}}' if number % 97 else f"Here it is: {{'a': {number}}}"
    usage = {"input_tokens": 3, "output_tokens": 7}
    return {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": usage}


def answers_in(
    folder: Path,
    kind: str = "schema",
    may_be_replaced: Callable[[Answer], bool] = lambda _: False,
    spending: CostTracker | None = None,
) -> AnswerCollector:
    return AnswerCollector(PARSERS[kind], COLUMNS[kind], spending or CostTracker(BOOK), folder, may_be_replaced)


def line_of(number: int) -> bytes:
    echoed = {"messages": [{"role": "user", "content": f"prompt {number}"}]}
    entry = {"recordId": record_id(number), "modelInput": echoed, "modelOutput": body_of(number)}
    return json.dumps(entry).encode() + b"\n"


def read_shuffled(answers: AnswerCollector, folder: Path) -> None:
    """Read the shuffled result lines of a job of COUNT records in blocks of some hundred."""
    numbers = list(range(COUNT))
    random.Random(0).shuffle(numbers)
    sent = SentRecords({n: prompt_check(f"prompt {n}") for n in range(COUNT)}, MODEL, prefilled=True)
    reader = ResultReader(sent, answers)
    for start in range(0, COUNT, 300):
        reader.take([line_of(number) for number in numbers[start : start + 300]])
    assert len([*folder.iterdir()]) > 1  # all but the last thousands are on disk
    results = reader.finish("missing", "")
    assert (results.counts.lines, results.errors) == (COUNT, {})


def column(answers: AnswerCollector, name: str) -> list[Any]:
    starts, batches = zip(*answers.rows(0, COUNT, answers.replaceable), strict=True)
    assert [*starts] == [sum(batch.num_rows for batch in batches[:n]) for n in range(len(batches))]
    return [value for batch in batches for value in batch[name].to_pylist()]


def test_every_row_gets_its_answer_and_is_paid_once(tmp_path: Path) -> None:
    """Answers of a large job would be lost, repeated or put into other rows, or its cost would be wrong."""
    spending = CostTracker(BOOK)
    answers = answers_in(tmp_path / "answers", spending=spending)
    read_shuffled(answers, tmp_path / "answers")
    assert len(answers) == COUNT
    assert column(answers, "a") == [*range(COUNT)]
    assert {row % 97 == 0 for row, repair in enumerate(column(answers, "_repair")) if repair != "none"} == {True}
    (usage,) = spending.as_dict()["usage"]
    assert (usage["records"], usage["input_tokens"], usage["output_tokens"]) == (COUNT, 3 * COUNT, 7 * COUNT)


def test_each_answer_releases_its_reserved_cost(tmp_path: Path) -> None:
    """A run with a cost limit would count finished jobs twice and stop at half the limit, or exceed it."""
    spending = CostTracker(BOOK, limit=ONE_ANSWER_USD * COUNT * 1.5)
    spending.expect(COUNT, {"batch": ONE_ANSWER_USD * COUNT})
    assert spending.reserve(COUNT)
    read_shuffled(answers_in(tmp_path / "answers", spending=spending), tmp_path / "answers")
    assert spending.usd == pytest.approx(ONE_ANSWER_USD * COUNT)
    assert spending.reserve(COUNT // 2)
    assert not spending.reserve(1)


def test_answers_are_taken_over_with_those_that_are_open(tmp_path: Path) -> None:
    """Records that were sent again by another output mode would lose their answers, or get those of other rows."""
    first, second = (answers_in(tmp_path / name, may_be_replaced=is_worth_repeating) for name in ("first", "second"))
    no_json = {"content": [{"type": "text", "text": "no"}], "stop_reason": "end_turn"}
    first.add(ModelOutput(0, no_json, MODEL, "batch"), 100)
    second.add(ModelOutput(1, no_json, MODEL, "batch"), 100)
    numbers = list(range(2, COUNT))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        second.add(ModelOutput(number, body_of(number), MODEL, "batch", prefilled=True), 100)
    assert len([*(tmp_path / "second").iterdir()]) > 1
    first.extend(second)
    assert [*first.replaceable] == [0, 1]
    assert column(first, "a") == [None, None, *range(2, COUNT)]


@pytest.mark.parametrize("prefilled", [True, False])
def test_without_a_schema_an_object_is_enough(tmp_path: Path, prefilled: bool) -> None:
    """Every answer of a run without a schema would be parsed slowly, or count as validated."""
    answers = answers_in(tmp_path / "answers", "no schema")
    texts = ['"a": 1}', "1", "no"] if prefilled else ['{"a": 1}', "1", "no"]
    assert answers.accept(texts, prefilled) == [{"response": '{"a": 1}'}, None, None]
    read_shuffled(answers, tmp_path / "answers")
    assert {*column(answers, "parse_status")} == {"json_only"}
    assert [json.loads(text)["a"] for text in column(answers, "response")] == [*range(COUNT)]


def test_rows_without_an_answer_are_noticed(tmp_path: Path) -> None:
    """A missing row would shift all later answers by one row."""
    answers = answers_in(tmp_path / "answers")
    for number in (0, 2):
        answers.add(ModelOutput(number, body_of(1), MODEL, "batch", prefilled=True), 100)
    with pytest.raises(ValueError, match="do not have one answer each"):
        next(answers.rows(0, 3, {}))


def test_large_answers_are_handed_out_in_parts(tmp_path: Path) -> None:
    """Memory would hold all answers of a job that has some long ones."""
    answers = answers_in(tmp_path / "answers", "no schema")
    for number in reversed(range(1_000)):
        text = f"{number} " + "x" * (4_000_000 if number < 24 else 0)
        body = {"content": [{"type": "text", "text": text}], "stop_reason": "max_tokens"}
        answers.add(ModelOutput(number, body, MODEL, "batch"), len(text))
    starts, batches = zip(*answers.rows(0, 1_000, {}), strict=True)
    texts = [text for batch in batches for text in batch["raw_response"].to_pylist()]
    assert [int(text.split()[0]) for text in texts] == [*range(1_000)]
    assert [*starts] == [sum(batch.num_rows for batch in batches[:n]) for n in range(len(batches))]
    assert all(batch.nbytes < 80_000_000 for batch in batches)
