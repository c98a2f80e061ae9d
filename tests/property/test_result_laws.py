"""Laws of reading result files: what Arrow reads at once is what would be read line by line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.job_answers import JobAnswers
from bedrock_batch.outcome_columns import OutcomeColumns
from bedrock_batch.prices import PriceBook
from bedrock_batch.records import record_id
from bedrock_batch.responses import ResponseParser
from bedrock_batch.result_blocks import find_plain_lines, parse_block, reads_blocks
from bedrock_batch.results import SentRecords, read_results
from bedrock_batch.schema import ResponseSchema
from bedrock_batch.spending import Spending
from bedrock_batch.staging import prompt_check

MODEL = "us.anthropic.claude-sonnet-4-20250514-v1:0"
SCHEMA = ResponseSchema({"properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]})
PARSER, COLUMNS = ResponseParser(SCHEMA), OutcomeColumns(SCHEMA, "")
ROWS = range(5)
SENT = SentRecords({number: prompt_check(f"prompt {number} ä") for number in ROWS}, MODEL, prefilled=True)
# No JSON, and nothing that names a row: a block with it is read line by line.
JUNK_LINE = b"no json\n"

NUMBERS = st.sampled_from([*ROWS, 7])
IDS = NUMBERS.map(record_id) | st.sampled_from(["R1", "R00000000\u0661", "X0000000001", "R0000000001\n", 1, None])
TEXTS = st.sampled_from(['"a": 1}', '{"a": 2, "b": "x"}', '"a": 3, "b": "\u2028 „"}', '"a": "4"}', '"b": 1}', "no", ""])
CONTENTS = TEXTS.map(lambda text: [{"type": "text", "text": text}]) | st.sampled_from(
    [
        [],
        None,
        "text",
        [{"type": "text"}],
        [{"type": "text", "text": None}],
        [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": '"a": 5}'}],
        [{"type": "tool_use", "name": "t", "input": {"a": 6}}],
        [{"text": '"a": 7}'}],
    ]
)
COUNTS = st.sampled_from([1, 2, 2, 0, 2**40, 2**63, -1, 1.5, None, True])
COUNT_NAMES = ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"]
USAGES = st.one_of(
    st.just({"input_tokens": 3, "output_tokens": 4, "cache_creation": {"ephemeral_5m_input_tokens": 0}}),
    st.dictionaries(st.sampled_from(COUNT_NAMES), COUNTS),
    st.none(),
)
STOP_REASONS = st.sampled_from(["end_turn", "end_turn", "stop_sequence", "max_tokens", "refusal", "END_TURN", None, 1])
MESSAGES = st.fixed_dictionaries(
    {"content": CONTENTS, "stop_reason": STOP_REASONS, "usage": USAGES}, optional={"more": st.just({})}
)
CONVERSE_COUNTS = ["inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"]
CONVERSE_USAGES = st.one_of(
    st.just({"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}),
    st.dictionaries(st.sampled_from(CONVERSE_COUNTS), COUNTS),
)
CONVERSE_CONTENTS = TEXTS.map(lambda text: [{"text": text, "toolUse": None, "image": None}]) | st.sampled_from(
    [
        [],
        None,
        [{"text": None, "toolUse": {"name": "t", "input": {"a": 6}}}],
        [{"text": '"a": 1}', "toolUse": {}}],
        [{"reasoningContent": {"reasoningText": {"text": "x"}}}, {"text": '"a": 5}'}],
        [{"text": '"a": 1}', "type": "other"}],
    ]
)
CONVERSE = st.fixed_dictionaries(
    {
        "output": st.fixed_dictionaries({"message": st.fixed_dictionaries({"content": CONVERSE_CONTENTS})}) | st.none(),
        "stopReason": STOP_REASONS,
        "usage": CONVERSE_USAGES,
    },
    optional={"content": CONTENTS, "metrics": st.just({"latencyMs": 1})},
)
# A file has answers of one form, but for what is wrong with it.
OUTPUTS = st.shared(st.booleans(), key="form").flatmap(lambda is_converse: CONVERSE if is_converse else MESSAGES)
# What ends a line, or stands behind it.
ENDS = st.sampled_from([b"\n"] * 8 + [b"\r\n", b"\n\n", b" \n", b"", b"\n\xff\n", b"\n{\n", b"\n}\n"])


def echo_of(prompt: str, as_blocks: bool = False) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": prompt}] if as_blocks else prompt}]}


def echoes(number: int) -> st.SearchStrategy[Any]:
    prompt = f"prompt {number} ä"
    odd = st.sampled_from([None, {}, {"messages": []}, {"messages": [{"content": []}]}, "input"])
    return st.just(echo_of(prompt)) | st.builds(echo_of, st.sampled_from([prompt, "\ud800"]), st.booleans()) | odd


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    number = draw(NUMBERS)
    entry: dict[str, Any] = {
        "recordId": draw(st.just(record_id(number)) | IDS),
        "modelInput": draw(echoes(draw(st.sampled_from([number] * 4 + [0, 1])))),
    }
    kind = draw(st.sampled_from(["output", "output", "output", "odd", "error", "both", "none"]))
    if kind in ("output", "both"):
        entry["modelOutput"] = draw(st.sampled_from([OUTPUTS] * 9 + [MESSAGES]).flatmap(lambda outputs: outputs))
    if kind in ("error", "both"):
        entry["error"] = {"errorCode": 400, "errorMessage": "no"}
    if kind == "odd":
        entry["modelOutput"] = draw(st.sampled_from([None, {}, [], "text"]))
    text = json.dumps(
        {name: entry[name] for name in draw(st.permutations(sorted(entry)))}, ensure_ascii=draw(st.booleans())
    )
    return text.encode("utf-8", "surrogatepass")


FILES = st.lists(st.tuples(lines(), ENDS).map(b"".join), max_size=6).map(b"".join)


def read(data: bytes) -> tuple[dict[str, Any], dict[int, Any], list[dict[str, Any]], list[Any]]:
    """Return the counts, the errors, the rows and the used tokens of a result file."""
    spending = Spending(PriceBook({}))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl.out"
        path.write_bytes(data)
        answers = JobAnswers(PARSER, COLUMNS, spending, Path(folder) / "answers", lambda _: False)
        results = read_results([path], SENT, answers, unanswered="missing")
        outcomes = {number: PARSER.parse(error) for number, error in results.errors.items()}
        rows = [row for _, batch in answers.rows(0, len(ROWS), outcomes) for row in batch.to_pylist()]
    used = [(each["records"], each["input_tokens"], each["output_tokens"]) for each in spending.as_dict()["usage"]]
    return asdict(results.counts), results.errors, rows, used


@given(FILES)
def test_a_block_gives_what_its_lines_give_one_by_one(data: bytes) -> None:
    """An answer would come to another row, or be lost, because of what stands in the lines around it."""
    counts, *others = read(data + (b"" if data.endswith(b"\n") or not data else b"\n") + JUNK_LINE)
    counts["lines"] -= 1
    counts["unreadable"] -= 1
    assert read(data) == (counts, *others)


@pytest.mark.skipif(not reads_blocks(), reason=f"pyarrow {pa.__version__} is not trusted with whole blocks")
@pytest.mark.parametrize("as_blocks", [False, True])
@pytest.mark.parametrize("is_converse", [False, True])
def test_plain_lines_are_found(as_blocks: bool, is_converse: bool) -> None:
    """Every line would be read one by one, and the law above hold all the same."""
    output = {
        False: {
            "content": [{"type": "text", "text": '"a": 1}'}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 3, "output_tokens": 4},
        },
        True: {
            "output": {"message": {"role": "assistant", "content": [{"text": '"a": 1}', "toolUse": None}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7},
        },
    }[is_converse]
    inputs = [echo_of(f"prompt {number} ä", as_blocks) for number in ROWS]
    entries = [{"recordId": record_id(n), "modelInput": inputs[n], "modelOutput": output} for n in ROWS]
    plain = find_plain_lines(parse_block(b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)))
    assert plain is not None
    assert [*plain] == [(n, f"prompt {n} ä".encode(), b'"a": 1}') for n in ROWS]
    assert plain.stop_reasons.to_pylist() == ["end_turn"] * len(ROWS)
    assert (plain.input_tokens.to_pylist(), plain.output_tokens.to_pylist()) == ([3] * len(ROWS), [4] * len(ROWS))
