"""From the files of the input channels to the settings of a run."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.answers.schema.response_schema import compile_schema, response_schema_of
from bedrock_batch.commands.input_channels import load_texts, schema_of_inputs
from bedrock_batch.environment.settings import Settings, settings_from_mapping
from bedrock_batch.errors import Problems
from bedrock_batch.prompts.template import template_of

SCHEMA = {"properties": {"label": {"type": "string"}}, "required": ["label"]}
TEMPLATE = {"user_prompt_template": "Classify {text}", "input_placeholders": ["text"]}
RULESET = {"ruleset": {"output_schema": SCHEMA}, "rules": [{"rule_name": "late"}]}


def channels(folder: Path, prompts: dict[str, Any], schema: dict[str, Any] | None) -> dict[str, str]:
    """Write the files of both channels and return their paths."""
    paths = {name: folder / name for name in ("prompt_templates", "validation_schema")}
    for path in paths.values():
        path.mkdir()
    (paths["prompt_templates"] / "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")
    if schema is not None:
        (paths["validation_schema"] / "validation_schema_1.json").write_text(json.dumps(schema), encoding="utf-8")
    return {name: str(path) for name, path in paths.items()}


def loaded_settings(paths: dict[str, str]) -> Settings:
    settings = settings_from_mapping({"primary_model_id": "a.b", "region_name": "us-east-1"})
    texts = load_texts(paths, settings, None, logging.getLogger("test"), Problems())
    assert texts is not None
    return replace(settings, **texts)


@pytest.mark.parametrize(("prompts", "schema"), [(TEMPLATE, SCHEMA), (RULESET, None)], ids=["template", "ruleset"])
def test_a_schema_is_compiled_once(tmp_path: Path, prompts: dict[str, Any], schema: dict[str, Any] | None) -> None:
    """Each start of the step would compile a large schema for the check, for `--local` and for the run."""
    compile_schema.cache_clear()
    paths = channels(tmp_path, prompts, schema)
    assert schema_of_inputs(paths) == SCHEMA
    settings = loaded_settings(paths)
    assert response_schema_of(settings) is response_schema_of(settings)
    assert compile_schema.cache_info().misses == 1


@pytest.mark.parametrize("prompts", [TEMPLATE, RULESET], ids=["template", "ruleset"])
def test_the_settings_hold_texts_that_mean_what_the_files_say(tmp_path: Path, prompts: dict[str, Any]) -> None:
    """A run that begins from the same texts in the environment would be another run and be paid again."""
    settings = loaded_settings(channels(tmp_path, prompts, SCHEMA))
    plain = {name: str(getattr(settings, name)) for name in ("input_placeholders", "rules", "validation_schema")}
    assert plain["validation_schema"] == json.dumps(SCHEMA)
    from_texts = replace(settings, **plain)
    assert settings == from_texts
    ours, theirs = (template_of(each) for each in (settings, from_texts))
    assert ours.placeholders == theirs.placeholders
    identities = [each.rules.identity() if each.rules else None for each in (ours, theirs)]
    assert identities[0] == identities[1]
