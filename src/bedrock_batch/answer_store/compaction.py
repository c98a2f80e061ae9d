"""Merges the small segments of a frame, so that a store which many runs have written to is read in few requests."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from bedrock_batch.answer_store.markers import MARKER
from bedrock_batch.answer_store.place import Place, VanishedError
from bedrock_batch.answer_store.segments import MERGED, NAME, encode_segment, merge_tables, open_segment
from bedrock_batch.errors import RunError


@dataclass(frozen=True, slots=True)
class MergeLimits:
    """When segments are merged, and how far: segments below `small_bytes` once a frame has more than `most_small`.

    A merged segment is made of at most `merged_bytes`, or `raw_bytes` without compression, which bounds the memory. One
    run merges at most `most_files`.
    """

    most_small: int = 64
    small_bytes: int = 1 << 20
    merged_bytes: int = 4 << 20
    raw_bytes: int = 32 << 20
    most_files: int = 512

    def is_crowded(self, sizes: Iterable[int]) -> bool:
        """Return whether a frame with segments of these sizes has too many small ones."""
        return sum(size < self.small_bytes for size in sizes) > self.most_small


LIMITS = MergeLimits()


def merge_small(place: Place, frame: str, limits: MergeLimits) -> int:
    """Merge the small segments of a frame if there are many, and return how many were merged.

    A merged segment is written before what it stands for is deleted, so that a kill leaves nothing but answers that are
    there twice. If a deletion fails, everything stays: the merged segment names what it stands for, which readers leave
    out and no later run merges again. Several processes may merge at once.
    """
    files = dict(place.files(frame))
    sizes = {name: size for name, size in files.items() if NAME.fullmatch(name)}
    if not limits.is_crowded(sizes.values()):
        return 0
    closed = {name for name, size in files.items() if MARKER.fullmatch(name) and not size}
    try:
        return _Compaction(place, frame, sizes, limits).run(closed)
    except VanishedError:  # another process merges the same segments
        return 0


class _Compaction:
    """One merge of a frame whose segments have some sizes by name."""

    def __init__(self, place: Place, frame: str, sizes: dict[str, int], limits: MergeLimits) -> None:
        self._place = place
        self._frame = frame
        self._sizes = sizes
        self._limits = limits
        self._may_delete = True

    def run(self, closed: Collection[str]) -> int:
        """Merge, delete the `closed` markers of runs that could not, and return how many segments were merged."""
        self._delete(closed)
        stood_for, full = self._read_merged()
        left = stood_for & self._sizes.keys()  # a process was killed before it deleted them, or may not delete
        self._delete(left)
        sizes = {name: size for name, size in self._sizes.items() if name not in left | full}
        if not self._may_delete:  # each merge would leave another copy of the same answers
            sizes = {name: size for name, size in sizes.items() if not name.startswith(MERGED)}
        count = 0
        for names, tables in self._gather(plan_merges(sizes, self._limits)):
            name, data = encode_segment(merge_tables(tables), names)
            self._place.write(self._frame, name, data)
            self._delete(names)
            count += len(names)
        return count

    def _read_merged(self) -> tuple[set[str], set[str]]:
        """Return the names that merged segments stand for, and those of small merged segments that are full."""
        stood_for: set[str] = set()
        full: set[str] = set()
        for name in filter(lambda name: name.startswith(MERGED), sorted(self._sizes)):
            with open_segment(self._place, self._frame, name, self._sizes[name]) as reader:
                stood_for |= reader.merged
                if reader.raw_bytes >= self._limits.raw_bytes // 2:
                    full.add(name)
        return stood_for, full

    def _gather(self, groups: Iterable[Collection[str]]) -> Iterator[tuple[list[str], list[pa.Table]]]:
        """Yield the tables of each group, in parts that memory can hold."""
        for group in groups:
            names: list[str] = []
            tables: list[pa.Table] = []
            for name in group:
                with open_segment(self._place, self._frame, name, self._sizes[name]) as reader:
                    tables.append(reader.read())
                names.append(name)
                if len(names) > 1 and sum(table.nbytes for table in tables) >= self._limits.raw_bytes:
                    yield names, tables
                    names, tables = [], []
            if len(names) > 1:
                yield names, tables

    def _delete(self, names: Collection[str]) -> None:
        """Delete segments whose answers are in a merged one, unless a deletion has failed."""
        for name in sorted(names):
            if not self._may_delete:
                return
            try:
                self._place.delete(self._frame, name)
            except RunError:  # most runs may not delete, and need not
                self._may_delete = False


def plan_merges(sizes: dict[str, int], limits: MergeLimits) -> list[list[str]]:
    """Return which segments, given with their sizes in bytes, are merged into one each; none if few are small."""
    small = sorted((size, name) for name, size in sizes.items() if size < limits.small_bytes)
    if len(small) <= limits.most_small:
        return []
    groups: list[list[str]] = [[]]
    total = 0
    for size, name in small[: limits.most_files]:
        if total + size > limits.merged_bytes:
            groups.append([])
            total = 0
        groups[-1].append(name)
        total += size
    return [group for group in groups if len(group) > 1]
