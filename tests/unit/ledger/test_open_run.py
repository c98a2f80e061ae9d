"""The identity of a run: it must stay the same across versions of the step."""

from __future__ import annotations

from typing import Any

from bedrock_batch.answers.schema.response_schema import ResponseSchema
from bedrock_batch.answers.schema.vocabulary import schema_identity
from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.ledger.identity import run_id_of
from bedrock_batch.ledger.open_run import run_parts
from bedrock_batch.models.model_input import build_model_input
from bedrock_batch.prompts.template import template_of

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:answer",
    "title": "Answer",
    "type": "object",
    "properties": {
        "category": {"type": "string", "enum": ["praise", "complaint"]},
        "note": {"$ref": "#/$defs/note"},
    },
    "required": ["category"],
    "$defs": {"note": {"type": "string"}},
}


def parts_of(schema: dict[str, Any], **config: Any) -> dict[str, str]:
    settings = settings_from_mapping(
        {
            "primary_model_id": "us.anthropic.claude-sonnet-4-20250514-v1:0",
            "user_prompt_template": "Which category has {text}?",
            "system_prompt": "Answer with JSON.",
            "input_placeholders": ["text"],
            "validation_schema": schema,
            "structured_output": "tool",
            **config,
        }
    )
    sent = ResponseSchema(schema).wire_schema()
    asked = build_model_input(settings, settings.primary_model_id, system_prompt=settings.system_prompt, schema=sent)
    identity = schema_identity(settings.validation_schema)
    return run_parts(settings, template_of(settings), asked, identity, "rows", "training")


def test_a_run_with_a_clean_schema_keeps_its_identity() -> None:
    """A run that an earlier version began would start from the beginning and be paid for twice."""
    parts = parts_of(SCHEMA)
    assert parts == {
        "inputs": "rows",
        "template": "eac52d353979caf39738ed3f67726254",
        "schema": "fe6d1539fa6532acb9b27309a7cd53a4",
        "model": "us.anthropic.claude-sonnet-4-20250514-v1:0",
        "parameters": "4e7c69b9e819b8ea845fe983b4f3986c",
        "job_type": "training",
    }
    assert run_id_of(parts) == "2cb4241a195e569e"


def test_the_tool_is_part_of_a_run_that_sends_it() -> None:
    """A start with another tool would take the answers to the first, or pay again for a tool that is not sent."""
    assert parts_of(SCHEMA, tool_name="record_answer", tool_description="Record the answer.") == parts_of(SCHEMA)
    assert parts_of(SCHEMA, tool_description="Files a case.") != parts_of(SCHEMA)
    prefilled = parts_of(SCHEMA, structured_output="prefill")
    assert parts_of(SCHEMA, structured_output="prefill", tool_name="file_case") == prefilled


def test_what_surrounds_a_schema_is_not_part_of_a_run() -> None:
    """The same template step run twice writes another time stamp, and every row would be paid for again."""
    first, second = (parts_of(SCHEMA | {"template_metadata": {"generated_at": time}}) for time in ("10:00", "11:00"))
    assert first == second
    assert first != parts_of({**SCHEMA, "title": "Another"})
