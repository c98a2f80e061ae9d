"""The answers of a job: as many as need several files on disk, from several places, in the order of the rows."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.job_answers import JobAnswers
from bedrock_batch.outcome_columns import OutcomeColumns
from bedrock_batch.prices import PriceBook
from bedrock_batch.records import ModelAnswer, Outcome, record_id
from bedrock_batch.repeats import is_worth_repeating
from bedrock_batch.responses import ResponseParser
from bedrock_batch.results import ResultReader, SentRecords
from bedrock_batch.schema import ResponseSchema
from bedrock_batch.spending import Spending
from bedrock_batch.staging import prompt_check

MODEL = "a.model"
SCHEMA = ResponseSchema({"properties": {"a": {"type": "integer"}}, "required": ["a"]})
PARSERS = {"schema": ResponseParser(SCHEMA), "no schema": ResponseParser(None)}
COLUMNS = {"schema": OutcomeColumns(SCHEMA, ""), "no schema": OutcomeColumns(None, "")}
# More than are held in memory, more than once; every 97th answer is not valid as it stands.
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
    is_open: Callable[[Outcome], bool] = lambda _: False,
    spending: Spending | None = None,
) -> JobAnswers:
    return JobAnswers(PARSERS[kind], COLUMNS[kind], spending or Spending(BOOK), folder, is_open)


def line_of(number: int) -> bytes:
    echoed = {"messages": [{"role": "user", "content": f"prompt {number}"}]}
    entry = {"recordId": record_id(number), "modelInput": echoed, "modelOutput": body_of(number)}
    return json.dumps(entry).encode() + b"\n"


def read_shuffled(answers: JobAnswers, folder: Path) -> None:
    """Read the result lines of a job of COUNT records, which come in any order, some hundred at a time."""
    numbers = list(range(COUNT))
    random.Random(0).shuffle(numbers)
    sent = SentRecords({n: prompt_check(f"prompt {n}") for n in range(COUNT)}, MODEL, prefilled=True)
    reader = ResultReader(sent, answers)
    for start in range(0, COUNT, 300):
        reader.take([line_of(number) for number in numbers[start : start + 300]])
    assert len([*folder.iterdir()]) > 1  # all but the last thousands are on disk
    results = reader.finish("missing", "")
    assert (results.counts.lines, results.errors) == (COUNT, {})


def column(answers: JobAnswers, name: str) -> list[Any]:
    starts, batches = zip(*answers.rows(0, COUNT, answers.opened), strict=True)
    assert [*starts] == [sum(batch.num_rows for batch in batches[:n]) for n in range(len(batches))]
    return [value for batch in batches for value in batch[name].to_pylist()]


def test_every_row_gets_its_answer_and_is_paid_once(tmp_path: Path) -> None:
    """A large job's answers would be lost, come twice, or stand in other rows; its cost would be wrong."""
    spending = Spending(BOOK)
    answers = answers_in(tmp_path / "answers", spending=spending)
    read_shuffled(answers, tmp_path / "answers")
    assert len(answers) == COUNT
    assert column(answers, "a") == [*range(COUNT)]
    assert {row % 97 == 0 for row, repair in enumerate(column(answers, "_repair")) if repair != "none"} == {True}
    (usage,) = spending.as_dict()["usage"]
    assert (usage["records"], usage["input_tokens"], usage["output_tokens"]) == (COUNT, 3 * COUNT, 7 * COUNT)


def test_what_was_set_aside_is_given_back_for_each_answer(tmp_path: Path) -> None:
    """A run under a cost limit would count its finished jobs twice and stop at half of it, or go past the limit."""
    spending = Spending(BOOK, limit=ONE_ANSWER_USD * COUNT * 1.5)
    spending.expect(COUNT, {"batch": ONE_ANSWER_USD * COUNT})
    assert spending.reserve(COUNT)
    read_shuffled(answers_in(tmp_path / "answers", spending=spending), tmp_path / "answers")
    assert spending.usd == pytest.approx(ONE_ANSWER_USD * COUNT)
    assert spending.reserve(COUNT // 2)
    assert not spending.reserve(1)


def test_answers_are_taken_over_with_those_that_are_open(tmp_path: Path) -> None:
    """Records that were sent again in another way would lose their answers, or get those of other rows."""
    first, second = (answers_in(tmp_path / name, is_open=is_worth_repeating) for name in ("first", "second"))
    no_json = {"content": [{"type": "text", "text": "no"}], "stop_reason": "end_turn"}
    first.add(ModelAnswer(0, no_json, MODEL, "batch"), 100)
    second.add(ModelAnswer(1, no_json, MODEL, "batch"), 100)
    numbers = list(range(2, COUNT))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        second.add(ModelAnswer(number, body_of(number), MODEL, "batch", prefilled=True), 100)
    assert len([*(tmp_path / "second").iterdir()]) > 1
    first.extend(second)
    assert [*first.opened] == [0, 1]
    assert column(first, "a") == [None, None, *range(2, COUNT)]


@pytest.mark.parametrize("prefilled", [True, False])
def test_without_a_schema_an_object_is_enough(tmp_path: Path, prefilled: bool) -> None:
    """Every answer of a run without a schema would go the slow way, or pass for validated."""
    answers = answers_in(tmp_path / "answers", "no schema")
    texts = ['"a": 1}', "1", "no"] if prefilled else ['{"a": 1}', "1", "no"]
    assert answers.accept(texts, prefilled) == [{}, None, None]
    read_shuffled(answers, tmp_path / "answers")
    assert {*column(answers, "parse_status")} == {"json_only"}


def test_rows_without_an_answer_are_noticed(tmp_path: Path) -> None:
    """A gap would move every later answer up by one row."""
    answers = answers_in(tmp_path / "answers")
    for number in (0, 2):
        answers.add(ModelAnswer(number, body_of(1), MODEL, "batch", prefilled=True), 100)
    with pytest.raises(ValueError, match="do not have one answer each"):
        next(answers.rows(0, 3, {}))


def test_large_answers_are_handed_out_in_parts(tmp_path: Path) -> None:
    """A job of long answers, or one with a few among many short ones, would be in memory as a whole."""
    answers = answers_in(tmp_path / "answers", "no schema")
    for number in reversed(range(1_000)):
        text = f"{number} " + "x" * (4_000_000 if number < 24 else 0)
        body = {"content": [{"type": "text", "text": text}], "stop_reason": "max_tokens"}
        answers.add(ModelAnswer(number, body, MODEL, "batch"), len(text))
    starts, batches = zip(*answers.rows(0, 1_000, {}), strict=True)
    texts = [text for batch in batches for text in batch["raw_response"].to_pylist()]
    assert [int(text.split()[0]) for text in texts] == [*range(1_000)]
    assert [*starts] == [sum(batch.num_rows for batch in batches[:n]) for n in range(len(batches))]
    assert all(batch.nbytes < 80_000_000 for batch in batches)
