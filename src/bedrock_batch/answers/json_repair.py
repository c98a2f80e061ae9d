"""Turns the text of an answer into the text of a JSON object: extraction, repair of quotes, and repair by json_repair.

The functions take and return text. The caller decides whether a text may be repaired (a truncated answer may not) and
whether the result is valid. It parses strictly first, so a text that is JSON is never repaired.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

# The time of json_repair grows with the square of the stray quotes and open braces (49 s for 150,000 characters of
# quotes), and it holds the interpreter lock all that time.
REPAIR_LIMIT = 32_768
"""Characters of the longest text that is repaired."""
REPAIR_OPEN_BRACES = 16
"""Braces that may be missing in a text that is repaired."""

# All become the apostrophe, because an ASCII double quote inside a string would end the string.
_QUOTES = str.maketrans(dict.fromkeys("\u201c\u201d\u2018\u2019", "'"))
_GERMAN_CLOSERS = '"\u201c\u201d'
_GERMAN_QUOTATION = re.compile('\u201e([^"\u201c\u201d]*)["\u201c\u201d]')
# A token of the scan: a whole string, even without an end, an escape outside a string, or a brace.
_TOKEN = re.compile(r'"(?:[^"\\]+|\\(?:.|\Z))*(?:"|\Z)|\\.|[{}]', re.DOTALL)
_THINKING = re.compile(r"\s*<(think|thinking|reasoning)\b[^<>]*>.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
# A tag at the end of a string is part of the answer.
_THINKING_END = re.compile(r"</(?:think|thinking|reasoning)\s*>(?!\s*[\"\\])", re.IGNORECASE)
_FENCE = re.compile(r"```[\w+-]*[ \t]*\r?\n?(.*?)(?:```|\Z)", re.DOTALL)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def normalize_unicode_quotes(text: str) -> str:
    """Return `text` with U+201C, U+201D, U+2018 and U+2019 replaced by the ASCII apostrophe."""
    return text.translate(_QUOTES)


def repair_json(text: str) -> str:
    """Return `text` with German quotations as escaped quotes and the other typographic quotes as apostrophes.

    A German quotation opens with U+201E and ends at the next ASCII quote, U+201C or U+201D. Other ASCII quotes delimit
    strings and stay.
    """
    # No quotation ends behind the last closing quote; the search leaves that part out and stays linear.
    end = max(map(text.rfind, _GERMAN_CLOSERS)) + 1
    return normalize_unicode_quotes(_GERMAN_QUOTATION.sub(r'\\"\1\\"', text[:end]) + text[end:])


def extract_json_candidate(response_text: str) -> str:
    """Return the first complete JSON object of a text, by counting the braces outside strings.

    If no object is complete, return the text from its first opening brace on; without a brace, the whole text.
    """
    start = response_text.find("{")
    if start < 0:
        return response_text
    return response_text[start : object_end(response_text, start)]


def object_end(text: str, start: int) -> int | None:
    """Return the index behind the object that opens at `start`, or None if it never closes."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        character = text[token.start()]
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return token.end()
    return None


def strip_fences_and_thinking(text: str) -> str:
    """Return the text without leading thinking blocks, reduced to the first code fence that contains a brace.

    A fence behind the first brace is part of a string and stays.
    """
    while block := _THINKING.match(text):
        text = text[block.end() :]
    if end := _THINKING_END.search(text):
        text = text[end.end() :]
    brace = text.find("{")
    for fence in _FENCE.finditer(text):
        if "{" in fence[1] and fence.start() < brace:
            return fence[1].strip()
    return text.strip()


def parse_object(text: str) -> dict[str, Any]:
    """Parse one JSON object strictly (no NaN, no trailing text); ValueError says what is wrong."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"not JSON: {name} is not a JSON number")


def dump_json(value: Any) -> str:
    """Return the JSON text of a value, with lone surrogates as U+FFFD; ValueError if JSON cannot represent it."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (RecursionError, TypeError) as error:
        raise ValueError(f"cannot be written as JSON: {type(error).__name__}") from None
    return _LONE_SURROGATE.sub("\ufffd", text)


def repair_object(text: str) -> str:
    """Return the JSON text of the non-empty object that json_repair makes of a broken text; ValueError if it cannot.

    json_repair completes what was cut off, so the text must not be a truncated answer. ValueError also if it finds
    several values or loses a brace, because the result may be a part of the object.
    """
    import json_repair  # only broken answers need it

    if len(text) > REPAIR_LIMIT:
        raise ValueError(f"too long to repair: {len(text)} characters, at most {REPAIR_LIMIT}")
    if text.count("{") - text.count("}") > REPAIR_OPEN_BRACES:
        raise ValueError("beyond repair: too many braces are left open")
    try:
        # The text is the item of an array, since json_repair merges or drops what follows an object at the top level.
        values: Any = json_repair.repair_json("[" + text, return_objects=True, skip_json_loads=True)
    except RecursionError:
        raise ValueError("nested too deeply to repair") from None
    except Exception as error:  # a heuristic parser may fail in any way; that must not end the run
        raise ValueError(f"beyond repair: {type(error).__name__}") from None
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], dict) or not values[0]:
        raise ValueError("beyond repair: it is not one object")
    if not _keeps_brackets(text, values[0]):
        raise ValueError("beyond repair: where its objects begin and end is uncertain")
    return dump_json(values[0])


def _keeps_brackets(text: str, value: dict[str, Any]) -> bool:
    """Return whether every brace and bracket of a text belongs to an object or list of the value, or to a string in it.

    json_repair moves members from one object into another if a brace between them is lost or a bracket closes their
    list too early. Closing braces and brackets may be missing at the end.
    """
    found: Counter[str] = Counter()
    values: list[Any] = [value]
    while values:
        match values.pop():
            case dict() as members:
                found.update("{}")
                values += [*members, *members.values()]
            case list() as items:
                found.update("[]")
                values += items
            case str() as string:
                found.update({mark: string.count(mark) for mark in "{}[]"})
    is_complete = all(text.count(mark) == found[mark] for mark in "{[")
    return is_complete and all(text.count(mark) <= found[mark] for mark in "}]")
