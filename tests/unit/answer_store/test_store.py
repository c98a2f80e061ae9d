"""The answer store: every answer that was kept is found again by its question, and nothing else is."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.answer_store import questions
from bedrock_batch.answer_store.place import LocalPlace, RangeFile
from bedrock_batch.answer_store.questions import QuestionLog, digest_attempts, digest_prompts
from bedrock_batch.answer_store.segments import PAGE_CHECKSUMS, SegmentReader, answer_table, encode_segment
from bedrock_batch.answer_store.store import AnswerStore
from bedrock_batch.errors import RunError
from helpers.answer_stores import FRAME, NOON, answers_table, ask
from helpers.answer_stores import stored_answer as answer

OTHER = "a.model-v1:0/" + "1" * 32


def store_at(root: Path) -> AnswerStore:
    return AnswerStore(LocalPlace(root))


def keep(store: AnswerStore, texts: dict[str, str], frame: str = FRAME, at: datetime = NOON) -> None:
    questions = digest_prompts(texts)
    answers = [answer(q.tobytes(), text, at) for q, text in zip(questions, texts.values(), strict=True)]
    store.keep(frame, answers_table(answers))


@given(
    kept=st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=30), max_size=5),
    asked=st.lists(st.text(max_size=3), max_size=40),
)
def test_a_question_gets_the_answer_that_was_kept_last_and_no_other(tmp_path_factory, kept, asked):
    """A row would be paid for again, or get the answer to another row's question."""
    store = store_at(tmp_path_factory.mktemp("store"))
    last: dict[str, str] = {}
    for index, texts in enumerate(kept):
        if texts:
            keep(store, texts, at=NOON + timedelta(seconds=index))
        last |= texts
    first_time = {prompt: position for position, prompt in reversed(list(enumerate(asked)))}
    expected = {position: last[prompt] for prompt, position in first_time.items() if prompt in last}
    assert ask(store, asked) == expected


def test_equal_prompts_of_one_run_are_questions_of_their_own():
    """A run that samples one prompt several times would get one answer for all rows."""
    digests = digest_prompts(["a", "b", "a", "a", "b", "c"])
    assert len(set(digests.tolist())) == 6
    assert digest_prompts(["a", "a", "b"])[:2].tolist() == [digests[0].item(), digests[2].item()]


@given(prompts=st.lists(st.sampled_from("abcdefgh"), max_size=60), data=st.data(), unmerged=st.integers(0, 3))
def test_a_question_has_the_same_digest_while_further_ones_come(prompts, data, unmerged):
    """Other runs would find the answers of a killed run under other questions, or not at all."""
    log, before = QuestionLog(), questions._MOST_UNMERGED
    questions._MOST_UNMERGED = unmerged
    found = {}
    try:
        for count, prompt in enumerate(prompts, 1):
            log.add(prompt)
            number = data.draw(st.integers(0, count - 1))
            found[number] = log.digest_of(number).item()
        expected = digest_prompts(prompts)
        assert found == {number: expected[number].item() for number in found}
        assert log.digests.tolist() == expected.tolist()
        assert [log.digest_of(number).item() for number in range(len(prompts))] == expected.tolist()
    finally:
        questions._MOST_UNMERGED = before


def test_attempts_are_questions_of_their_own():
    """A validation retry would get the answer that has just failed."""
    digests = digest_prompts(["a", "b"])
    attempts = [digests, digest_attempts(digests, 1), digest_attempts(digests, 2)]
    assert len({digest for each in attempts for digest in each.tolist()}) == 6


def test_frames_do_not_share_answers(tmp_path: Path):
    """A changed system prompt would be ignored."""
    store = store_at(tmp_path)
    keep(store, {"a": "first"})
    assert ask(store, ["a"], OTHER) == {}


def test_a_link_leads_to_the_answers_of_another_frame(tmp_path: Path):
    """A run whose model refuses a field would ask everything again at each start."""
    store = store_at(tmp_path)
    store.link(FRAME, OTHER)
    store.link(OTHER, FRAME)
    keep(store, {"a": "after the refusal", "b": "other"}, OTHER)
    keep(store, {"a": "asked as wanted"}, at=NOON - timedelta(days=1))
    assert ask(store, ["a", "b"]) == {0: "asked as wanted", 1: "other"}


