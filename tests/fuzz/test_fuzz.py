"""Mutated answers and result files: every one must become an answer or a record error, never an exception.

`make fuzz` runs them for minutes; the normal run takes a few hundred. `seeds/` keeps inputs that once failed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import jsonschema
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedrock_batch.answers.collector import AnswerCollector
from bedrock_batch.answers.columns import AnswerColumns
from bedrock_batch.answers.json_repair import (
    extract_json_candidate,
    normalize_unicode_quotes,
    repair_json,
    repair_object,
)
from bedrock_batch.answers.parser import AnswerParser
from bedrock_batch.answers.schema.response_schema import ResponseSchema
from bedrock_batch.batch.results.reader import SentRecords, read_results
from bedrock_batch.costs.prices import PriceBook
from bedrock_batch.costs.tracker import CostTracker
from bedrock_batch.records import ModelOutput, ParseStatus, prompt_check

SEEDS = Path(__file__).parent / "seeds"
ANSWERS: list[str] = json.loads((SEEDS / "answers.json").read_text(encoding="utf-8"))
LINES: list[str] = json.loads((SEEDS / "result_lines.json").read_text(encoding="utf-8"))
TOKENS = [
    "{",
    "}",
    "[",
    "]",
    '"',
    "'",
    "\\",
    ",",
    ":",
    "„",
    "“",
    "```",
    "\n",
    "\ud800",
    "null",
    "1e999",
    "-",
    "\0",
    "<thinking>",
]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "label": {"enum": ["a", "b"]},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "notes": {"type": "array", "items": {"type": "string"}},
        "detail": {"type": "object", "properties": {"why": {"type": "string"}, "count": {"type": "integer"}}},
    },
    "required": ["label", "score"],
}
PARSERS = {"schema": AnswerParser(ResponseSchema(SCHEMA)), "plain": AnswerParser(None)}
COLUMNS = {"schema": AnswerColumns(ResponseSchema(SCHEMA), "llm_"), "plain": AnswerColumns(None, "llm_")}

fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def mutated(draw: st.DrawFn, seeds: list[str]) -> str:
    """Draw a seed with up to six mutations: a piece cut, doubled, moved or spliced in, or a token inserted."""
    text = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(text)))
        stop = draw(st.integers(start, min(len(text), start + 40)))
        match draw(st.sampled_from(["cut", "double", "token", "splice", "repeat", "end"])):
            case "cut":
                text = text[:start] + text[stop:]
            case "double":
                text = text[:stop] + text[start:]
            case "token":
                text = text[:start] + draw(st.sampled_from(TOKENS) | st.characters()) + text[start:]
            case "splice":
                other = draw(st.sampled_from(seeds))
                text = text[:start] + other[min(start, len(other)) :]
            case "repeat":
                text = text[:start] + text[start:stop] * draw(st.sampled_from([2, 50])) + text[stop:]
            case "end":
                text = text[:start]
    return text[:20_000]


@fuzzed
@given(mutated(ANSWERS))
def test_the_text_steps_take_any_text(text: str) -> None:
    """One answer in a million would end the run with a traceback."""
    candidate = extract_json_candidate(text)
    assert candidate in text
    assert isinstance(repair_json(candidate), str)
    assert len(normalize_unicode_quotes(text)) == len(text)
    try:
        repaired = repair_object(text)
    except ValueError:
        return
    assert isinstance(json.loads(repaired), dict)


def body_of(text: str, shape: str, stop: str) -> dict[str, Any]:
    match shape:
        case "messages":
            return {"content": [{"type": "text", "text": text}], "stop_reason": stop, "usage": {"output_tokens": 1}}
        case "converse":
            message = {"role": "assistant", "content": [{"text": text}]}
            return {"output": {"message": message}, "stopReason": stop, "usage": {"inputTokens": 1}}
        case "chat":
            return {"choices": [{"message": {"content": text}, "finish_reason": stop}]}
    return {"generation": text, "stop_reason": stop}


@fuzzed
@given(
    text=mutated(ANSWERS),
    shape=st.sampled_from(["messages", "converse", "chat", "generation"]),
    stop=st.sampled_from(["end_turn", "max_tokens", "refusal", "stop", ""]),
    prefilled=st.booleans(),
    schema=st.sampled_from(["schema", "plain"]),
)
def test_any_answer_becomes_a_row_and_success_means_valid(
    text: str, shape: str, stop: str, prefilled: bool, schema: str
) -> None:
    """A row would be missing, a cell could not be written, or an invalid answer would count as validated."""
    answer = ModelOutput(0, body_of(text, shape, stop), "m", "batch", prefilled=prefilled)
    outcome = PARSERS[schema].parse(answer)
    assert outcome.parse_status in get_args(ParseStatus)
    assert COLUMNS[schema].to_batch([outcome]).num_rows == 1
    if outcome.parse_status == "success":
        given_fields = {name: value for name, value in outcome.fields.items() if value is not None}
        jsonschema.validate(given_fields, SCHEMA)
        assert stop not in ("max_tokens", "refusal")


@st.composite
def json_like(draw: st.DrawFn) -> Any:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    names = st.sampled_from(["content", "text", "output", "message", "usage", "choices", "stop_reason", "input_tokens"])
    return draw(
        st.recursive(
            leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=12
        )
    )


@fuzzed
@given(
    st.dictionaries(st.sampled_from(["content", "output", "choices", "generation", "usage", "outputs"]), json_like())
)
def test_any_body_becomes_an_outcome(body: dict[str, Any]) -> None:
    """A field of another type than documented would end the run with a traceback."""
    outcome = PARSERS["schema"].parse(ModelOutput(0, body, "m", "realtime"))
    assert outcome.parse_status in get_args(ParseStatus)
    assert isinstance(COLUMNS["schema"].to_batch([outcome]), pa.RecordBatch)


@pytest.fixture(scope="module")
def result_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "x.jsonl.out"


@fuzzed
@given(lines=st.lists(mutated(LINES), max_size=8), tail=st.binary(max_size=20))
def test_any_result_file_gives_each_record_one_output(result_path: Path, lines: list[str], tail: bytes) -> None:
    """A broken line would lose the answers around it, which are paid for."""
    data = b"\n".join(line.encode("utf-8", "surrogatepass") for line in lines) + b"\n" + tail
    result_path.write_bytes(data)
    sent = SentRecords({number: prompt_check(f"prompt {number}") for number in range(1, 6)}, "m", prefilled=False)
    with TemporaryDirectory(dir=result_path.parent) as folder:
        answers = AnswerCollector(
            PARSERS["plain"], COLUMNS["plain"], CostTracker(PriceBook({})), Path(folder) / "answers", lambda _: False
        )
        results = read_results([result_path], sent, answers, unanswered="missing")
        errors = {number: PARSERS["plain"].parse(error) for number, error in results.errors.items()}
        assert sum(batch.num_rows for _, batch in answers.rows(1, 6, errors)) == 5
    assert all(error.number == number for number, error in results.errors.items())
    assert results.counts.lines == sum(1 for line in data.split(b"\n") if line.strip())
