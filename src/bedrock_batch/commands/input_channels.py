"""What the input channels for prompts and schema hold, as values of the settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bedrock_batch.answers.schema.files import holds_schema
from bedrock_batch.answers.schema.response_schema import check_validation_schema, load_validation_schema
from bedrock_batch.environment.container.paths import check_folder
from bedrock_batch.environment.references import JsonText
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import Problems
from bedrock_batch.prompts.files import PROMPTS_FILE, load_prompt_templates
from bedrock_batch.prompts.rules import category_schema


def load_texts(
    input_paths: Mapping[str, str],
    settings: Settings | None,
    processing_dir: Path | None,
    log: logging.Logger,
    problems: Problems,
) -> dict[str, Any] | None:
    """Return the settings that the files of the input channels replace: template, rules and schema.

    Return None after adding to `problems` what is wrong with the files.
    """
    templates_path = Path(input_paths["prompt_templates"])
    schema_path = Path(path) if (path := input_paths.get("validation_schema")) else None
    before = len(problems.texts)
    for folder in filter(None, (templates_path, schema_path)):
        problems.attempt(lambda folder=folder: check_folder(processing_dir or folder, folder))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    if len(problems.texts) > before:
        return None
    given = settings is not None and bool(settings.user_prompt_template or settings.rules)
    templates, schema = None, None
    if not given or _has_files(templates_path):
        templates = problems.attempt(lambda: _load_templates(templates_path, log))
    if schema_path is not None and _has_schema(schema_path, settings):
        schema = problems.attempt(lambda: load_validation_schema(schema_path, log))
    return _texts_of(templates, schema, log) if len(problems.texts) == before else None


def _load_templates(path: Path, log: logging.Logger | None = None) -> dict[str, Any]:
    """Return the content of `prompts.json`; InputError if it or its schema cannot be used."""
    templates = load_prompt_templates(path, log)
    if (schema := templates.get("output_schema")) is not None:
        check_validation_schema(schema, f"{PROMPTS_FILE}: ruleset.output_schema")
    return templates


def _texts_of(
    templates: Mapping[str, Any] | None, channel_schema: dict[str, Any] | None, log: logging.Logger
) -> dict[str, Any]:
    """Return templates and schema as texts for the settings, which remember the values that were read."""
    texts: dict[str, Any] = {}
    if templates is not None:
        texts = {name: templates[name] for name in ("user_prompt_template", "system_prompt")}
        texts["input_placeholders"] = JsonText.of(templates["input_placeholders"])
        texts |= {"rules": JsonText.of(templates["rules"])} if "rules" in templates else {}
    own = (templates or {}).get("output_schema")
    if own is not None and channel_schema not in (None, own):
        log.warning("%s has an output_schema: the other one in the schema channel is not used", PROMPTS_FILE)
    schema = own or channel_schema
    return texts | ({"validation_schema": JsonText.of(schema)} if schema is not None else {})


def schema_of_inputs(input_paths: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the schema that a run takes from its input channels, or None if they have none.

    Raise InputError for a file that cannot be read.
    """
    templates_path = Path(input_paths["prompt_templates"])
    templates = _load_templates(templates_path) if _has_files(templates_path) else {}
    if schema := templates.get("output_schema"):
        return dict(schema)
    if (path := input_paths.get("validation_schema")) and holds_schema(Path(path)):
        return load_validation_schema(path)
    return category_schema(templates["rules"]) if "rules" in templates else None


def _has_schema(path: Path, settings: Settings | None) -> bool:
    """Return whether the run takes its schema from the channel: a JSON file there overrides the setting."""
    return _has_files(path) or (not (settings and settings.validation_schema) and holds_schema(path))


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("*.json"))
