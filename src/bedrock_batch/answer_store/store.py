"""The answer store: finds the answers that earlier runs paid for, and keeps those of this run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bedrock_batch.answer_store.compaction import LIMITS, MergeLimits, merge_small
from bedrock_batch.answer_store.markers import FRAME, MARKER, Marker, parse_marker
from bedrock_batch.answer_store.place import Place, VanishedError
from bedrock_batch.answer_store.questions import Digests
from bedrock_batch.answer_store.segments import MERGED, NAME, encode_segment, open_segment
from bedrock_batch.errors import RunError
from bedrock_batch.models.question_frame import model_of

LINK = re.compile(r"then-[0-9a-f]{32}\.json")
# A run gives up on a frame that changes so often while it is read.
_MOST_LISTINGS = 20
Positions = npt.NDArray[np.int64]
Segment = tuple[str, str, int]
"""The frame and the name of a segment, and its size in bytes."""


@dataclass(slots=True)
class FoundAnswers:
    """Where the answers to some questions are: a segment's index and a position in it, -1 where there is none.

    `times` are those of the answers, in milliseconds since 1970. `questions`, `since` and `frames` are what was asked
    for, to look again when a segment is gone.
    """

    segments: list[Segment]
    owner: Positions
    position: Positions
    times: Positions
    questions: Digests
    since: datetime | None
    frames: tuple[str, ...] = ()

    @classmethod
    def nothing(cls, questions: Digests, since: datetime | None) -> FoundAnswers:
        """Return that none of some questions has an answer."""
        owner, position = np.full(len(questions), -1, np.int64), np.zeros(len(questions), np.int64)
        return cls([], owner, position, np.full(len(questions), -(2**63), np.int64), questions, since)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether each question has an answer."""
        return self.owner >= 0

    def came_since(self, since: datetime | None) -> npt.NDArray[np.bool_]:
        """Whether each question has an answer that came at or after `since`."""
        return self.known & (self.times >= _milliseconds(since))


