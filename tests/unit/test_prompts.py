"""Templates: loading, rendering, truncation, and the text of a cell."""

from __future__ import annotations

import datetime
import decimal
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bedrock_batch.errors import InputError
from bedrock_batch.prompts import (
    TRUNCATION_MARKER,
    FieldTruncation,
    PromptTemplate,
    cell_text,
    load_prompt_templates,
    text_column,
    truncate_text,
)


def write_prompts(folder: Path, content: Any) -> Path:
    (folder / "prompts.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_the_three_fields_are_loaded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The run would ask something else than the template step wrote."""
    content = {"system_prompt": "S", "user_prompt_template": "U {a}", "input_placeholders": ["a"], "more": 1}
    with caplog.at_level(logging.INFO):
        templates = load_prompt_templates(write_prompts(tmp_path, content), logging.getLogger("test"))
    assert templates == {"system_prompt": "S", "user_prompt_template": "U {a}", "input_placeholders": ["a"]}
    assert "1 input placeholders" in caplog.text
    assert "U {a}" not in caplog.text


def test_only_the_user_template_is_required(tmp_path: Path) -> None:
    """A template without a system prompt is common and would be refused."""
    templates = load_prompt_templates(write_prompts(tmp_path, {"user_prompt_template": "U", "system_prompt": None}))
    assert templates == {"system_prompt": "", "user_prompt_template": "U", "input_placeholders": []}


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    """Editors on Windows write one, and the file looks right to its author."""
    (tmp_path / "prompts.json").write_bytes(b'\xef\xbb\xbf{"user_prompt_template": "U"}')
    assert load_prompt_templates(tmp_path)["user_prompt_template"] == "U"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("{", "not a JSON file", id="not-json"),
        pytest.param("[" * 100_000, "not a JSON file", id="deep"),
        pytest.param([], "expected a JSON object", id="list"),
        pytest.param({}, "user_prompt_template is missing or empty", id="missing"),
        pytest.param({"user_prompt_template": " "}, "user_prompt_template is missing or empty", id="blank"),
        pytest.param({"user_prompt_template": 5}, "user_prompt_template is missing or empty", id="number"),
        pytest.param({"user_prompt_template": "U", "system_prompt": 5}, "system_prompt must be", id="system"),
        pytest.param({"user_prompt_template": "U", "input_placeholders": "a"}, "input_placeholders must", id="text"),
        pytest.param({"user_prompt_template": "U", "input_placeholders": [1]}, "input_placeholders must", id="numbers"),
    ],
)
def test_a_wrong_template_file_is_named_with_its_fault(tmp_path: Path, content: Any, message: str) -> None:
    """The user would not know which file to mend, or every row would be asked nonsense."""
    with pytest.raises(InputError, match=message) as caught:
        load_prompt_templates(write_prompts(tmp_path, content))
    assert "prompts.json" in str(caught.value)


