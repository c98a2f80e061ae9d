"""Pure helpers for text."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most similar to `name`, or None when none is close."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def shorten(text: str, limit: int) -> str:
    """Return `text` cut to at most `limit` characters, with an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"


def cut_utf8(text: str, limit: int) -> bytes:
    """Return the UTF-8 bytes of `text`, cut to at most `limit` bytes on a character boundary."""
    data = printable(text).encode("utf-8")
    return data if len(data) <= limit else data[:limit].decode("utf-8", "ignore").encode("utf-8")


def human_bytes(count: int) -> str:
    """Return a byte count in the largest binary unit that keeps it at or above one."""
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


def digest(text: str, length: int = 12) -> str:
    """Return the first `length` hexadecimal digits of the SHA-256 of `text`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]
