"""Draws a sample of the rows of several splits: their first rows, or rows that a hash of their content draws.

The law of a drawn sample: each row has a number, which is a hash of its cells in the columns of the template and of how
many equal rows its split has before it. Each split gives the rows with the smallest numbers. Rows that are appended
therefore change no number: an appended row is in the sample if its own number is small enough, and then either adds to
it or takes the place of the row with the largest number. All other rows stay.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bedrock_batch.dataset.row_source import text_columns
from bedrock_batch.dataset.splits import Split
from bedrock_batch.dataset.tables.table_file import TableFile, TablePick

Positions = npt.NDArray[np.int64]
Way = Literal["first", "hash"]
SAMPLE_SUFFIX = "_sample"
# Draws other rows than any hash by which the data may have been divided.
_KEY = b"bedrock-batch-sample-1"
_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample: its splits, how many of how many rows it holds, and how they were chosen."""

    splits: tuple[Split, ...]
    records: int
    of_records: int
    way: Way

    def as_dict(self) -> dict[str, Any]:
        return {"records": self.records, "of_records": self.of_records, "way": self.way}


def draw_sample(splits: Sequence[Split], count: int, columns: Collection[str], way: Way) -> Sample:
    """Return `count` rows of the splits, or all if they have fewer; no row is kept in memory.

    Each split gives an equal share, and what a small split cannot give, the others do. A drawn row is told from others
    by its cells in `columns`.
    """
    sizes = [split.count for split in splits]
    shares = share_out(sizes, count)
    choose: Callable[[Split, int], Positions]
    choose = _first_rows if way == "first" else lambda split, share: smallest(row_hashes(split, columns), share)
    picked = tuple(_pick_rows(split, choose(split, share)) for split, share in zip(splits, shares, strict=True))
    return Sample(picked, sum(shares), sum(sizes), way)


def share_out(sizes: Sequence[int], count: int) -> list[int]:
    """Return how many of `count` rows each split gives: equal shares, as far as its size allows.

    A split that grows takes rows from the shares of others only as long as it gives all of its own.
    """
    levels = range(max(sizes, default=0) + 1)  # what each split gives if it is large enough
    level = bisect_right(levels, count, key=lambda level: sum(min(size, level) for size in sizes)) - 1
    rest = min(count, sum(sizes)) - sum(min(size, level) for size in sizes)
    shares = []
    for size in sizes:
        extra = int(rest > 0 and size > level)
        rest -= extra
        shares.append(min(size, level) + extra)
    return shares


def row_hashes(split: Split, columns: Collection[str]) -> npt.NDArray[np.uint64]:
    """Return the number of each row of a split by which a sample is drawn; memory holds eight bytes for each row."""
    hashes = array("Q")
    for file in split.files:
        for batch in file.batches():
            hashes.extend(map(_hash_cells, _cells(batch, columns)))
    return _tell_apart(np.array(hashes, np.uint64))


def smallest(hashes: npt.NDArray[np.uint64], count: int) -> Positions:
    """Return the positions of the rows with the smallest numbers, in the order of the rows."""
    return np.sort(np.argsort(hashes, kind="stable")[:count]).astype(np.int64)


def _cells(batch: pa.RecordBatch, columns: Collection[str]) -> Any:
    """Return the text of some columns of a batch, row by row."""
    found = text_columns(batch, columns)
    return zip(*(found.get(name) or repeat(None, batch.num_rows) for name in columns), strict=True)


def _hash_cells(cells: tuple[str | None, ...]) -> int:
    data = json.dumps(cells).encode("ascii")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8, key=_KEY).digest(), "big")


def _tell_apart(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the hashes with that of the n-th of several equal rows changed by n, so that they are not drawn together.

    The change is a step of SplitMix64, which makes well distributed numbers of a sequence.
    """
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else order
    lengths = np.diff(np.append(starts, len(ordered)))
    earlier = np.empty(len(hashes), np.uint64)
    earlier[order] = np.arange(len(ordered)) - np.repeat(starts, lengths)
    step, first, second = (np.uint64(value) for value in _MIX)
    mixed = hashes + earlier * step
    mixed = (mixed ^ (mixed >> np.uint64(30))) * first
    mixed = (mixed ^ (mixed >> np.uint64(27))) * second
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), np.uint64)


def _first_rows(_: Split, share: int) -> Positions:
    return np.arange(share, dtype=np.int64)


def _pick_rows(split: Split, rows: Positions) -> Split:
    """Return a split with some of its rows; a file without any of them stays, since its output has its columns."""
    files: list[TableFile] = []
    start = 0
    for file in split.files:
        stop = start + file.count_rows()
        low, high = np.searchsorted(rows, [start, stop])
        files.append(TablePick(file, rows[low:high] - start))
        start = stop
    return replace(split, files=tuple(files), stem=f"{split.stem}{SAMPLE_SUFFIX}")
