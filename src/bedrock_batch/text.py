"""Formats numbers, durations, cells and messages as text. Pure functions."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most similar to `name`, or None when none is close."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def shorten(text: str, limit: int) -> str:
    """Return `text` cut to at most `limit` characters, with an ellipsis if something was cut."""
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"


def cut_utf8(text: str, limit: int) -> bytes:
    """Return the UTF-8 bytes of `text`, cut to at most `limit` bytes on a character boundary."""
    data = printable(text).encode("utf-8")
    return data if len(data) <= limit else data[:limit].decode("utf-8", "ignore").encode("utf-8")


def human_bytes(count: int) -> str:
    """Return a byte count in the largest binary unit in which it is at least one."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def printable(text: str) -> str:
    """Return `text` with lone surrogates escaped, so that it can be encoded as UTF-8.

    `json.loads` accepts an escaped lone surrogate, which no file format can store.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text


def escape_controls(text: str, keep: str = "") -> str:
    """Return `text` with the characters escaped that control a terminal or break a line, except those in `keep`.

    These are the Unicode categories Cc, Zl and Zp, and the bidirectional controls.
    """
    return _CONTROLS.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def digest(text: str, length: int = 12) -> str:
    """Return the first `length` hexadecimal digits of the SHA-256 of `text`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def format_usd(amount: float) -> str:
    """Return an amount in US dollars with two decimals, or more if it is below one cent."""
    return f"${amount:,.2f}" if amount >= 0.01 or amount == 0 else f"${amount:.6f}".rstrip("0")


def format_duration(seconds: float, *, exact: bool = False) -> str:
    """Return a duration as text: seconds below two minutes, minutes below two hours, otherwise hours.

    Seconds are rounded to whole ones, or to three significant digits with `exact`.
    """
    if seconds < 120:
        return f"{seconds:.3g} s" if exact else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def cell_text(value: Any) -> str | None:
    """Return the text of a cell: None for any null, JSON for lists and mappings, otherwise `str`."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)) or _is_nested(value):
        return value_text(value, undecodable="replace")
    return None if _is_null(value) else str(value)


def value_text(value: Any, undecodable: str = "backslashreplace") -> str:
    """Return the text of a value that is not null: bytes as UTF-8, lists and mappings as JSON text, else `str`.

    `undecodable` is the error handler for bytes that are not UTF-8; the default loses none of them.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", undecodable)
    return _nested_text(value) if _is_nested(value) else str(value)


def _is_nested(value: Any) -> bool:
    """Return whether a value is a list, a mapping or an array of at least one dimension."""
    return isinstance(value, (dict, list, tuple)) or _is_array(value)


def _nested_text(value: Any) -> str:
    """Return a list or mapping as JSON text; any null, including NaN, becomes `null`."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _is_array(value: Any) -> bool:
    """Return whether a value is a NumPy array and not a scalar, without importing NumPy."""
    dimensions: int = getattr(value, "ndim", 0)
    return dimensions > 0


def _is_null(value: Any) -> bool:
    """Return whether a value is NaN, NaT or the NA of pandas, without importing pandas."""
    if type(value).__name__ == "NAType":
        return True
    return bool(value != value)


def _plain(value: Any) -> Any:
    """Return a nested value in types that JSON has: any null becomes None, any unknown type its text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # an array or scalar of NumPy
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    return cell_text(value)
