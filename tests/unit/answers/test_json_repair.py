"""The repair of text that should be a JSON object."""

from __future__ import annotations

import json

import pytest

from bedrock_batch.answers.json_repair import (
    REPAIR_LIMIT,
    dump_json,
    extract_json_candidate,
    normalize_unicode_quotes,
    parse_object,
    repair_json,
    repair_object,
    strip_fences_and_thinking,
)


def test_all_four_typographic_quotes_become_apostrophes() -> None:
    """A double quote would end the string that contains it, and the row would fail."""
    assert normalize_unicode_quotes("“a” ‘b’") == "'a' 'b'"


def test_the_german_opening_quote_alone_is_not_normalised() -> None:
    """The specification maps four characters; mapping a fifth would change texts that users compare."""
    assert normalize_unicode_quotes("„a") == "„a"


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        pytest.param('{"a": "er sagte „hallo" laut"}', '{"a": "er sagte \\"hallo\\" laut"}', id="ascii-closer"),
        pytest.param('{"a": "er sagte „hallo“ laut"}', '{"a": "er sagte \\"hallo\\" laut"}', id="left-closer"),
        pytest.param('{"a": "er sagte „hallo” laut"}', '{"a": "er sagte \\"hallo\\" laut"}', id="right-closer"),
        pytest.param('{"a": "„x" und „y""}', '{"a": "\\"x\\" und \\"y\\""}', id="two-quotations"),
        pytest.param('{"a": "it’s “fine”"}', '{"a": "it\'s \'fine\'"}', id="other-quotes"),
        pytest.param('{"a": "plain"}', '{"a": "plain"}', id="nothing-to-do"),
        pytest.param("„open", "„open", id="never-closed"),
    ],
)
def test_quotes_are_repaired_as_specified(text: str, repaired: str) -> None:
    """Rows with these quotes, which cause all parse errors that the specification counted, would fail."""
    assert repair_json(text) == repaired


@pytest.mark.parametrize(
    ("text", "candidate"),
    [
        pytest.param('{"a": 1}', '{"a": 1}', id="whole"),
        pytest.param('Sure: {"a": {"b": 1}} Bye {"c": 2}', '{"a": {"b": 1}}', id="first-of-two-in-prose"),
        pytest.param('{"a": "}{"} tail', '{"a": "}{"}', id="braces-in-string"),
        pytest.param('{"a": "\\"}"} tail', '{"a": "\\"}"}', id="escaped-quote"),
        pytest.param('{"a": "\\\\"} tail', '{"a": "\\\\"}', id="escaped-backslash"),
        pytest.param('x {"a": 1', '{"a": 1', id="never-complete"),
        pytest.param('x {"a": "b', '{"a": "b', id="string-never-ends"),
        pytest.param("no brace", "no brace", id="no-brace"),
        pytest.param("{\\", "{\\", id="lone-backslash-at-the-end"),
    ],
)
def test_the_first_complete_object_is_extracted(text: str, candidate: str) -> None:
    """Rows with prose around the object, or with braces in its strings, would fail."""
    assert extract_json_candidate(text) == candidate


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        pytest.param('```json\n{"a": 1}\n```', '{"a": 1}', id="fence"),
        pytest.param('Here:\n```\n{"a": 1}\n```\nDone', '{"a": 1}', id="fence-in-prose"),
        pytest.param('```json\n{"a": 1}', '{"a": 1}', id="fence-never-closed"),
        pytest.param('```py\nx\n```\n```json\n{"a": 1}\n```', '{"a": 1}', id="second-fence-holds-it"),
        pytest.param('{"a": "```json {} ```"}', '{"a": "```json {} ```"}', id="fence-inside-a-string"),
        pytest.param('<think>{"a": 0}</think>\n{"a": 1}', '{"a": 1}', id="thinking"),
        pytest.param('<Thinking lang="en">x</Thinking> <think>y</think>{"a": 1}', '{"a": 1}', id="two-blocks"),
        pytest.param('draft {"a": 0}</think>{"a": 1}', '{"a": 1}', id="thinking-opened-by-the-request"),
        pytest.param("plain", "plain", id="plain"),
    ],
)
def test_fences_and_thinking_are_left_behind(text: str, rest: str) -> None:
    """The step would take a draft in a thinking block for the answer."""
    assert strip_fences_and_thinking(text) == rest


@pytest.mark.parametrize(
    "text",
    ['{"a": NaN}', '{"a": Infinity}', "[1]", "1", "", '{"a": 1} x', '{"a":' * 5_000, '{"a": ' + "1" * 5_000 + "}"],
    ids=["nan", "infinity", "list", "number", "empty", "tail", "deep", "digits"],
)
def test_what_is_no_object_is_a_value_error(text: str) -> None:
    """Another exception would end the run instead of failing one row."""
    with pytest.raises(ValueError):
        parse_object(text)


def test_an_object_is_parsed() -> None:
    """A run without a schema would report every answer as invalid JSON."""
    assert parse_object(' {"a": [1, null]} ') == {"a": [1, None]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param('{"a": "x",}', {"a": "x"}, id="trailing-comma"),
        pytest.param("{'a': 'x'}", {"a": "x"}, id="single-quotes"),
        pytest.param("{“a”: “x”}", {"a": "x"}, id="typographic-delimiters"),
        pytest.param('{"a": "he said "hi" to me", "b": 2}', {"a": 'he said "hi" to me', "b": 2}, id="inner-quotes"),
    ],
)
def test_broken_objects_are_repaired(text: str, value: dict[str, object]) -> None:
    """Rows with these common and harmless faults would fail."""
    assert json.loads(repair_object(text)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no object",
        "[1, 2]",
        "{}",
        "[" * 50_000,
        "{" * 17,
        '{"a":' * 500 + "1" + "}" * 500,
        '{"a": 1e999}',
        '{"a": "' + "x" * REPAIR_LIMIT,
    ],
    ids=["empty", "prose", "list", "empty-object", "deep-list", "open-braces", "deep-object", "infinite", "too-long"],
)
def test_what_cannot_be_repaired_is_a_value_error(text: str) -> None:
    """A hostile answer would end the run, or become an object that it does not contain."""
    with pytest.raises(ValueError):
        repair_object(text)


def test_lone_surrogates_become_the_replacement_character() -> None:
    """The output file could not be written, because no format stores a lone surrogate."""
    assert dump_json({"a": "x\ud800"}) == '{"a": "x\ufffd"}'


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), object(), {"a": {1, 2}}], ids=["nan", "inf", "object", "set"]
)
def test_what_json_cannot_hold_is_a_value_error(value: object) -> None:
    """Other readers would refuse an output with NaN as invalid JSON."""
    with pytest.raises(ValueError):
        dump_json(value)
