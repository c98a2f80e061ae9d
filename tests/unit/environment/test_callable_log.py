"""A plain function where a logger is expected, as the original script takes it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from bedrock_batch.environment.callable_log import as_logger
from bedrock_batch.environment.settings import load_settings
from bedrock_batch_processing import load_data_file, load_prompt_templates, load_validation_schema


def test_a_function_gets_each_message_as_text() -> None:
    """A caller that hands over `print` would end with an AttributeError."""
    lines: list[str] = []
    logger = as_logger(lines.append)
    assert logger is not None
    logger.info("rows=%d", 3)
    logger.warning("late")
    logger.debug("not shown")
    assert lines == ["rows=3", "late"]


def test_a_logger_stays_what_it_is() -> None:
    """The handlers and the level that a caller has set would be lost."""
    logger = logging.Logger("mine")
    assert as_logger(logger) is logger
    assert as_logger(None) is None


def test_template_and_schema_are_loaded_with_a_function(tmp_path: Path) -> None:
    """A notebook written for the original script would not get past its first cell."""
    lines: list[str] = []
    (tmp_path / "prompts.json").write_text(json.dumps({"user_prompt_template": "Judge {text}"}))
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    (tmp_path / "validation_schema_1.json").write_text(json.dumps(schema))
    assert load_prompt_templates(tmp_path, lines.append)["user_prompt_template"] == "Judge {text}"
    assert load_validation_schema(tmp_path, lines.append) == schema
    assert len(lines) == 2


def test_a_data_file_is_loaded_under_the_old_name(tmp_path: Path) -> None:
    """A caller of the original's `load_data_file` would get an AttributeError."""
    (tmp_path / "a.csv").write_text("a\n1\n")
    frame, kind = load_data_file(tmp_path / "a.csv")
    assert (list(frame["a"]), kind) == (["1"], "csv")


@pytest.mark.parametrize("hours", ["1", "23"])
def test_a_timeout_below_the_minimum_of_aws_is_raised(hours: str) -> None:
    """A value that the original accepts would end the run, or its jobs would be refused after the upload."""
    settings, warnings = load_settings({"BEDROCK_PRIMARY_MODEL_ID": "m", "BEDROCK_BATCH_TIMEOUT_HOURS": hours})
    assert settings.batch_timeout_hours == 24
    assert any("BEDROCK_BATCH_TIMEOUT_HOURS" in warning for warning in warnings)
