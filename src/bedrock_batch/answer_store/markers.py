"""Markers of open runs: they lead from the frames at which a run asks to its ledger, until its answers are in segments.

A run that was killed leaves its marker, and with it the way to the answers that only its ledger has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

FRAME = re.compile(r"[^/.][^/]*/[0-9a-f]{32}")
MARKER = re.compile(r"open-[0-9a-f]{16}(?:-[0-9a-f]{16})?\.json")
SCHEMA_VERSION = 1
_TEXTS = ("run_id", "ledger", "frame", "model_id")


@dataclass(frozen=True, slots=True)
class Marker:
    """The marker of a run: the location of its ledger, and the frame and the model id with which it begins to ask.

    `nested_id` is the id of a nested run, whose ledger it is, else empty. `beat` and `seen_at` (seconds since 1970) say
    what a later run has seen of the ledger, and when; `beat` is None if none has. `kept` are the indices of the jobs
    whose answers later runs have kept.
    """

    run_id: str
    ledger: str
    frame: str
    model_id: str
    nested_id: str = ""
    beat: int | None = None
    seen_at: float = 0.0
    kept: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        """The name of the marker's file in a frame."""
        return f"open-{self.run_id}{'-' if self.nested_id else ''}{self.nested_id}.json"

    def encode(self) -> bytes:
        """Return the marker in its stored form, which `parse_marker` reads."""
        value: dict[str, Any] = {"schema_version": SCHEMA_VERSION, **{name: getattr(self, name) for name in _TEXTS}}
        if self.nested_id:
            value["nested_id"] = self.nested_id
        if self.beat is not None:
            value |= {"beat": self.beat, "seen_at": self.seen_at}
        if self.kept:
            value["kept"] = sorted(self.kept)
        return json.dumps(value).encode("ascii")

    def seen(self, beat: int, seen_at: float, kept: Iterable[int] = ()) -> Marker:
        """Return the marker with what a run has seen of the ledger, and further jobs whose answers are kept."""
        return replace(self, beat=beat, seen_at=seen_at, kept=self.kept.union(kept))


def parse_marker(data: bytes) -> Marker | None:
    """Return the marker in stored bytes; None if they are damaged or of another version."""
    try:
        value = json.loads(data)
        texts = {name: value[name] for name in _TEXTS}
        nested_id, beat, seen_at = value.get("nested_id", ""), value.get("beat"), value.get("seen_at", 0.0)
        is_ours = value["schema_version"] == SCHEMA_VERSION and FRAME.fullmatch(texts["frame"])
        if not is_ours or not all(isinstance(text, str) for text in (*texts.values(), nested_id)):
            return None
        marker = Marker(**texts, nested_id=nested_id, kept=frozenset(map(int, value.get("kept", []))))
        return marker if beat is None else marker.seen(int(beat), float(seen_at))
    except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def belongs_to(name: str, run_id: str) -> bool:
    """Return whether a file is a marker of a run or of a nested run in it."""
    return bool(MARKER.fullmatch(name)) and name.startswith(f"open-{run_id}")
