"""Finds the files that hold answers to be forgotten, and removes the answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pyarrow.compute as pc

from bedrock_batch.answer_store.markers import FRAME, MARKER, belongs_to
from bedrock_batch.answer_store.place import Place
from bedrock_batch.answer_store.segments import NAME, SegmentReader, encode_segment, open_segment
from bedrock_batch.answer_store.store import LINK
from bedrock_batch.errors import RunError
from bedrock_batch.models.question_frame import model_of

# What a killed process leaves of a local file that it was writing.
_PARTIAL = re.compile(r"\..+\.part")


@dataclass(frozen=True, slots=True)
class Holding:
    """A file of a store with its size in bytes, and how many of its answers are to be forgotten and kept.

    A damaged segment has None answers to be forgotten.
    """

    frame: str
    name: str
    size: int
    forgotten: int | None
    kept: int = 0

    @property
    def model(self) -> str:
        return model_of(self.frame)


def list_holdings(place: Place, model: str | None = None) -> Iterator[Holding]:
    """Yield the files of a store, or those of one foundation model; files that are not of the store are left out."""
    for frame, name, size in place.everything():
        if is_of_store(frame, name) and model in (None, model_of(frame)):
            yield Holding(frame, name, size, _count(place, frame, name, size) if NAME.fullmatch(name) else 0)


def list_holdings_of_run(place: Place, run_id: str) -> Iterator[Holding]:
    """Yield the segments that hold answers of a run, and its markers, which lead to further answers in its ledger.

    RunError if a segment is damaged, since its runs are unknown.
    """
    for frame, name, size in place.everything():
        if FRAME.fullmatch(frame) and belongs_to(name, run_id):
            yield Holding(frame, name, size, 0)
        if FRAME.fullmatch(frame) and NAME.fullmatch(name):
            with open_segment(place, frame, name, size) as reader:
                mine = pc.sum(pc.equal(reader.run_ids(), run_id)).as_py() or 0
                if mine:
                    yield Holding(frame, name, size, mine, reader.count - mine)


def is_of_store(frame: str, name: str) -> bool:
    """Return whether a file is one that the store writes."""
    return bool(FRAME.fullmatch(frame)) and any(kind.fullmatch(name) for kind in (NAME, LINK, MARKER, _PARTIAL))


def remove(place: Place, holding: Holding, run_id: str | None) -> None:
    """Delete a file; one that also holds answers of other runs than `run_id` is replaced by a file with those.

    The new file is written before the old one is deleted: a kill in between leaves both, and the next removal finds the
    old one again.
    """
    if holding.kept:
        with open_segment(place, holding.frame, holding.name, holding.size) as reader:
            table = reader.read()
        name, data = encode_segment(table.filter(pc.not_equal(table["run_id"], run_id)))
        place.write(holding.frame, name, data)
    place.delete(holding.frame, holding.name)


def _count(place: Place, frame: str, name: str, size: int) -> int | None:
    """Return the number of answers in a segment, None if it is damaged."""
    with closing(place.open(frame, name, size)) as file:
        try:
            return SegmentReader(file, place.where(frame, name)).count
        except RunError:
            return None
