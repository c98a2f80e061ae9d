"""What is wrong with a run, as far as it can be told without reading data and without importing what takes time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bedrock_batch.config import load_settings
from bedrock_batch.errors import InputError, Problems
from bedrock_batch.json_files import read_json_file
from bedrock_batch.prompts import load_prompt_templates
from bedrock_batch.schema_files import find_schema_file
from bedrock_batch.tables.formats import find_data_files


def check_settings(input_paths: Mapping[str, str], environ: Mapping[str, str], overrides: Mapping[str, Any]) -> None:
    """Raise ConfigurationError when the settings are wrong, with what else can be told at once.

    Right settings say nothing yet about template, schema and data, which the run itself reads and checks.
    """
    problems = Problems()
    if problems.attempt(lambda: load_settings(environ, overrides)) is not None:
        return
    if not environ.get("BEDROCK_USER_PROMPT_TEMPLATE"):
        problems.attempt(lambda: load_prompt_templates(input_paths["prompt_templates"]))
    if not environ.get("BEDROCK_VALIDATION_SCHEMA"):
        problems.attempt(lambda: read_json_file(find_schema_file(Path(input_paths["validation_schema"]))))
    problems.attempt(lambda: _find_any_data(Path(input_paths["input_data"])))
    problems.raise_any()


def _find_any_data(folder: Path) -> None:
    folders = [folder, *(entry for entry in sorted(folder.iterdir()) if entry.is_dir())] if folder.is_dir() else []
    if not any(find_data_files(each)[0] for each in folders):
        raise InputError(f"no .csv, .tsv or .parquet file in {folder} or its folders")