class AnswerStore:
    """The answers of all runs at one place, by frame and question.

    Any number of processes may read, write and merge at once: a file is named by its content and never changed, and
    deleted only after its answers are in another one.
    """

    def __init__(self, place: Place, limits: MergeLimits = LIMITS) -> None:
        self._place = place
        self._limits = limits
        self._crowded: dict[str, None] = {}
        self._marked: dict[tuple[str, str], None] = {}

    @property
    def location(self) -> str:
        return self._place.location

    def segments(self, frame: str, may_ask: Callable[[], Collection[str]] = frozenset) -> list[Segment]:
        """Return the segments of a frame and then of the frames to which `link` leads from it.

        Only frames that `may_ask` returns are looked at, those of the same model first. RunError if one of the folders
        holds a file that is not of the store.
        """
        found, links = self._files_of(frame)
        allowed = frozenset(may_ask()) - {frame} if links else frozenset()
        seen: set[str] = set()
        while rest := links & allowed - seen:
            then = min(rest, key=lambda each: (model_of(each) != model_of(frame), each))
            seen.add(then)
            segments, further = self._files_of(then)
            found += segments
            links |= further
        return found

    def _files_of(self, frame: str) -> tuple[list[Segment], set[str]]:
        """Return the segments of a frame and the frames to which its links lead."""
        found: list[Segment] = []
        links: set[str] = set()
        for name, size in self._place.files(frame):
            if NAME.fullmatch(name):
                found.append((frame, name, size))
            elif LINK.fullmatch(name):
                links.add(self._linked(frame, name))
            elif MARKER.fullmatch(name):
                if size:  # an empty one is closed
                    self._marked[frame, name] = None
            else:
                raise self._foreign(frame, name)
        if self._limits.is_crowded(size for _, _, size in found):
            self._crowded[frame] = None
        return found, links

    def find(self, segments: Sequence[Segment], questions: Digests, since: datetime | None = None) -> FoundAnswers:
        """Return where the newest answer to each question is, of those that came at or after `since`.

        An answer in an earlier frame of `segments` comes before one in a later frame. Memory holds 49 bytes for each
        question and the digests of one segment. RunError if a segment is damaged or foreign.
        """
        search = _Search(questions, since)
        for frame, of_frame in groupby(segments, key=itemgetter(0)):
            search.begin_frame(frame)
            self._look_through(search, frame, list(of_frame))
        return search.found

    def read(self, found: FoundAnswers, wanted: Positions) -> Iterator[tuple[Positions, pa.Table]]:
        """Yield the answers to some questions in parts: the questions' indices, and a row of `SCHEMA` for each.

        An answer that another process has moved since it was found is looked for again, and left out if it is gone.
        """
        owners = found.owner[wanted]
        for owner in np.unique(owners[owners >= 0]).tolist():
            mine = wanted[owners == owner]
            mine = mine[np.argsort(found.position[mine], kind="stable")]
            count = 0
            try:
                with open_segment(self._place, *found.segments[owner]) as reader:
                    for positions, table in reader.answers(mine, found.position[mine]):
                        yield positions, table
                        count += len(positions)
            except VanishedError:
                yield from self._read_moved(found, mine[count:])

    def compact(self) -> int:
        """Merge the small segments of the frames in which `segments` has seen many; return how many were merged."""
        crowded, self._crowded = self._crowded, {}
        return sum(merge_small(self._place, frame, self._limits) for frame in crowded)

    def keep(self, frame: str, answers: pa.Table) -> None:
        """Store answers that were given in a frame: the rows of an `answer_table`."""
        name, data = encode_segment(answers)
        self._place.write(frame, name, data)

    def link(self, frame: str, then: str) -> None:
        """Store that what `frame` asks was refused and asked in the frame `then`, so that `segments` looks there."""
        data = json.dumps({"then": then}).encode("ascii")
        self._place.write(frame, f"then-{then.rpartition('/')[2]}.json", data)

    def mark(self, frame: str, marker: Marker) -> None:
        """Store that a run asks in a frame, until `unmark`."""
        self._place.write(frame, marker.name, marker.encode())

    def unmark(self, frame: str, name: str) -> None:
        """Close a marker: delete it, or empty it if this process may not delete."""
        try:
            self._place.delete(frame, name)
        except RunError:  # most runs may not delete, and need not
            self._place.write(frame, name, b"")

    def markers(self) -> Iterator[tuple[str, str, Marker | None]]:
        """Yield the frame, the name and the content of each open marker that `segments` has seen.

        The content is None if it is damaged or of another version. A marker that was closed meanwhile is left out.
        """
        for frame, name in tuple(self._marked):
            try:
                data = self._place.read(frame, name)
            except VanishedError:
                continue
            if data:
                marker = parse_marker(data)
                yield frame, name, marker if marker and marker.name == name else None

    def _look_through(self, search: _Search, frame: str, segments: list[Segment]) -> None:
        """Look through the segments of a frame; list them again if one has gone in the meantime."""
        done: set[str] = set()
        waiting, listings = _last_merged(segments), 1
        while waiting:
            segment = waiting.pop()
            if segment[1] in done:
                continue
            try:
                with open_segment(self._place, *segment) as reader:
                    merged = reader.merged
                    search.look_through(segment, *reader.questions())
            except VanishedError:
                if listings == _MOST_LISTINGS:
                    raise
                waiting, listings = _last_merged(self._files_of(frame)[0]), listings + 1
            else:
                done |= {segment[1], *merged}

    def _read_moved(self, found: FoundAnswers, moved: Positions) -> Iterator[tuple[Positions, pa.Table]]:
        """Yield the answers to questions whose segment is gone, from the segments that are there now."""
        segments = [segment for frame in found.frames for segment in self._files_of(frame)[0]]
        again = self.find(segments, found.questions[moved], found.since)
        for positions, table in self.read(again, np.flatnonzero(again.known)):
            yield moved[positions], table

    def _linked(self, frame: str, name: str) -> str:
        try:
            then = json.loads(self._place.read(frame, name))["then"]
        except (ValueError, LookupError, TypeError):
            raise self._foreign(frame, name) from None
        if not isinstance(then, str) or not FRAME.fullmatch(then):
            raise self._foreign(frame, name)
        return then

    def _foreign(self, frame: str, name: str) -> RunError:
        return RunError(
            f"the answer store cannot be used: {self._place.where(frame, name)} is no file of it. Remove the file, or "
            "go on without the store, which pays again for what it holds, with BEDROCK_ANSWER_REUSE=false"
        )


def _last_merged(segments: list[Segment]) -> list[Segment]:
    """Return segments with merged ones last, which are looked through first: what they stand for is left out."""
    return sorted(segments, key=lambda segment: (not segment[1].startswith(MERGED), segment[1]), reverse=True)


class _Search:
    """Looks for questions in segments, one after the other."""

    def __init__(self, questions: Digests, since: datetime | None) -> None:
        count = len(questions)
        self._order: Positions = np.lexsort((questions["low"], questions["high"]))
        self._high = questions["high"][self._order].astype(np.uint64)
        self._low = questions["low"][self._order].astype(np.uint64)
        self._since = _milliseconds(since)
        self._settled = np.zeros(count, dtype=bool)
        self.found = FoundAnswers.nothing(questions, since)

    def begin_frame(self, frame: str) -> None:
        """Keep what was found so far: answers in a further frame do not replace it."""
        self.found.frames += (frame,)
        self._settled = self.found.known.copy()

    def look_through(self, segment: Segment, digests: Digests, times: Positions) -> None:
        """Note the answers of a segment that are newer than those found before."""
        if not len(self._order):
            return
        high, low = digests["high"].astype(np.uint64), digests["low"].astype(np.uint64)
        place = np.minimum(np.searchsorted(self._high, high), len(self._high) - 1)
        same = np.flatnonzero((self._high[place] == high) & (self._low[place] == low) & (times >= self._since))
        question = self._order[place[same]]
        newer = (times[same] > self.found.times[question]) & ~self._settled[question]
        same, question = same[newer], question[newer]
        if len(question):
            self.found.times[question] = times[same]
            self.found.owner[question] = len(self.found.segments)
            self.found.position[question] = same
            self.found.segments.append(segment)


def _milliseconds(time: datetime | None) -> int:
    """Return a time as a segment holds it; the smallest number for None."""
    return -(2**63) if time is None else int(time.timestamp() * 1000)
