"""Jobs of other runs: each question of this run is in at most one of them, and only in one that asks just that."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.answer_store.markers import Marker
from bedrock_batch.answer_store.questions import digest_prompts
from bedrock_batch.batch.other_runs.elsewhere import find_jobs_elsewhere
from bedrock_batch.environment.context import RunContext
from bedrock_batch.ledger.document import JobEntry, LedgerDocument
from bedrock_batch.ledger.job_questions import JobQuestions, questions_name
from bedrock_batch.ledger.local_store import LocalLedgerStore
from bedrock_batch.models.question_frame import fallback_frame
from bedrock_batch.realtime.open_runs import OpenRun

FRAME, OTHER, FALLBACK = "a.m/" + "0" * 32, "a.m/" + "1" * 32, "b.m/" + "2" * 32
CONTEXT = RunContext(None, log=logging.getLogger("test-elsewhere"))  # type: ignore[arg-type]


def run_with(root: Path, jobs: list[list[str]], frame: str = FRAME, began: str = FRAME) -> OpenRun:
    """Return a killed run whose jobs hold some prompts."""
    store = LocalLedgerStore(root, "run")
    store.claim()
    entries = []
    for index, prompts in enumerate(jobs):
        digest = f"{index:064d}"
        where = {"start": 0, "stop": 1, "records": 1, "left_out": 0, "bytes": 1, "name": "j", "input_uri": "s3://b/k"}
        entries.append(JobEntry(index=index, content_digest=digest, state="created", arn="arn", **where))
        count = range(len(prompts))
        sent = JobQuestions.of(frame, "m", False, count, count, digest_prompts(prompts).tobytes())
        store.write_file(questions_name(index, digest), sent.encode())
    store.release()
    marker = Marker("a" * 16, "s3://b/run/ledger.json", began, "us.a.m")
    return OpenRun(marker, store, LedgerDocument(run_id="a" * 16, parts={}, jobs=entries), ())


@given(
    jobs=st.lists(st.lists(st.text("abcdef", min_size=1, max_size=2), unique=True, max_size=8), max_size=4),
    asked=st.lists(st.text("abcdef", min_size=1, max_size=2), unique=True, max_size=12),
    known=st.sets(st.integers(0, 11)),
)
def test_each_wanted_question_is_found_in_one_job(tmp_path_factory, jobs, asked, known):
    """A row would be paid for again, or wait for a job that does not hold it."""
    wanted = np.array([number for number in range(len(asked)) if number not in known], np.int64)
    run = run_with(tmp_path_factory.mktemp("ledger"), jobs)
    found = find_jobs_elsewhere(CONTEXT, [run], FRAME, (), digest_prompts(asked), wanted)
    held = {number: each.entry.index for each in found for number in each.questions.tolist()}
    expected = {
        number: next(index for index, prompts in enumerate(jobs) if asked[number] in prompts)
        for number in wanted.tolist()
        if any(asked[number] in prompts for prompts in jobs)
    }
    assert held == expected
    assert sum(len(each.questions) for each in found) == len(held)


def test_a_job_that_asks_something_else_is_left_alone(tmp_path):
    """A run would get answers to another system prompt, or those of a model that it may not ask."""
    digests, wanted = digest_prompts(["x"]), np.array([0])

    def finds(frame: str, began: str, reachable: set[str]) -> bool:
        run = run_with(tmp_path, [["x"]], frame, began)
        return bool(find_jobs_elsewhere(CONTEXT, [run], FRAME, reachable, digests, wanted))

    assert finds(FRAME, FRAME, set())
    assert finds(FRAME, OTHER, set())
    assert not finds(OTHER, FRAME, set())
    assert finds(OTHER, FRAME, {OTHER})
    assert not finds(OTHER, OTHER, {OTHER})
    assert not finds(FALLBACK, FRAME, {FALLBACK})
    assert finds(FALLBACK, FRAME, {fallback_frame(FRAME, "us.a.m", FALLBACK)})


def test_a_job_without_its_questions_is_left_alone(tmp_path):
    """The ledger of an earlier version of the step would end every run that asks the same."""
    run = run_with(tmp_path, [["x"], ["y"]])
    for path in tmp_path.rglob("questions-00000-*"):
        path.unlink()
    for path in tmp_path.rglob("questions-00001-*"):
        path.write_bytes(b"damaged")
    assert find_jobs_elsewhere(CONTEXT, [run], FRAME, (), digest_prompts(["x", "y"]), np.array([0, 1])) == []
