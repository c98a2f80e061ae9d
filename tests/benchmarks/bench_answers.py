"""The answer store: how long a run looks for its questions in a large store, and how much memory that takes."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bedrock_batch.answer_store.place import LocalPlace
from bedrock_batch.answer_store.questions import QuestionLog
from bedrock_batch.answer_store.segments import answer_table
from bedrock_batch.answer_store.store import AnswerStore

FRAME = "a.model-v1:0/" + "0" * 32
# As many answers as a run stores at once.
IN_A_SEGMENT = 20_000
MIB = 1024


@dataclass(frozen=True)
class LookupFigures:
    """Microseconds of CPU for each question, and MiB by which memory grew, while a run looked for its questions."""

    known: int
    asked: int
    digest_microseconds: float
    find_microseconds: float
    read_microseconds: float
    grown_mib: float


def measure_lookup(folder: Path, known: int, asked: int) -> LookupFigures:
    """Fill a store with `known` answers, and look half known, half new questions up in a process of its own."""
    folder.mkdir(parents=True)
    _fill(AnswerStore(LocalPlace(folder)), known)
    command = [sys.executable, __file__, str(folder), str(known), str(asked)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return LookupFigures(known, asked, *json.loads(done.stdout))


def _fill(store: AnswerStore, known: int) -> None:
    body = json.dumps({"content": [{"type": "text", "text": '{"label": "good"}'}], "stop_reason": "end_turn"})
    for first in range(0, known, IN_A_SEGMENT):
        questions = QuestionLog()
        for prompt in _prompts(first, min(first + IN_A_SEGMENT, known)):
            questions.add(prompt)
        count = len(questions)
        bodies = [f'{body[:-1]}, "id": {number}}}'.encode() for number in range(first, first + count)]
        origin = ["a.model-v1:0"] * count, [False] * count, ["batch"] * count
        values = [first] * count, bodies, *origin, ["end_turn"] * count, [300] * count, [50] * count
        store.keep(FRAME, answer_table(questions.digests, values, "run"))


def _prompts(first: int, last: int) -> Iterator[str]:
    filling = "fine " * 190
    return (f"{number} {filling}" for number in range(first, last))


def _look_up(folder: Path, known: int, asked: int) -> list[float]:
    store, questions = AnswerStore(LocalPlace(folder)), QuestionLog()
    begun = time.process_time()
    for _ in _prompts(known - asked // 2, known - asked // 2 + asked):
        pass
    prompted = time.process_time()
    for prompt in _prompts(known - asked // 2, known - asked // 2 + asked):
        questions.add(prompt)
    digested = time.process_time()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = store.find(store.segments(FRAME), questions.digests)
    searched = time.process_time()
    wanted = np.flatnonzero(found.known)
    assert len(wanted) == asked // 2
    count = sum(table.num_rows for _, table in store.read(found, wanted))
    assert count == asked // 2
    read = time.process_time()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / MIB
    digest = (digested - prompted) - (prompted - begun)
    return [digest / asked * 1e6, (searched - digested) / asked * 1e6, (read - searched) / asked * 1e6, grown]


if __name__ == "__main__":
    print(json.dumps(_look_up(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
