"""The identity of a run, made of everything that can change an answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from uuid import uuid4

RUN_ID_LENGTH = 16


def run_id_of(parts: Mapping[str, str]) -> str:
    """Return the id of the run with these parts: the same on every machine, 16 hexadecimal digits."""
    text = json.dumps(dict(parts), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:RUN_ID_LENGTH]


def new_run_id(parts: Mapping[str, str]) -> str:
    """Return an id that is unique to this start; its first half is that of `run_id_of`."""
    half = RUN_ID_LENGTH // 2
    return run_id_of(parts)[:half] + uuid4().hex[:half]


def changed_parts(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the parts in which two identities differ."""
    return tuple(sorted(name for name in {*before, *now} if before.get(name) != now.get(name)))
