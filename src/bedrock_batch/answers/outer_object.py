"""Finds the outer object of an answer, however damaged; an object inside it is never taken for the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bedrock_batch.answers.json_repair import object_end, repair_json, strip_fences_and_thinking

_SPACES = " \t\r\n"
# `"key":` at the beginning of a text, perhaps with the brace before it damaged or lost.
_FIRST_KEY = re.compile(r'\s*\S?\s*"(?:[^"\\]|\\.)*"\s*:', re.DOTALL)
# The same behind a prefilled brace, if the key or the colon may be damaged.
_DAMAGED_KEY = re.compile(r"\s*\S?\s*[\"'\u201c\u201d\u201e\u2018\u2019]")
# Braces in prose, such as a set or a placeholder, contain no quotation mark and no colon.
_MEMBERS = re.compile(r"[\"':\u201c\u201d\u201e]")
_ESCAPE = re.compile(r"\\.", re.DOTALL)
# The end of a quoted key, which may have lost its beginning.
_END_OF_KEY = re.compile(r'"\s*:')
_BRACES = re.compile(r"[{}]")
_END_OF_OBJECT = re.compile(r"[\s}`]*")


def find_outer_object(text: str, prefilled: bool) -> tuple[str, str] | None:
    """Return the text before the outer object and the text from its brace on, or None if no object begins.

    A prefilled brace, or the lost brace of an answer that begins with a member, is put back. Thinking and code fences
    are removed only before the object. Braces in prose are not an object.
    """
    if _begins_object(text):
        return "", text.lstrip()
    if _begins_members(text, prefilled):
        return "", "{" + text
    text = strip_fences_and_thinking(text)
    if _begins_members(text, prefilled=False) and not _begins_object(text):
        return "", "{" + text
    start = _first_object(text)
    return None if start is None else (text[:start], text[start:])


def texts_to_parse(before: str, outer: str) -> Iterator[tuple[str, str]]:
    """Yield the texts to parse, the most reliable first, each with the name of its repair.

    These are the whole text, the text up to the brace that closes the object, and both with repaired quotes. `before`
    is the text before the object: an array with the object as its only item counts as the object.
    """
    yield "extracted", outer.rstrip()
    yield from _closed("extracted", before, outer)
    repaired = repair_json(outer)
    if repaired != outer:
        yield "quotes", repaired.rstrip()
        yield from _closed("quotes", before, repaired)


def without_trailing_prose(outer: str) -> str:
    """Return the text without prose behind its last brace, which cannot belong to the object."""
    end = outer.rfind("}") + 1
    return outer if end == 0 or '"' in outer[end:] else outer[:end]


def _closed(repair: str, before: str, outer: str) -> Iterator[tuple[str, str]]:
    end = object_end(outer, 0)
    if end is not None and end < len(outer) and not _continues(before, outer[end:]):
        yield repair, outer[:end]


def _continues(before: str, tail: str) -> bool:
    """Return whether the object continues behind the brace that seems to close it: a stray brace or quote is in it."""
    rest = tail[_end(_END_OF_OBJECT, tail) :]
    if before.rstrip(_SPACES).endswith("["):
        if not rest.startswith("]"):
            return True
        rest = rest[1:].lstrip(_SPACES)
    return rest[:1] in {",", ":", '"', "]"} or _closes_more(rest)


def _closes_more(text: str) -> bool:
    """Return whether a prefix of the text closes more braces than it opens."""
    depth = 0
    for brace in _BRACES.finditer(text):
        depth += 1 if brace[0] == "{" else -1
        if depth < 0:
            return True
    return False


def _begins_object(text: str) -> bool:
    return text.lstrip()[:1] == "{"


def _begins_members(text: str, prefilled: bool) -> bool:
    """Return whether a text begins with the first key of an object without its brace."""
    before = text[: text.find("{")] if "{" in text else text
    if prefilled and (_DAMAGED_KEY.match(before) or _holds_part_of_key(before)):
        return True
    return _FIRST_KEY.match(text) is not None


def _holds_part_of_key(before: str) -> bool:
    """Return whether the text before the first brace of a prefilled answer can hold a key that lost its beginning."""
    if _END_OF_KEY.search(before):
        return True
    return _has_open_quote(before) and "`" not in before


def _first_object(text: str) -> int | None:
    """Return where the first object begins; braces in prose that more prose follows are skipped."""
    start = text.find("{")
    while start >= 0:
        end = object_end(text, start)
        following = -1 if end is None else text.find("{", end)
        if end is None or following < 0 or _MEMBERS.search(text, start, end) or not _is_prose(text[end:following]):
            return start
        start = following
    return None


def _is_prose(between: str) -> bool:
    """Return whether the text between two braces can be prose: it contains no key, whole or damaged."""
    if _END_OF_KEY.search(between) or between.lstrip()[:1] in {'"', ",", ":", "]"}:
        return False
    return not _has_open_quote(between)


def _has_open_quote(text: str) -> bool:
    return _ESCAPE.sub("", text).count('"') % 2 == 1


def _end(pattern: re.Pattern[str], text: str) -> int:
    match = pattern.match(text)
    return match.end() if match else 0
