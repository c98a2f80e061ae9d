"""docs/troubleshooting.md holds every warning and error that the code can show, and no other."""

from __future__ import annotations

import re

import pytest

from helpers.source_messages import ROOT, collect_messages

TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(.+?)` \| (.*?) \|$", TEXT, re.MULTILINE)


def test_every_message_is_explained() -> None:
    """A user would search the document for what the log says and not find it."""
    assert sorted(collect_messages().keys() - {message for message, _ in ROWS}) == []


def test_no_message_is_explained_that_the_code_does_not_have() -> None:
    """A user would look for an error that cannot happen, or under its old text."""
    assert sorted({message for message, _ in ROWS} - collect_messages().keys()) == []


def test_no_message_is_explained_twice() -> None:
    """Two explanations of one message would contradict each other sooner or later."""
    messages = [message for message, _ in ROWS]
    assert len(messages) == len(set(messages))


def test_every_message_has_a_cause() -> None:
    """A user would find the message and nothing to do about it."""
    assert [message for message, cause in ROWS if len(cause) < 15] == []


@pytest.mark.parametrize(
    "case",
    ["the status Failed", "upload to S3 fails", "Real time is used although", "answers fail validation"],
)
def test_the_cases_of_the_specification_are_there(case: str) -> None:
    """A user of the specification would miss what it promises."""
    assert case in TEXT


def test_collecting_sees_every_form_of_message() -> None:
    """A new kind of call would escape the document without a word."""
    found = collect_messages()
    for part in (
        "is not accepted: use",  # appended to a list of problems
        "belong together: set both or neither",  # in a list of a function
        "is not a variable of this step",  # made by a comprehension
        "records that batch did not answer",  # a warning of the log
        "which reaches BEDROCK_MAX_ERROR_RATE",  # an exception of several lines
    ):
        assert any(part in text for text in found), part
