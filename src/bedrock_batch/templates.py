"""Template and schema out of the settings, where they stand as text."""

from __future__ import annotations

import json
from typing import Any

from bedrock_batch.config import Settings
from bedrock_batch.errors import InputError
from bedrock_batch.prompts import PromptTemplate
from bedrock_batch.schema import ResponseSchema


def template_of(settings: Settings) -> PromptTemplate:
    """Return the template of `user_prompt_template`, `system_prompt` and `input_placeholders` (a JSON list)."""
    if not settings.user_prompt_template.strip():
        raise InputError("there is no user_prompt_template: give prompts.json or BEDROCK_USER_PROMPT_TEMPLATE")
    names = _load(settings.input_placeholders, "BEDROCK_INPUT_PLACEHOLDERS") if settings.input_placeholders else []
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise InputError("BEDROCK_INPUT_PLACEHOLDERS must be a JSON list of column names")
    return PromptTemplate(
        settings.user_prompt_template,
        names or None,
        settings.system_prompt,
        settings.max_input_field_length,
        settings.truncation_enabled,
    )


def response_schema_of(settings: Settings) -> ResponseSchema | None:
    """Return the schema of `validation_schema` (JSON text), or None where there is none."""
    if not settings.validation_schema.strip():
        return None
    schema = _load(settings.validation_schema, "BEDROCK_VALIDATION_SCHEMA")
    if not isinstance(schema, dict):
        raise InputError("BEDROCK_VALIDATION_SCHEMA must be a JSON object")
    return ResponseSchema(schema)


def _load(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON ({error})") from None