def test_old_answers_can_be_left_out(tmp_path: Path):
    """A user who must not use answers of last year would get them."""
    store = store_at(tmp_path)
    keep(store, {"a": "old"}, at=NOON - timedelta(days=10))
    keep(store, {"b": "new"})
    assert ask(store, ["a", "b"], since=NOON - timedelta(days=1)) == {1: "new"}


def test_many_answers_are_found_in_several_row_groups(tmp_path: Path):
    """Only the first thousands of answers of a segment would be found."""
    store = store_at(tmp_path)
    texts = {f"prompt {number}": f"answer {number}" for number in range(20_000)}
    keep(store, texts)
    asked = [f"prompt {number}" for number in range(19_999, 0, -7)] + ["unknown"]
    assert ask(store, asked) == {position: texts[prompt] for position, prompt in enumerate(asked[:-1])}


def test_the_same_answers_make_the_same_file():
    """A start that collects a job again would store its answers twice."""
    questions = digest_prompts(["a", "b", "c"])
    column = [1, 2, 3]
    values = [column, [b"x", b"y", b"z"], ["m"] * 3, [False] * 3, ["batch"] * 3, ["end_turn"] * 3, column, column]
    tables = [
        answer_table(questions[order], [[column[row] for row in order] for column in values], "run")
        for order in ([0, 1, 2], [2, 0, 1])
    ]
    assert encode_segment(tables[0]) == encode_segment(tables[1])


def test_no_prompt_is_in_a_segment():
    """The store would hold the users' input texts, which it does not need."""
    _, data = encode_segment(answers_table([answer(digest_prompts(["a secret prompt"])[0].tobytes(), "x")]))
    assert b"secret" not in data


def damaged_segments() -> dict[str, bytes]:
    questions = digest_prompts(map(str, range(3000)))
    _, data = encode_segment(answers_table([answer(q.tobytes(), "text") for q in questions]))
    middle = len(data) // 2
    return {
        "empty": b"",
        "cut": data[:middle],
        "a bit": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "foreign": b"PAR1 no parquet PAR1",
        "text": b"hello",
        "a byte of the footer": data[:-40] + b"\xff" + data[-39:],
    }


@pytest.mark.parametrize("kind", damaged_segments())
def test_a_damaged_segment_is_named_before_anything_is_paid_for(tmp_path: Path, kind: str):
    """A run would end with a traceback, use a damaged answer, or pay for everything again in silence."""
    store = store_at(tmp_path)
    keep(store, {"a": "x"})
    (path,) = (tmp_path / "answers" / FRAME).iterdir()
    path.write_bytes(damaged_segments()[kind])
    with pytest.raises(RunError, match="BEDROCK_ANSWER_REUSE=false") as caught:
        ask(store, [str(number) for number in range(3000)])
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_foreign_file_is_named(tmp_path: Path):
    """A file that somebody put there would be skipped, although answers in it were paid for."""
    store = store_at(tmp_path)
    keep(store, {"a": "x"})
    (tmp_path / "answers" / FRAME / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"notes\.txt is no file of it"):
        ask(store, ["a"])


def test_a_link_that_leads_out_of_the_store_is_refused(tmp_path: Path):
    """Whoever may write to the store could make the step read files elsewhere."""
    store = store_at(tmp_path)
    store.link(FRAME, OTHER)
    (path,) = (tmp_path / "answers" / FRAME).iterdir()
    path.write_text(json.dumps({"then": "../../etc"}))
    with pytest.raises(RunError, match="is no file of it"):
        ask(store, ["a"])


@pytest.mark.skipif(not PAGE_CHECKSUMS, reason="this pyarrow has no checksums of pages: segments are read as a whole")
def test_parts_of_a_large_segment_are_read_on_demand():
    """A run would download every answer of a large store to look up its questions."""
    texts = defaultdict(lambda: "x" * 500)
    answers = [answer(q.tobytes(), texts[n] + str(n)) for n, q in enumerate(digest_prompts(map(str, range(30_000))))]
    answers = [each | {"body": each["body"] + np.random.default_rng(n).bytes(300)} for n, each in enumerate(answers)]
    _, data = encode_segment(answers_table(answers))
    read = []

    def read_range(start: int, count: int) -> bytes:
        read.append(count)
        return data[start : start + count]

    reader = SegmentReader(RangeFile(read_range, len(data)), "here")
    assert len(reader.questions()[0]) == 30_000
    assert sum(read) < len(data) / 5