def test_a_missing_template_names_the_folder_and_what_it_holds(tmp_path: Path) -> None:
    """The usual cause is a wrong channel, which the file names there give away."""
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match=r"other\.json"):
        load_prompt_templates(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        load_prompt_templates(tmp_path / "absent")


def test_a_template_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 would end in a traceback."""
    (tmp_path / "prompts.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="UTF-8"):
        load_prompt_templates(tmp_path)


@pytest.mark.parametrize(
    ("template", "names", "prompt"),
    [
        pytest.param("{a}-{b}-{a}", ["a", "b"], "{b}-B-{b}", id="row-text-is-no-template"),
        pytest.param('{a} {"x": 1} {} {{a}}', ["a"], '{b} {"x": 1} {} {{b}}', id="other-braces-stay"),
        pytest.param("{a} {b}", ["a"], "{b} {b}", id="only-the-given-names"),
        pytest.param("{a} {b} {0} {a b}", None, "{b} B {0} {a b}", id="identifiers-by-default"),
        pytest.param("{a} {b}", [], "{b} B", id="an-empty-list-is-no-list"),
        pytest.param("{c d.e}", ["c d.e"], "X", id="names-that-are-no-identifiers"),
        pytest.param("{none}|{absent}", None, "|[Missing: absent]", id="null-and-absent"),
        pytest.param("plain", ["a"], "plain", id="no-placeholder"),
        pytest.param("", None, "", id="empty"),
    ],
)
def test_rendering(template: str, names: list[str] | None, prompt: str) -> None:
    """The model would be asked something else than the template says."""
    row = {"a": "{b}", "b": "B", "c d.e": "X", "none": None}
    assert PromptTemplate(template, names).render(row) == prompt


def test_rows_are_rendered_in_order() -> None:
    """A row would get the answer to another row's prompt."""
    template = PromptTemplate("{a}{b}")
    assert template.render_rows({"a": ["1", "2", None], "b": ["x", "", "z"]}, 3) == ["1x", "2", "z"]
    assert template.render_rows({}, 2) == ["[Missing: a][Missing: b]"] * 2
    assert template.render_rows({"a": [], "b": []}, 0) == []


def test_a_column_of_another_length_is_refused() -> None:
    """Rows would silently be lost or shifted."""
    with pytest.raises(ValueError):
        PromptTemplate("{a}").render_rows({"a": ["1"]}, 2)


def test_missing_and_unused_placeholders_are_told() -> None:
    """The warning about a misspelt column depends on them."""
    template = PromptTemplate("{a} {b} {a}", ["b", "a", "c"])
    assert template.placeholders == ("a", "b")
    assert template.missing(["b", "x"]) == ("a",)
    assert template.unused == ("c",)


def test_long_fields_are_cut_to_the_limit_and_counted() -> None:
    """One overlong cell would make the whole record fail, and the user would not know that text was cut."""
    template = PromptTemplate("{a}|{b}", max_field_length=20)
    prompts = template.render_rows({"a": ["x" * 30, "y" * 20, "z" * 21], "b": ["w" * 25, None, ""]}, 3)
    assert prompts[0] == "xxxxx" + TRUNCATION_MARKER + "|" + "wwwww" + TRUNCATION_MARKER
    assert prompts[1] == "y" * 20 + "|"
    assert template.truncation.records == 2
    assert template.truncation.fields == {
        "a": FieldTruncation(records=2, characters_removed=11, longest=30),
        "b": FieldTruncation(records=1, characters_removed=5, longest=25),
    }


def test_truncation_can_be_turned_off() -> None:
    """The setting would have no effect."""
    template = PromptTemplate("{a}", max_field_length=5, truncation_enabled=False)
    assert template.render({"a": "x" * 50}) == "x" * 50
    assert template.truncation.records == 0


@pytest.mark.parametrize("limit", [0, 3, 15, 16])
def test_a_cut_text_never_exceeds_the_limit(limit: int) -> None:
    """A limit shorter than the marker would be exceeded by the marker."""
    assert len(truncate_text("x" * 50, limit)) == limit


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (float("nan"), None),
        (np.float32("nan"), None),
        (decimal.Decimal("NaN"), None),
        (pd.NaT, None),
        (pd.NA, None),
        ("", ""),
        ("NA", "NA"),
        (True, "True"),
        (0, "0"),
        (1.5, "1.5"),
        (np.int64(7), "7"),
        (decimal.Decimal("1.50"), "1.50"),
        (datetime.date(2024, 5, 1), "2024-05-01"),
        (b"\xc3\xa4\xff", "ä\ufffd"),
        ({"k": [1, None, float("nan"), "ä"]}, '{"k": [1, null, null, "ä"]}'),
        ([datetime.date(2024, 5, 1), True], '["2024-05-01", true]'),
        (np.array([1, 2]), "[1, 2]"),
        (np.array([[1.5], [float("nan")]]), "[[1.5], [null]]"),
    ],
    ids=repr,
)
def test_the_text_of_a_cell(value: Any, text: str | None) -> None:
    """`nan`, `<NA>` or a Python repr would stand in the prompt."""
    assert cell_text(value) == text


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        pytest.param(pa.array(["a", None]), ["a", None], id="string"),
        pytest.param(pa.array(["a", None], pa.large_string()), ["a", None], id="large-string"),
        pytest.param(pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"], id="dictionary"),
        pytest.param(pa.chunked_array([["a"], ["b"]]), ["a", "b"], id="chunked"),
        pytest.param(pa.array([1, None]), ["1", None], id="integer"),
        pytest.param(pa.array([1.5, float("nan"), None]), ["1.5", None, None], id="double"),
        pytest.param(pa.array([[1, 2], None]), ["[1, 2]", None], id="list"),
        pytest.param(pa.array([datetime.date(2024, 5, 1)]), ["2024-05-01"], id="date"),
        pytest.param(pa.array([None, None]), [None, None], id="null"),
    ],
)
def test_a_column_becomes_text(array: pa.Array, texts: list[str | None]) -> None:
    """Parquet columns of other types than text would not reach the prompt."""
    assert text_column(array) == texts
