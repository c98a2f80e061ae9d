"""From the text of an answer to the text of a JSON object: extraction, quote repair, last-resort salvage.

Every function takes and gives text. Whether a text may be repaired at all (a truncated answer may not) and whether
it is any good are the caller's decisions: strict parsing comes first, and what parses strictly never comes here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

# json_repair's time grows with the square of the stray quotes and open braces (49 s for 150,000 characters of quotes
# on a machine of 2026), and it holds the interpreter all the while.
SALVAGE_LIMIT = 32_768
"""Characters of the longest text that is salvaged."""
SALVAGE_OPEN_BRACES = 16
"""Braces that may be missing in a text that is salvaged."""

# All to the apostrophe: an ASCII double quote in the middle of a string would end the string.
_QUOTES = str.maketrans(dict.fromkeys("\u201c\u201d\u2018\u2019", "'"))
_GERMAN_CLOSERS = '"\u201c\u201d'
_GERMAN_QUOTATION = re.compile('\u201e([^"\u201c\u201d]*)["\u201c\u201d]')
# One step of the scan: a whole string (also one that never ends), an escape outside a string, or a brace.
_TOKEN = re.compile(r'"(?:[^"\\]+|\\(?:.|\Z))*(?:"|\Z)|\\.|[{}]', re.DOTALL)
_THINKING = re.compile(r"\s*<(think|thinking|reasoning)\b[^<>]*>.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_THINKING_END = re.compile(r"</(?:think|thinking|reasoning)\s*>", re.IGNORECASE)
_FENCE = re.compile(r"```[\w+-]*[ \t]*\r?\n?(.*?)(?:```|\Z)", re.DOTALL)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def normalize_unicode_quotes(text: str) -> str:
    """Return `text` with U+201C, U+201D, U+2018 and U+2019 replaced by the ASCII apostrophe."""
    return text.translate(_QUOTES)


def repair_json(text: str) -> str:
    """Return `text` with German quotations as escaped quotes and the other typographic quotes as apostrophes.

    A German quotation opens with U+201E and ends at the next ASCII quote, U+201C or U+201D. Other ASCII quotes are
    structure and stay.
    """
    # Behind the last closing quote no quotation can end; not looking there keeps the search linear.
    end = max(map(text.rfind, _GERMAN_CLOSERS)) + 1
    return normalize_unicode_quotes(_GERMAN_QUOTATION.sub(r'\\"\1\\"', text[:end]) + text[end:])


def extract_json_candidate(response_text: str) -> str:
    """Return the first complete JSON object of a text, by counting the braces outside strings.

    Without a complete object: everything from the first opening brace on. Without a brace: the text itself.
    """
    start = response_text.find("{")
    if start < 0:
        return response_text
    return response_text[start : _object_end(response_text, start)]


def iter_json_candidates(text: str, limit: int = 5) -> Iterator[str]:
    """Yield the candidate of `extract_json_candidate`, then the complete objects after it, `limit` in all.

    Prose may hold braces before the object that is meant ("the set {a, b} ...").
    """
    yield extract_json_candidate(text)
    start = text.find("{")
    for _ in range(limit - 1):
        if start < 0 or (end := _object_end(text, start)) is None:
            return
        start = text.find("{", end)
        if start >= 0 and (end := _object_end(text, start)) is not None:
            yield text[start:end]


def _object_end(text: str, start: int) -> int | None:
    """Return the index behind the object that opens at `start`, or None when it never closes."""
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
    """Return what is left without leading thinking blocks, and of that the first code fence that holds a brace.

    A fence behind the first brace is content of a string and left alone.
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
    raise ValueError(f"not JSON: {name} is no JSON number")


def dump_json(value: Any) -> str:
    """Return the JSON text of a value, with lone surrogates as U+FFFD; ValueError for what JSON cannot hold."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (RecursionError, TypeError) as error:
        raise ValueError(f"cannot be written as JSON: {type(error).__name__}") from None
    return _LONE_SURROGATE.sub("\ufffd", text)


def salvage_json(text: str) -> str:
    """Return the JSON text of the object that json_repair makes of a broken text, or raise ValueError.

    It completes what was cut off, so it is never for an answer that was truncated. Only a non-empty object counts.
    """
    import json_repair  # needed for a broken answer only

    if len(text) > SALVAGE_LIMIT:
        raise ValueError(f"too long to repair: {len(text)} characters, at most {SALVAGE_LIMIT}")
    if text.count("{") - text.count("}") > SALVAGE_OPEN_BRACES:
        raise ValueError("beyond repair: too many braces are left open")
    try:
        value: Any = json_repair.repair_json(text, return_objects=True, skip_json_loads=True)
    except RecursionError:
        raise ValueError("nested too deeply to repair") from None
    except Exception as error:  # a heuristic parser may fail in any way on hostile text; the row must not
        raise ValueError(f"beyond repair: {type(error).__name__}") from None
    if not isinstance(value, dict) or not value:
        raise ValueError("beyond repair: no object in it")
    return dump_json(value)
