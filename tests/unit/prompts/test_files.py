"""`prompts.json`: what is read of it, and what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.errors import InputError
from bedrock_batch.prompts.files import load_prompt_templates


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


RULES = [{"name": "a"}]


def test_a_rule_set_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The newer template step's file would be refused, or half of it not sent."""
    ruleset = {
        "system_prompt": "S",
        "user_prompt_template": "{routed_rules} {x}",
        "input_placeholders": ["x"],
        "analysis_instructions": ["first", "then"],
        "classification_guidelines": "G",
        "output_schema": {"properties": {"k": {}}},
    }
    with caplog.at_level(logging.INFO):
        folder = write_prompts(tmp_path, {"ruleset": ruleset, "rules": RULES, "version": 2})
        templates = load_prompt_templates(folder, logging.getLogger("test"))
    sections = '## Analysis instructions\n\n[\n  "first",\n  "then"\n]\n\n## Classification guidelines\n\nG'
    assert templates == {
        "system_prompt": f"S\n\n{sections}",
        "user_prompt_template": "{routed_rules} {x}",
        "input_placeholders": ["x"],
        "rules": [{"rule_name": "a"}],
        "output_schema": {"properties": {"k": {}}},
    }
    assert "1 rules and 1 input placeholders" in caplog.text


@pytest.mark.parametrize("empty", [None, "", " ", {}, []], ids=str)
def test_every_part_of_a_rule_set_may_be_left_out(tmp_path: Path, empty: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A rule set that is complete for its author would be refused, or send headings with nothing below them."""
    names = ("analysis_instructions", "classification_guidelines")
    folder = write_prompts(tmp_path, {"ruleset": dict.fromkeys(names, empty), "rules": RULES})
    templates = load_prompt_templates(folder, logging.getLogger("test"))
    assert templates == {
        "system_prompt": "",
        "user_prompt_template": "## Rules\n\n{routed_rules}",
        "input_placeholders": [],
        "rules": [{"rule_name": "a"}],
        "output_schema": None,
    }
    assert "no field of the row" in caplog.text


def test_a_template_at_the_top_is_a_template_whatever_else_is_there(tmp_path: Path) -> None:
    """A file that works today would be read in another way after an upgrade."""
    content = {"user_prompt_template": "U", "ruleset": {"system_prompt": "S"}, "rules": RULES}
    templates = load_prompt_templates(write_prompts(tmp_path, content))
    assert templates == {"system_prompt": "", "user_prompt_template": "U", "input_placeholders": []}
