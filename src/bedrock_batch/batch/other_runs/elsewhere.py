"""Finds the jobs of other unfinished runs that hold questions of this run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from bedrock_batch.answer_store.frame_links import places_of
from bedrock_batch.answer_store.markers import Marker
from bedrock_batch.answer_store.questions import DIGEST_BYTES, Digests
from bedrock_batch.answer_store.store import Positions
from bedrock_batch.environment.context import RunContext
from bedrock_batch.ledger.document import JobEntry
from bedrock_batch.ledger.job_questions import JobQuestions, parse_job_questions, questions_name
from bedrock_batch.realtime.open_runs import UNUSABLE, OpenRun, log_unusable

# numpy compares texts of fixed length much faster than other bytes; two digests differ as texts if they differ.
_TEXT = f"S{DIGEST_BYTES}"


@dataclass(frozen=True, slots=True)
class JobElsewhere:
    """A job of another run, what it asks, and which questions of this run it holds."""

    run: OpenRun
    entry: JobEntry
    sent: JobQuestions
    questions: Positions


def find_jobs_elsewhere(
    context: RunContext,
    runs: Iterable[OpenRun],
    frame: str,
    reachable: Collection[str],
    digests: Digests,
    wanted: Positions,
) -> list[JobElsewhere]:
    """Return the jobs of other runs that hold `wanted` questions of this run, each question in one of them.

    `digests` are those of all questions. This run looks for answers in `frame` and, if that links to them, in the
    `reachable` frames. Jobs of earlier versions of the step do not say what they ask and are left out.
    """
    jobs = []
    for run in runs:
        for entry in run.jobs if len(wanted) else ():
            sent = _read_questions(context, run, entry)
            if sent is None or not _is_found(run.marker, sent.frame, frame, reachable):
                continue
            held = _find_held(digests, wanted, sent)
            if len(held):
                jobs.append(JobElsewhere(run, entry, sent, held))
                wanted = np.setdiff1d(wanted, held, assume_unique=True)
    return jobs


def join_positions(parts: Iterable[Positions]) -> Positions:
    """Return the positions of all parts."""
    return np.concatenate([np.empty(0, np.int64), *parts])


def _read_questions(context: RunContext, run: OpenRun, entry: JobEntry) -> JobQuestions | None:
    try:
        data = run.ledger.read_file(questions_name(entry.index, entry.content_digest))
    except UNUSABLE as error:
        log_unusable(context, run.marker.ledger, str(error))
        return None
    return None if data is None else parse_job_questions(data)


def _is_found(marker: Marker, asked: str, frame: str, reachable: Collection[str]) -> bool:
    """Return whether a run that begins in `frame` finds answers that another run was given in the frame `asked`."""
    place = places_of(marker.frame, marker.model_id, asked)[0]
    return place == frame or (marker.frame == frame and place in reachable)


def _find_held(digests: Digests, wanted: Positions, sent: JobQuestions) -> Positions:
    mine = np.ascontiguousarray(digests[wanted]).view(_TEXT)
    _, found, _ = np.intersect1d(mine, np.frombuffer(sent.digests, _TEXT), assume_unique=True, return_indices=True)
    return wanted[np.sort(found)]
