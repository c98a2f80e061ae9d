"""Laws of damaged answers: the outer object or none becomes the row, never an inner object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.answers.parser import AnswerParser
from bedrock_batch.answers.schema.response_schema import ResponseSchema
from bedrock_batch.records import Answer, ModelOutput

# Every object of an answer has the fields of the schema, so inner objects are as valid as the outer one. `id`
# distinguishes them: no single fault turns one into the other.
OUTER, INNER = "outermost", "concealed"
SCHEMA = ResponseSchema({"properties": {"id": {"type": "string"}, "label": {"type": "string"}, "more": {}}})
PARSER = AnswerParser(SCHEMA)

TEXTS = st.text(alphabet="ab {}[]\":,'„“”\\\n", max_size=6)
SCALARS = (
    TEXTS | st.integers(-99, 99_999) | st.floats(-9, 9).map(lambda value: round(value, 2)) | st.none() | st.booleans()
)


def objects(identity: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects with an `id` at any position among their members."""

    def build(members: list[tuple[str, Any]], place: int) -> dict[str, Any]:
        members.insert(place % (len(members) + 1), ("id", identity))
        return dict(members)

    members = st.lists(st.tuples(TEXTS.filter(lambda key: key not in ("id", "label", "more")), values), max_size=3)
    return st.builds(build, members, st.integers(0, 3))


INNER_OBJECTS = st.recursive(objects(INNER, SCALARS), lambda inner: objects(INNER, inner | st.lists(inner, max_size=2)))
ANSWERS = objects(OUTER, SCALARS | INNER_OBJECTS | st.lists(INNER_OBJECTS, min_size=1, max_size=2))
LAYOUTS: tuple[dict[str, Any], ...] = ({}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False})
WRITTEN = '{}[]":,\\„x7'


def faults(text: str) -> Iterator[str]:
    """Yield every text that differs by one character: removed, doubled, inserted or replaced."""
    for index, character in enumerate(text):
        yield text[:index] + text[index + 1 :]
        yield text[:index] + character + text[index:]
        for wrong in WRITTEN:
            yield text[:index] + wrong + text[index:]
            yield text[:index] + wrong + text[index + 1 :]


def parse(parser: AnswerParser, text: str, prefilled: bool) -> Answer:
    body = {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}
    return parser.parse(ModelOutput(0, body, "model", "batch", prefilled=prefilled))


def check(text: str, prefilled: bool) -> None:
    """Assert that the row of a text never contains strings of an inner object."""
    identity = parse(PARSER, text, prefilled).fields["id"]
    assert identity is None or INNER[2:-2] not in identity, (text, prefilled)


SMALL: tuple[dict[str, Any], ...] = (
    {"id": OUTER, "score": 12345, "detail": {"id": INNER}, "summary": "ok"},
    {"detail": {"id": INNER}, "id": OUTER},
    {"": {"id": INNER, "x": {"id": INNER}}, "id": OUTER},
    {"a{b": {"id": INNER}, "id": OUTER},
    {"t": "x } y", "d": {"id": INNER}, "id": OUTER},
    {"rows": [{"id": INNER}, {"id": INNER}], "id": OUTER},
    {"t": "```", "d": {"id": INNER}, "id": OUTER},
    {"t": "</think>", "d": {"id": INNER}, "id": OUTER, "e": {"id": INNER}},
    {"id": OUTER, '"': {"id": INNER}},
    {"\\": {"id": INNER}, "id": OUTER},
    {"`": {"id": INNER}, "id": OUTER},
    {"t": "`", "rows": [1, {"id": INNER}], "id": OUTER},
    {"t": '"', "rows": [[1], [{"id": INNER}]], "id": OUTER},
    {"": [{"id": INNER, "l": [], "d": {"id": INNER}}, {"t": "", "id": INNER}], "id": OUTER},
)


@pytest.mark.parametrize("value", SMALL, ids=lambda value: json.dumps(value)[:30])
@pytest.mark.parametrize(
    ("layout", "before", "after"),
    [(0, "", ""), (2, "```json\n", "\n```"), (2, "The set {a, b} gives ", " as asked.")],
    ids=["bare", "fenced", "braces-in-prose"],
)
def test_no_single_wrong_character_puts_an_inner_object_into_the_row(
    value: dict[str, Any], layout: int, before: str, after: str
) -> None:
    """The row would hold another object's values and be marked as a success."""
    text = json.dumps(value, **LAYOUTS[layout])
    for damaged in faults(text):
        check(before + damaged + after, prefilled=False)
    for damaged in faults(text[1:]):
        check(damaged + after, prefilled=True)
    for damaged in faults(text):  # a repeated brace, or text before the object, despite the prefill
        check(before + damaged + after, prefilled=True)


@given(ANSWERS, st.sampled_from(LAYOUTS), st.data())
def test_any_object_with_a_wrong_character_gives_itself_or_a_failure(
    value: dict[str, Any], layout: dict[str, Any], data: st.DataObject
) -> None:
    """The row would hold another object's values and be marked as a success."""
    prefilled = data.draw(st.booleans())
    text = json.dumps(value, **layout)[1 if prefilled else 0 :]
    index = data.draw(st.integers(0, len(text) - 1))
    wrong = data.draw(st.sampled_from(WRITTEN))
    for damaged in (
        text[:index] + text[index + 1 :],
        text[:index] + wrong + text[index:],
        text[:index] + wrong + text[index + 1 :],
    ):
        check(damaged, prefilled)


@given(ANSWERS, st.sampled_from(LAYOUTS), st.booleans())
def test_a_valid_object_is_taken_as_it_stands(value: dict[str, Any], layout: dict[str, Any], prefilled: bool) -> None:
    """A needless repair would change a valid answer."""
    outcome = parse(PARSER, json.dumps(value, **layout)[1 if prefilled else 0 :], prefilled)
    assert (outcome.fields["id"], outcome.parse_status, outcome.repair) == (OUTER, "success", "none")


@pytest.mark.parametrize("prefilled", [False, True])
@pytest.mark.parametrize(
    ("text", "summary"),
    [
        pytest.param('{"id":"a","detail":{"id":"b"},"label":"ok",}', "ok", id="trailing-comma"),
        pytest.param('{"id":"a","detail":{"id":"b"},"label":„gut"}', "gut", id="german-delimiters"),
        pytest.param('{"id":"a","detail":{"id":"b"},"label":"sehr „gut" so"}', 'sehr "gut" so', id="german-quotation"),
        pytest.param('{"id":"a","detail":{"id":"b"},"label":"it is "ok" here"}', 'it is "ok" here', id="stray-quotes"),
        pytest.param('{"id":"a","detail":{"id":"b"},"label":"two\nlines"}', "two\nlines", id="raw-newline"),
        pytest.param('{"id":"a","detail":{"id":"b","x":None},"label":"ok"}', "ok", id="python-none"),
        pytest.param('{"id":"a","label":"ok","detail":{"id":"b"}', "ok", id="brace-missing"),
        pytest.param('{"id":"a","label":"ok","detail":{"id":"b"}}}', "ok", id="brace-too-many"),
    ],
)
def test_the_usual_faults_are_repaired_around_a_nested_object(text: str, summary: str, prefilled: bool) -> None:
    """Answers with common and harmless faults would fail, or give the inner object."""
    outcome = parse(PARSER, text[1:] if prefilled else text, prefilled)
    assert (outcome.fields["id"], outcome.fields["label"], outcome.parse_status) == ("a", summary, "success")
