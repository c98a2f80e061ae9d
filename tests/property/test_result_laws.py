"""Laws of reading result files: the fast path for plain lines gives the results of the general path."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedrock_batch.answers.collector import AnswerCollector
from bedrock_batch.answers.columns import AnswerColumns
from bedrock_batch.answers.parser import AnswerParser
from bedrock_batch.answers.schema.response_schema import ResponseSchema
from bedrock_batch.batch.results.fast_reader import FastResultReader
from bedrock_batch.batch.results.reader import ResultReader, SentRecords
from bedrock_batch.costs.prices import PriceBook
from bedrock_batch.costs.tracker import CostTracker
from bedrock_batch.records import prompt_check, record_id

MODEL = "us.anthropic.claude-sonnet-4-20250514-v1:0"
CHOICE = {"anyOf": [{"type": "integer"}, {"type": "object", "properties": {"x": {"type": "integer"}}}]}
SCHEMAS = {
    "fields": ResponseSchema({"properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]}),
    "anything": ResponseSchema({"properties": {"a": {}}}),
    "a choice of objects": ResponseSchema({"properties": {"a": CHOICE}}),
    "none": None,
}
PARSERS = {name: AnswerParser(schema) for name, schema in SCHEMAS.items()}
COLUMNS = {name: AnswerColumns(schema, "") for name, schema in SCHEMAS.items()}
ROWS = range(5)
CHECKS = {number: prompt_check(f"prompt {number} ä") for number in ROWS}

NUMBERS = st.sampled_from([*ROWS, 7])
ODD_IDS = st.sampled_from(["R1", "R00000000\u0661", "X0000000001", "R0000000001\n", "R0000000001", 1, None])
TEXT = '"a": 1}'
WHOLE_TEXT = "{" + TEXT
TEXTS = st.sampled_from(['"a": 2, "b": "x"}', '{"a": 2}', '"a": 3, "b": "\u2028 „"}', '"a": "4"}', '"b": 1}', "no", ""])
STOP_REASONS = st.sampled_from(["stop_sequence", "max_tokens", "refusal", "END_TURN", "odd", None, 1])
COUNTS = st.sampled_from([1, 2, 2, 0, 2**40, 2**62, 2**63, -1, 1.5, None, True])


USAGE = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
CONVERSE_USAGE = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
USAGES = st.none() | st.dictionaries(st.sampled_from(USAGE + CONVERSE_USAGE), COUNTS)


@dataclass(frozen=True)
class Form:
    """How a service writes an answer: a plain block and usage, unusual contents, and the body around them."""

    block: dict[str, Any]
    contents: st.SearchStrategy[Any]
    usage: dict[str, int]
    wrap: Callable[[Any, Any, Any], dict[str, Any]]


MESSAGES = Form(
    {"type": "text"},
    TEXTS.map(lambda text: [{"type": "text", "text": text}])
    | st.sampled_from(
        [
            [],
            None,
            "text",
            [{"type": "text"}],
            [{"type": "text", "text": None}],
            [{"type": "text", "text": TEXT}, {"type": "text", "text": " "}],
            [{"type": "thinking", "text": TEXT}],
            [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": TEXT}],
            [{"type": "tool_use", "name": "t", "input": {"a": 6}}],
            [{"text": TEXT}],
        ]
    ),
    dict(zip(USAGE, (3, 4, 5, 6), strict=True)),
    lambda content, reason, usage: {"content": content, "stop_reason": reason, "usage": usage},
)
CONVERSE = Form(
    {"toolUse": None},
    TEXTS.map(lambda text: [{"text": text, "toolUse": None, "image": None}])
    | st.sampled_from(
        [
            [],
            None,
            [{"text": None, "toolUse": {"name": "t", "input": {"a": 6}}}],
            [{"text": TEXT, "toolUse": {"name": "t", "input": {"a": 6}}}],
            [{"text": TEXT, "toolUse": {}}],
            [{"text": TEXT}, {"text": " "}],
            [{"reasoningContent": {"reasoningText": {"text": "x"}}}, {"text": TEXT}],
            [{"text": TEXT, "type": "other"}],
        ]
    ),
    dict(zip(CONVERSE_USAGE, (3, 4, 5, 6), strict=True)),
    lambda content, reason, usage: {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reason,
        "usage": usage,
    },
)
# Line ends, and what follows the JSON of a line.
ENDS = st.sampled_from([b"\n"] * 8 + [b"\r\n", b"\n\n", b" \n", b"", b"\n\xff\n", b"\n{\n", b"\n}\n"])


def echo_of(prompt: str, as_blocks: bool = False) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": prompt}] if as_blocks else prompt}]}


ODD_ECHOES = st.sampled_from([None, {}, {"messages": []}, {"messages": [{"content": []}]}, "input"]) | st.builds(
    echo_of, st.sampled_from(["prompt 0 ä", "prompt 1 ä", "\ud800"]), st.booleans()
)
ODD_OUTPUTS = st.sampled_from([None, {}, [], "text", {"output": {"message": None}, "content": [], "usage": {}}])


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """Return a line that differs from a plain one in at most two ways."""
    odd = draw(st.sets(st.sampled_from(["id", "echo", "content", "reason", "usage", "output", "error"]), max_size=2))
    number, form = draw(NUMBERS), draw(st.sampled_from([MESSAGES, CONVERSE]))
    content = [{"text": draw(st.sampled_from([TEXT, WHOLE_TEXT])), **form.block}]
    body = form.wrap(
        draw(form.contents) if "content" in odd else content,
        draw(STOP_REASONS) if "reason" in odd else "end_turn",
        draw(USAGES) if "usage" in odd else form.usage,
    )
    entry: dict[str, Any] = {
        "recordId": draw(ODD_IDS) if "id" in odd else record_id(number),
        "modelInput": draw(ODD_ECHOES) if "echo" in odd else echo_of(f"prompt {number} ä", draw(st.booleans())),
        "modelOutput": draw(ODD_OUTPUTS) if "output" in odd else body,
    }
    if "error" in odd:
        entry["error"] = {"errorCode": 400, "errorMessage": "no"}
        if draw(st.booleans()):
            del entry["modelOutput"]
    names = draw(st.permutations(sorted(entry)))
    text = json.dumps({name: entry[name] for name in names}, ensure_ascii=draw(st.booleans()))
    return text.encode("utf-8", "surrogatepass")


FILES = st.lists(st.tuples(lines(), ENDS).map(b"".join), max_size=6).map(b"".join)


def read(
    data: bytes, schema: str, prefilled: bool, together: int
) -> tuple[dict[str, Any], dict[int, Any], list[dict[str, Any]], list[Any]]:
    """Return the counts, errors, rows and used tokens of a result file, read in blocks of some lines.

    With 0, each line takes the general path.
    """
    spending, parser, columns = CostTracker(PriceBook({})), PARSERS[schema], COLUMNS[schema]
    with TemporaryDirectory() as folder:
        answers = AnswerCollector(parser, columns, spending, Path(folder) / "answers", lambda _: False)
        reader = ResultReader(SentRecords(CHECKS, MODEL, prefilled), answers)
        lines = data.splitlines(keepends=True)
        for line in () if together else lines:
            reader.take_line(line)
        for start in range(0, len(lines), together) if together else ():
            reader.take(lines[start : start + together])
        results = reader.finish("missing", "")
        outcomes = {number: parser.parse(error) for number, error in results.errors.items()}
        rows = [row for _, batch in answers.rows(0, len(ROWS), outcomes) for row in batch.to_pylist()]
    used = [(each["records"], each["input_tokens"], each["output_tokens"]) for each in spending.as_dict()["usage"]]
    return asdict(results.counts), results.errors, rows, used


@settings(max_examples=800)  # a line can be unusual in many ways
@given(FILES, st.sampled_from([*SCHEMAS]), st.booleans(), st.integers(1, 6))
def test_a_plain_line_gives_what_any_line_gives(data: bytes, schema: str, prefilled: bool, together: int) -> None:
    """An answer on the fast path would change, be lost or be given to another row."""
    assert read(data, schema, prefilled, together) == read(data, schema, prefilled, 0)


@pytest.mark.parametrize("as_blocks", [False, True])
@pytest.mark.parametrize("form", [MESSAGES, CONVERSE], ids=["messages", "converse"])
@pytest.mark.parametrize(("text", "prefilled"), [(TEXT, True), (WHOLE_TEXT, False)])
@pytest.mark.parametrize("schema", ["fields", "anything", "none"])
def test_plain_lines_are_taken(schema: str, text: str, prefilled: bool, form: Form, as_blocks: bool) -> None:
    """All lines would take the slow path, which the law above does not notice."""
    output = form.wrap([{"text": text, **form.block}], "end_turn", form.usage)
    inputs = [echo_of(f"prompt {number} ä", as_blocks) for number in ROWS]
    entries = [{"recordId": record_id(n), "modelInput": inputs[n], "modelOutput": output} for n in ROWS]
    lines = [json.dumps(entry).encode() for entry in entries]
    spending = CostTracker(PriceBook({}))
    with TemporaryDirectory() as folder:
        answers = AnswerCollector(PARSERS[schema], COLUMNS[schema], spending, Path(folder) / "answers", lambda _: False)
        assert [*FastResultReader(dict(CHECKS), answers, MODEL, prefilled).take(lines)] == []
