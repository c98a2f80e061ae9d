"""JSON in bytes, by orjson where it is installed and by the standard library where it is not."""

from __future__ import annotations

import json
from typing import Any

try:
    import orjson
except ImportError:  # pragma: no cover - depends on what is installed beside the package
    orjson = None  # type: ignore[assignment] # the standard library takes over below

__all__ = ["dump_json", "load_json"]


def load_json(data: bytes | str) -> Any:
    """Parse one JSON document; ValueError when it is not one."""
    if orjson is not None:
        try:
            return orjson.loads(data)
        except ValueError:  # orjson refuses lone surrogates and NaN, which the services' own parsers let pass
            pass
    return json.loads(data)


def dump_json(value: Any) -> bytes:
    """Write one JSON document as compact UTF-8; characters outside ASCII stay as they are."""
    if orjson is not None:
        try:
            return orjson.dumps(value)
        except TypeError:  # integers beyond 64 bits and lone surrogates, which JSON allows and orjson does not
            pass
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # lone surrogates have no UTF-8; escaped they can be sent
        return json.dumps(value, separators=(",", ":")).encode()
