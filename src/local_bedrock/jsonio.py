"""Parsing and writing of JSON bytes: with orjson if it is installed, otherwise with the standard library."""

from __future__ import annotations

import json
from typing import Any

try:
    import orjson
except ImportError:  # pragma: no cover - depends on what is installed beside the package
    orjson = None  # type: ignore[assignment] # the standard library takes over below

__all__ = ["dump_json", "load_json"]


def load_json(data: bytes | str) -> Any:
    """Parse a JSON document; raise ValueError if it is invalid."""
    if orjson is not None:
        try:
            return orjson.loads(data)
        except ValueError:  # orjson refuses lone surrogates and NaN, which the parsers of AWS accept
            pass
    return json.loads(data)


def dump_json(value: Any) -> bytes:
    """Write a JSON document as compact UTF-8, without escaping characters outside ASCII."""
    if orjson is not None:
        try:
            return orjson.dumps(value)
        except TypeError:  # orjson refuses integers beyond 64 bits and lone surrogates, which JSON allows
            pass
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # lone surrogates have no UTF-8 form and must be escaped
        return json.dumps(value, separators=(",", ":")).encode()
