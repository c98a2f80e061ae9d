"""Checks what can be checked before slow modules are imported and data are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bedrock_batch.answers.schema.files import find_schema_file, holds_schema
from bedrock_batch.dataset.tables.formats import find_data_files
from bedrock_batch.environment.container.paths import read_json_file
from bedrock_batch.environment.settings import load_settings
from bedrock_batch.errors import InputError, Problems
from bedrock_batch.prompts.files import load_prompt_templates


def check_settings(input_paths: Mapping[str, str], environ: Mapping[str, str], overrides: Mapping[str, Any]) -> None:
    """Raise ConfigurationError if the settings are wrong, with the problems of template, schema and data found so far.

    If the settings are right, nothing else is checked: the run itself reads template, schema and data.
    """
    problems = Problems()
    if problems.attempt(lambda: load_settings(environ, overrides)) is not None:
        return
    if not environ.get("BEDROCK_USER_PROMPT_TEMPLATE") and not environ.get("BEDROCK_RULES"):
        problems.attempt(lambda: load_prompt_templates(input_paths["prompt_templates"]))
    if not environ.get("BEDROCK_VALIDATION_SCHEMA") and (schema_path := input_paths.get("validation_schema")):
        problems.attempt(lambda: _read_schema_file(Path(schema_path)))
    problems.attempt(lambda: _find_any_data(Path(input_paths["input_data"])))
    problems.raise_any()


def _read_schema_file(path: Path) -> None:
    if holds_schema(path):
        read_json_file(find_schema_file(path))


def _find_any_data(folder: Path) -> None:
    folders = [folder, *(entry for entry in sorted(folder.iterdir()) if entry.is_dir())] if folder.is_dir() else []
    if not any(find_data_files(each)[0] for each in folders):
        raise InputError(f"no .csv, .tsv or .parquet file in {folder} or its folders")
