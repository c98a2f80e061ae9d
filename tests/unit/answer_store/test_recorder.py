"""The recorder keeps each complete answer under its question, and whatever fails in it leaves the run alone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from bedrock_batch.answer_store.place import LocalPlace
from bedrock_batch.answer_store.questions import QuestionLog, digest_attempts, digest_prompts
from bedrock_batch.answer_store.recorder import SECONDS_HELD, AnswerRecorder
from bedrock_batch.answer_store.store import AnswerStore
from bedrock_batch.errors import RunError
from bedrock_batch.models.model_input import ModelInput
from bedrock_batch.records import ModelOutput

FRAME = "a.model-v1:0/" + "0" * 32
FALLBACK = "b.model-v1:0/" + "1" * 32
ASKED = ModelInput("us.a.model-v1:0", "invoke_model", "prompt", "", "", frame=FRAME)
NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


class FullPlace(LocalPlace):
    """A place that refuses every write, or lets it hang until `released`."""

    released: threading.Event | None = None

    def write(self, folder: str, name: str, data: bytes) -> None:
        if self.released is not None:
            self.released.wait(30)
        raise RunError("the disk is full")


def recorder_at(
    place: LocalPlace, questions: QuestionLog, log: logging.Logger, now: Any = lambda: NOON
) -> AnswerRecorder:
    return AnswerRecorder(AnswerStore(place), ASKED, "run", questions, now, log)


def log_of(*prompts: str) -> QuestionLog:
    questions = QuestionLog()
    for prompt in prompts:
        questions.add(prompt)
    return questions


def output(number: int, body: dict[str, Any], frame: str = FRAME) -> ModelOutput:
    return ModelOutput(number, body, "us.a.model-v1:0", "realtime", frame=frame)


def kept(root: Path, questions: Any, frame: str = FRAME) -> list[bytes]:
    """Return the bodies that are kept for some questions, empty where there is none."""
    store = AnswerStore(LocalPlace(root))
    found = store.find(store.segments(frame), questions)
    bodies = [b""] * len(questions)
    for positions, table in store.read(found, np.flatnonzero(found.known)):
        for position, body in zip(positions.tolist(), table["body"].to_pylist(), strict=True):
            bodies[position] = body
    return bodies


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[logging.Logger]:
    with caplog.at_level(logging.WARNING):
        yield logging.getLogger("test-recorder")


def test_answers_and_retries_are_kept_under_their_questions(tmp_path: Path, log: logging.Logger) -> None:
    """An answer would be found for the question of another record, or a retry in the place of the first answer."""
    questions = log_of("x", "a", "a", "b")
    recorder = recorder_at(LocalPlace(tmp_path), questions, log)
    recorder.numbers = np.array([2, 1, 3, 0])  # record 0 asks question 2
    recorder.add(output(1, {"n": 1}), "end_turn", (1, 1))
    recorder.add(output(0, {"n": 2}), "end_turn", (1, 1))
    recorder.add(output(0, {"n": 2, "attempt": 2}), "end_turn", (1, 1), attempt=2)
    recorder.add_batch(FRAME, "us.a.model-v1:0", False, [2], ([msgspec.Raw(b'{"n": 3}')], ["end_turn"], [1], [1]))
    recorder.flush()
    asked = digest_prompts(["x", "a", "a", "b"])
    assert kept(tmp_path, asked) == [b"", b'{"n":1}', b'{"n":2}', b'{"n": 3}']
    assert kept(tmp_path, digest_attempts(asked, 2)) == [b"", b"", b'{"n":2,"attempt":2}', b""]
    assert kept(tmp_path, digest_attempts(asked, 1)) == [b""] * 4


def test_answers_of_a_fallback_model_are_kept_as_its_own(tmp_path: Path, log: logging.Logger) -> None:
    """A run that asks the fallback model first would pay for what it has answered already."""
    recorder = recorder_at(LocalPlace(tmp_path), log_of("a"), log)
    recorder.add(output(0, {"n": 1}, FALLBACK), "end_turn", (1, 1))
    recorder.flush()
    assert kept(tmp_path, digest_prompts(["a"]), FALLBACK) == [b'{"n":1}']
    assert kept(tmp_path, digest_prompts(["a"])) == [b""]


def test_a_run_is_marked_until_its_answers_are_kept(tmp_path: Path, log: logging.Logger) -> None:
    """Other runs would not find what a killed run has paid for, or would look for it long after it has ended."""
    place = LocalPlace(tmp_path)
    recorder = AnswerRecorder(AnswerStore(place), ASKED, "0" * 16, log_of("a"), lambda: NOON, log)
    recorder.open("s3://bucket/in/run/ledger.json")
    recorder.open("s3://bucket/in/nested/ledger.json", FRAME, "1" * 16)
    recorder.add(output(0, {"n": 1}, FALLBACK), "end_turn", (1, 1))
    names = {f"open-{'0' * 16}.json", f"open-{'0' * 16}-{'1' * 16}.json"}
    marked = [{name for name, _ in place.files(frame)} for frame in (FRAME, FALLBACK)]
    assert marked == [names, names]
    recorder.flush()
    recorder.close()
    assert not [name for _, name, _ in place.everything() if name.startswith("open-")]


def test_a_run_whose_answers_were_not_kept_stays_marked(tmp_path: Path, log: logging.Logger) -> None:
    """A store that was full for a minute would hide for ever what the run has paid for in that minute."""
    recorder = AnswerRecorder(AnswerStore(LocalPlace(tmp_path)), ASKED, "0" * 16, log_of("a"), lambda: NOON, log)
    recorder.open("s3://bucket/in/run/ledger.json")
    recorder.add(output(0, {"n": 10**5000}), "end_turn", (1, 1))
    recorder.close()
    assert [name for _, name, _ in LocalPlace(tmp_path).everything()] == [f"open-{'0' * 16}.json"]


def test_a_line_of_the_journal_names_its_question(tmp_path: Path, log: logging.Logger) -> None:
    """Another run would take the answer to one question for that to another."""
    recorder = recorder_at(LocalPlace(tmp_path), log_of("x", "a", "a"), log)
    recorder.numbers = np.array([2, 1, 0])
    digests = digest_prompts(["x", "a", "a"])
    at = int(NOON.timestamp() * 1000)
    labels = [recorder.label(output(number, {}), "first") for number in range(3)]
    assert labels == [{"question": digests[number].tobytes().hex(), "at": at} for number in (2, 1, 0)]
    retry = recorder.label(output(0, {}), "validation-2")
    assert retry["question"] == digest_attempts(digests[2:], 2)[0].tobytes().hex()
    assert recorder.label(output(7, {}), "first") == {}


def test_a_body_that_cannot_be_kept_does_not_end_the_run(
    tmp_path: Path, log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """One strange answer of a model would end a run that has paid for all of them."""
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"deeper": deep}
    recorder = recorder_at(LocalPlace(tmp_path), log_of("a", "b", "c"), log)
    recorder.add(output(0, {"n": 10**5000}), "end_turn", (1, 1))
    recorder.add(output(1, deep), "end_turn", (1, 1))
    recorder.add(output(2, {"n": 1}), "end_turn", (1, 1))
    recorder.flush()
    assert kept(tmp_path, digest_prompts(["a", "b", "c"])) == [b"", b"", b'{"n":1}']
    assert len(caplog.records) == 1


def test_a_place_that_is_full_is_one_warning(
    tmp_path: Path, log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """A run would fail, or fill its log, because its answers cannot be kept for others."""
    recorder = recorder_at(FullPlace(tmp_path), log_of("a", "b"), log)
    for number in range(2):
        recorder.add(output(number, {"n": number}), "end_turn", (1, 1))
        recorder.flush()
    assert [record.getMessage() for record in caplog.records] == [
        f"answer_store={tmp_path / 'answers'} kept=no answers=1: the disk is full"
    ]


def test_a_write_that_hangs_is_left_alone_after_a_signal(tmp_path: Path, log: logging.Logger) -> None:
    """A signal would not end the run in order while S3 does not answer."""
    place = FullPlace(tmp_path)
    place.released = threading.Event()
    recorder = recorder_at(place, log_of("a"), log)
    recorder.add(output(0, {"n": 1}), "end_turn", (1, 1))
    recorder.flush(0.01)
    assert any(thread.name == "answer-store" for thread in threading.enumerate())
    place.released.set()


def test_answers_are_stored_while_the_clock_is_set_back(tmp_path: Path, log: logging.Logger) -> None:
    """The answers of hours would wait in memory, and be lost with the process."""
    times = iter([NOON, NOON - timedelta(seconds=SECONDS_HELD)])
    recorder = recorder_at(LocalPlace(tmp_path), log_of("a", "b"), log, lambda: next(times))
    recorder.add(output(0, {"n": 1}), "end_turn", (1, 1))
    recorder.add(output(1, {"n": 2}), "end_turn", (1, 1))
    assert kept(tmp_path, digest_prompts(["a", "b"])) == [b'{"n":1}', b'{"n":2}']
