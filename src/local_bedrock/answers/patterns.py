"""Seeded random strings that match a regular expression, for the `pattern` keyword of JSON Schema."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Any

from local_bedrock.draws import Draw

try:
    from re import _parser as _sre_parse  # type: ignore[attr-defined] # private since Python 3.11, public before
except ImportError:
    import sre_parse as _sre_parse

_PRINTABLE = [ord(character) for character in string.ascii_letters + string.digits + " -_.,"]
_CATEGORIES = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_WORD": string.ascii_letters + string.digits + "_",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_DIGIT": string.ascii_letters,
    "CATEGORY_NOT_WORD": " -.",
    "CATEGORY_NOT_SPACE": string.ascii_letters,
}


def compile_pattern(pattern: str, least: int = 0, most: int | None = None) -> Callable[[Draw], str]:
    """Return a sampler of strings that contain a match of `pattern`.

    The strings have `least` to `most` characters if the pattern allows it.
    """
    parsed = _sre_parse.parse(pattern)
    compiled = re.compile(pattern)
    fully_anchored = pattern.endswith("$")

    def sample(draw: Draw) -> str:
        text = ""
        for _ in range(50):
            text = _sequence(parsed, draw)
            while len(text) < least and not fully_anchored:
                text += "x"
            if len(text) >= least and (most is None or len(text) <= most) and compiled.search(text):
                break
        return text

    return sample


def _sequence(nodes: Any, draw: Draw) -> str:
    return "".join(_node(str(operator), argument, draw) for operator, argument in nodes)


def _node(operator: str, argument: Any, draw: Draw) -> str:
    match operator:
        case "LITERAL":
            return chr(argument)
        case "NOT_LITERAL":
            return chr(draw.choice([code for code in _PRINTABLE if code != argument]))
        case "ANY":
            return chr(draw.choice(_PRINTABLE))
        case "IN":
            return chr(draw.choice(_members(argument)))
        case "BRANCH":
            return _sequence(draw.choice(argument[1]), draw)
        case "SUBPATTERN":
            return _sequence(argument[-1], draw)
        case "ATOMIC_GROUP":
            return _sequence(argument, draw)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            low, high, item = argument
            count = low + draw.below(min(int(high) - low, 6) + 1)
            return "".join(_sequence(item, draw) for _ in range(count))
        case "CATEGORY":
            return draw.choice(_CATEGORIES[str(argument)])
        case _:  # anchors and lookarounds match the empty string
            return ""


def _members(items: Any) -> list[int]:
    included: list[int] = []
    negated = False
    for operator, argument in items:
        match str(operator):
            case "NEGATE":
                negated = True
            case "LITERAL":
                included.append(argument)
            case "RANGE":
                included.extend(range(argument[0], min(argument[1], argument[0] + 127) + 1))
            case "CATEGORY":
                included.extend(map(ord, _CATEGORIES[str(argument)]))
    return [code for code in _PRINTABLE if code not in included] if negated else included
