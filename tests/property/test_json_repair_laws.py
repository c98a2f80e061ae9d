"""Laws of JSON repair, checked against direct implementations of the specified algorithms."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.answers.json_repair import (
    extract_json_candidate,
    normalize_unicode_quotes,
    repair_json,
    repair_object,
    strip_fences_and_thinking,
)

NOISE = st.text(alphabet='{}"\\ab: ,[]„“”‘’`<>/think\n\ud800', max_size=40)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
JSON_OBJECTS = st.dictionaries(st.text(), JSON_VALUES, max_size=4)


def extract_as_specified(text: str) -> str | None:
    """Return what the loop of the specification finds, None if there is no complete object."""
    start = text.find("{")
    count, in_string, escape_next = 0, False, False
    for index, character in enumerate(text[start:], start):
        if escape_next:
            escape_next = False
        elif character == "\\":
            escape_next = True
        elif character == '"':
            in_string = not in_string
        elif not in_string and character == "{":
            count += 1
        elif not in_string and character == "}":
            count -= 1
            if count == 0:
                return text[start : index + 1]
    return None


@given(NOISE)
def test_extraction_finds_what_the_specified_loop_finds(text: str) -> None:
    """The fast scan would return another object than the specified algorithm."""
    found = extract_json_candidate(text)
    start = text.find("{")
    if start < 0:
        assert found == text
    else:
        assert found == (extract_as_specified(text) or text[start:])


@given(NOISE, JSON_OBJECTS, NOISE)
def test_an_object_behind_prose_is_extracted_whole(before: str, value: dict[str, object], after: str) -> None:
    """An answer with text around its object would lose a part of the object."""
    prose = re.sub(r'[{}"\\]', "", before)
    text = json.dumps(value, ensure_ascii=False)
    assert extract_json_candidate(prose + text + after) == text


@given(NOISE)
def test_the_quote_repair_is_the_specified_substitution(text: str) -> None:
    """The linear-time implementation would repair other texts than the specified one."""
    specified = re.sub('„([^"\u201c\u201d]*)["\u201c\u201d]', r'\\"\1\\"', text)
    for quote in "\u201c\u201d\u2018\u2019":
        specified = specified.replace(quote, "'")
    assert repair_json(text) == specified


@given(st.text())
def test_normalising_twice_changes_nothing_more_and_keeps_the_length(text: str) -> None:
    """A second pass over a repaired text would damage it, or shift positions in it."""
    once = normalize_unicode_quotes(text)
    assert normalize_unicode_quotes(once) == once
    assert len(once) == len(text)


@given(st.dictionaries(st.text(alphabet="abc {}"), st.text(alphabet="abc {}'")))
def test_an_object_without_typographic_quotes_survives_the_repair(value: dict[str, str]) -> None:
    """Repair would change the ASCII quotes that are the structure of the JSON."""
    text = json.dumps(value)
    assert repair_json(text) == text


@given(JSON_OBJECTS)
def test_stripping_leaves_a_bare_object_alone(value: dict[str, object]) -> None:
    """The step would take a code fence or tag inside a string for one around the answer."""
    text = json.dumps(value)
    if not re.search(r"</(think|thinking|reasoning)\s*>", text, re.IGNORECASE):
        assert strip_fences_and_thinking(text) == text


@given(NOISE)
def test_salvage_gives_an_encodable_object_or_a_value_error(text: str) -> None:
    """A hostile answer would end the run, or could not be written."""
    try:
        repaired = repair_object(text)
    except ValueError:
        return
    assert isinstance(json.loads(repaired), dict)
    repaired.encode("utf-8")
