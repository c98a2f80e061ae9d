"""Template and schema by reference: read from the processing directory or from S3 only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bedrock_batch.environment.references import BYTE_LIMIT, JsonText, column_map_of, load_json_text, resolve_texts
from bedrock_batch.environment.settings import Settings, settings_from_mapping
from bedrock_batch.errors import ConfigurationError, InputError

OBJECTS = {"s3://bucket/schema.json": b'\xef\xbb\xbf{"properties": {}}', "s3://bucket/latin": b"\xe9"}


def settings(**given: str) -> Settings:
    return settings_from_mapping({"primary_model_id": "a.b", **given})


def read_object(uri: str) -> bytes:
    if uri not in OBJECTS:
        raise InputError("no such object")
    return OBJECTS[uri]


def test_references_become_texts(tmp_path: Path) -> None:
    """A long template could not be given at all: SageMaker cuts environment values at 256 characters."""
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "template.txt").write_text("Über {text}\n", encoding="utf-8")
    resolved = resolve_texts(
        settings(
            user_prompt_template="file:input/template.txt",
            system_prompt=f"file://{tmp_path}/input/template.txt",
            validation_schema=" s3://bucket/schema.json ",
            input_placeholders='["text"]',
        ),
        tmp_path,
        read_object,
    )
    assert resolved.user_prompt_template == resolved.system_prompt == "Über {text}\n"
    assert resolved.validation_schema == '{"properties": {}}'
    assert resolved.input_placeholders == '["text"]'


def test_a_map_of_columns_may_be_referred_to(tmp_path: Path) -> None:
    """A map of more than a few fields could not be given at all."""
    (tmp_path / "map.json").write_text('\ufeff{"category": "label"}\n', encoding="utf-8")
    resolved = resolve_texts(settings(output_column_map="file:map.json"), tmp_path, read_object)
    assert column_map_of(resolved) == {"category": "label"}
    assert column_map_of(settings()) == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": "x", "b": "x"}', '{"a": "x", "a": "y"}', "{" * 100_000])
def test_a_map_that_is_referred_to_is_checked_too(tmp_path: Path, text: str) -> None:
    """A map in a file would end in a traceback, or rename two fields to one column."""
    (tmp_path / "map.json").write_text(text, encoding="utf-8")
    resolved = resolve_texts(settings(output_column_map="file:map.json"), tmp_path, read_object)
    with pytest.raises(InputError, match=r"BEDROCK_OUTPUT_COLUMN_MAP refers to .* with each name once$"):
        column_map_of(resolved)


def test_a_text_is_left_alone() -> None:
    """A prompt that mentions a file in its middle would be taken for one."""
    given = settings(user_prompt_template="Look at file:x and s3://y {text}")
    assert resolve_texts(given, None, read_object) == given


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("file:../secret", "leads out of"),
        ("file:/etc/hostname", "leads out of"),
        ("file:link", "leads out of"),
        ("file:absent.txt", "cannot be read"),
        ("file:.", "cannot be read"),
        ("file:large", "more than"),
        ("s3://bucket/absent", "no such object"),
        ("s3://bucket/latin", "not UTF-8"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named(tmp_path: Path, reference: str, reason: str) -> None:
    """A file of the machine would be sent to a model, or a run would start with the reference as its prompt."""
    root = tmp_path / "processing"
    root.mkdir()
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "large").write_bytes(b"x" * (BYTE_LIMIT + 1))
    with pytest.raises(ConfigurationError, match=f"BEDROCK_SYSTEM_PROMPT={reference}.*{reason}"):
        resolve_texts(settings(system_prompt=reference), root, read_object)


def test_every_problem_is_told_and_a_notebook_has_no_files() -> None:
    """A user would have to correct one reference after the other."""
    with pytest.raises(ConfigurationError) as caught:
        resolve_texts(settings(system_prompt="file:a", validation_schema="s3://bucket/b"), None, read_object)
    assert len(caught.value.problems) == 2
    assert "this run does not have" in caught.value.problems[0]


def test_a_json_text_keeps_the_value_that_it_was_written_from() -> None:
    """Template and schema would be parsed again at each use, or change the identity of a run."""
    value = {"b": [1, "ü"], "a": None}
    text = JsonText.of(value)
    assert load_json_text(text, "X") is value
    assert text == json.dumps(value)
    assert load_json_text(str(text), "X") == value
