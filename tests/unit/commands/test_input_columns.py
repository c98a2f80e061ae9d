"""Columns that the template does not find: what ends the run before anything is paid for, and what is a warning."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bedrock_batch.aws.clients import ClientFactory
from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor
from bedrock_batch.commands.input_columns import check_columns
from bedrock_batch.dataset.splits import open_split
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.errors import InputError
from helpers.aws_clients import fake_session

LOG = logging.getLogger("columns")
CONFIG = {"primary_model_id": "amazon.nova-lite-v1:0", "user_prompt_template": "Judge {title}: {review}"}


def check(folder: Path, content: str, name: str = "a.csv", **config: object) -> None:
    """Check a file against a template."""
    (folder / name).write_text(content, encoding="utf-8")
    split = open_split("train", folder, folder / "out", LOG)
    settings = settings_from_mapping({**CONFIG, **config})
    context = RunContext(ClientFactory(fake_session()), log=LOG)
    check_columns([split], BedrockBatchProcessor(settings, context))


def refusal(folder: Path, content: str, name: str = "a.csv", **config: object) -> str:
    with pytest.raises(InputError) as raised:
        check(folder, content, name, **config)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "header", "advice"),
    [
        ("a.csv", "id;title;review", "read with commas, but its header fits with semicolons. Write it with commas"),
        ("a.csv", "id\ttitle\treview", "fits with tabs. Name it .tsv, or write it with commas"),
        ("a.tsv", "id,title,review", "fits with commas. Name it .csv, or write it with tabs"),
        ("a.csv", "id|title|review", "fits with vertical bars. Write it with commas"),
        ("a.csv", "id,titles,Reviews", "did you mean 'titles' for 'title', 'Reviews' for 'review'?"),
        ("a.csv", "x,y", "name one of its columns ('x', 'y')"),
    ],
)
def test_a_file_without_any_column_of_the_template_is_refused(
    tmp_path: Path, name: str, header: str, advice: str
) -> None:
    """A user would pay for thousands of prompts that read `[Missing: review]`."""
    rows = header.replace("title", "a").replace("review", "b")
    message = refusal(tmp_path, f"{header}\n{rows}\n", name)
    assert f"{tmp_path / name} has no column for any placeholder of the template (title, review)" in message
    assert advice in message


def test_one_of_several_placeholders_without_a_column_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A run that the specification lets go on would end."""
    check(tmp_path, "title\nx\ny\n")
    assert any("has no column 'review': its prompts read [Missing: review]" in text for text in caplog.messages)


def test_one_missing_column_is_an_error_if_the_settings_say_so(tmp_path: Path) -> None:
    """A pipeline could not make sure that every prompt is whole."""
    message = refusal(tmp_path, "title,reviews\nx,y\n", missing_columns="error")
    assert "has no column 'review', and BEDROCK_MISSING_COLUMNS=error" in message
    assert "did you mean 'reviews' for 'review'?" in message


def test_of_two_columns_with_one_name_the_warning_says_which_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A user would not learn that the prompts hold the other column."""
    check(tmp_path, "id,review,title,review\n1,2,3,4\n")
    assert any("has 2 columns 'review': the first of them counts, column 2" in text for text in caplog.messages)


@pytest.mark.parametrize(
    ("config", "hint"),
    [
        ({"user_prompt_template": "Judge this."}, "the template has no placeholder, so that all 2 rows"),
        (
            {"user_prompt_template": "Judge {review}.", "input_placeholders": ["text"]},
            "the template has no placeholder (input_placeholders does not list {review}), so",
        ),
    ],
)
def test_a_template_without_placeholders_is_refused(tmp_path: Path, config: dict[str, object], hint: str) -> None:
    """A user would pay for the same question once for every row."""
    message = refusal(tmp_path, "id,review\n1,2\n3,4\n", **config)
    assert hint in message
    assert "such as {id}" in message


@pytest.mark.parametrize("rows", ["", "1,2\n"])
def test_a_template_without_placeholders_may_ask_one_row(tmp_path: Path, rows: str) -> None:
    """A single question could not be asked."""
    check(tmp_path, f"id,review\n{rows}", user_prompt_template="Judge this.")


def test_a_file_without_rows_needs_no_column(tmp_path: Path) -> None:
    """An empty split, from which nothing is asked, would end the run."""
    check(tmp_path, "id;title;review\n")
