"""Finding the ends of rows in the bytes of CSV and TSV, whose cells may contain line breaks."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

QUOTE = ord('"')


@dataclass(frozen=True, slots=True)
class RowEnd:
    """The length of the complete rows of some bytes, and whether the bytes end inside a quoted cell."""

    offset: int
    in_quotes: bool


def find_last_row_end(data: bytes, delimiter: str) -> RowEnd:
    """Return where the last complete row of `data` ends; `data` starts at the beginning of a row.

    A quote opens a quoted cell only as the first character, and two quotes inside a quoted cell stand for one, as in
    RFC 4180, pandas and Arrow. A carriage return as the last byte does not end a row: a line feed may follow.
    """
    opened, closed = _find_cells(data, delimiter)
    in_quotes = len(opened) > len(closed)
    limit = int(opened[-1]) if in_quotes else len(data)
    while (end := _last_line_end(data, limit)) >= 0:
        cell = int(np.searchsorted(opened, end)) - 1
        if cell < 0 or cell >= len(closed) or end > closed[cell]:
            return RowEnd(end + 1, in_quotes)
        limit = int(opened[cell])
    return RowEnd(0, in_quotes)


def _last_line_end(data: bytes, limit: int) -> int:
    feed = data.rfind(b"\n", 0, limit)
    return max(feed, data.rfind(b"\r", max(feed, 0), min(limit, len(data) - 1)))


def _find_cells(data: bytes, delimiter: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the offsets of the opening and of the closing quotes of cells, in order; the last cell may be open."""
    if QUOTE not in data:
        none = np.empty(0, dtype=np.intp)
        return none, none
    codes = np.frombuffer(data, dtype=np.uint8)
    quotes = np.flatnonzero(codes == QUOTE)
    opened, closed = quotes[::2], quotes[1::2]
    before = codes[opened[opened > 0] - 1]
    if np.isin(before, np.frombuffer(f'{delimiter}\r\n"'.encode(), dtype=np.uint8)).all():
        return _join_at_doubled_quotes(opened, closed)
    return _walk_cells(data, delimiter)


def _join_at_doubled_quotes(opened: np.ndarray, closed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells with neighbours merged: a quote directly after a closing quote continues the same cell."""
    seams = opened[1:] == closed[: len(opened) - 1] + 1
    starts = np.concatenate(([True], ~seams))
    ends = np.concatenate((~seams, [True]))[: len(closed)]
    return opened[starts], closed[ends]


def _walk_cells(data: bytes, delimiter: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the same as `_find_cells`, one cell at a time, for text with quotes in the middle of cells."""
    opening = re.compile(rf'(?:\A|[{delimiter}\r\n])"'.encode())
    closing = re.compile(rb'[^"]*(?:""[^"]*)*"(?!")')
    opened: list[int] = []
    closed: list[int] = []
    position = 0
    while found := opening.search(data, position):
        opened.append(found.end() - 1)
        end = closing.match(data, found.end())
        if end is None:
            break
        closed.append(end.end() - 1)
        position = end.end()
    return np.array(opened, dtype=np.intp), np.array(closed, dtype=np.intp)
