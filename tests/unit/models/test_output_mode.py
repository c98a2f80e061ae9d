"""The choice of output mode and API by the settings and the capabilities of the model."""

from __future__ import annotations

from typing import Any

import pytest

from bedrock_batch.environment.settings import Settings, load_settings
from bedrock_batch.errors import ConfigurationError
from bedrock_batch.families import UNKNOWN
from bedrock_batch.models.model_input import ModelInput, build_model_input
from bedrock_batch.models.output_mode import choose_output_mode

SCHEMA = {"type": "object", "properties": {"a": {"type": "number", "minimum": 0}}, "required": ["a"]}
FREE = {"type": "object", "properties": {"a": {"type": "object"}}, "required": ["a"]}
BATCH = {
    "BEDROCK_BATCH_ROLE_ARN": "arn:aws:iam::123456789012:role/batch",
    "BEDROCK_BATCH_INPUT_S3_PATH": "s3://bucket/in",
    "BEDROCK_BATCH_OUTPUT_S3_PATH": "s3://bucket/out",
}
SONNET_4 = "us.anthropic.claude-sonnet-4-20250514-v1:0"
HAIKU_45 = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SONNET_55 = "us.anthropic.claude-sonnet-5-5"
OPUS_48 = "us.anthropic.claude-opus-4-8"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"


def settings(**environ: str) -> Settings:
    return load_settings({"BEDROCK_PRIMARY_MODEL_ID": "a.b"} | environ)[0]


def build(model_id: str, schema: Any = SCHEMA, **environ: str) -> ModelInput:
    return build_model_input(settings(**environ), model_id, schema=schema)


# family, whether batch is possible -> the output mode that `auto` selects
AUTO = [
    (SONNET_4, False, SCHEMA, "prefill"),
    (HAIKU_45, True, SCHEMA, "prefill"),
    (HAIKU_45, True, None, "prefill"),
    ("us.anthropic.claude-sonnet-4-6", True, SCHEMA, "json_schema"),
    ("us.anthropic.claude-sonnet-4-6", True, FREE, "tool"),
    ("us.anthropic.claude-sonnet-4-6", True, None, "prompt"),
    (OPUS_48, True, SCHEMA, "tool"),
    (SONNET_55, True, SCHEMA, "prompt"),
    (NOVA_2, False, SCHEMA, "tool"),
    (NOVA_2, True, SCHEMA, "prompt"),
    ("amazon.nova-lite-v1:0", True, SCHEMA, "prefill"),
    ("us.meta.llama4-scout-17b-instruct-v1:0", True, SCHEMA, "prompt"),
    ("qwen.qwen3-32b-v1:0", True, SCHEMA, "json_schema"),
    ("cohere.command-r-v1:0", True, SCHEMA, "prompt"),
    ("us.anthropic.claude-sonnet-7", True, SCHEMA, "prompt"),
]


@pytest.mark.parametrize(("model_id", "batch", "schema", "output_mode"), AUTO)
def test_auto_takes_the_first_output_mode_that_is_proved(
    model_id: str, batch: bool, schema: Any, output_mode: str
) -> None:
    """A model would be asked by a weaker output mode than it accepts, or by one that it refuses."""
    assert build(model_id, schema, **(BATCH if batch else {})).output_mode == output_mode


ASKED = [
    (SONNET_4, "tool", {}, "tool", None),
    (HAIKU_45, "json_schema", BATCH, "json_schema", None),
    (OPUS_48, "json_schema", {}, "json_schema", None),  # not proved, but set by the user
    ("cohere.command-r-v1:0", "tool", {}, "tool", None),
    (OPUS_48, "prefill", {}, "tool", "refuses it"),
    (SONNET_55, "tool", {}, "prompt", "refuses it"),
    (NOVA_2, "tool", BATCH, "prompt", "batch inference refuses tools in Converse"),
    (SONNET_4, "prompt", {}, "prompt", None),
    (HAIKU_45, "json_schema,tool", {}, "json_schema", None),
    (SONNET_4, "json_schema,tool", {}, "tool", "=json_schema is replaced by tool"),
    (OPUS_48, "json_schema,tool", {}, "tool", "claude-opus-4-8 family accepts json_schema is not known"),
    (OPUS_48, "json_schema,prefill", {}, "json_schema", None),  # none of them is proved
    (SONNET_55, "json_schema,tool", {}, "prompt", "refuses it"),
    (NOVA_2, "tool,prefill,prompt", BATCH, "prompt", "batch inference refuses tools in Converse"),
    ("cohere.command-r-v1:0", "prefill,prompt", {}, "prompt", "is not known"),
]


@pytest.mark.parametrize(("model_id", "asked", "environ", "output_mode", "note"), ASKED)
def test_a_output_mode_that_is_asked_for(
    model_id: str, asked: str, environ: dict[str, str], output_mode: str, note: str | None
) -> None:
    """The step would silently ignore a setting, or follow it and have every record refused."""
    built = build(model_id, BEDROCK_STRUCTURED_OUTPUT=asked, **environ)
    assert built.output_mode == output_mode
    assert [part for part in built.notes if "STRUCTURED_OUTPUT" in part and (note or "?") in part] == [
        part for part in built.notes if "STRUCTURED_OUTPUT" in part
    ]
    assert any("STRUCTURED_OUTPUT" in part for part in built.notes) == (note is not None)


@pytest.mark.parametrize(
    ("asked", "schema", "reason"),
    [("tool", None, "no validation schema"), ("json_schema", FREE, "schema.a is an object with arbitrary keys")],
)
def test_a_output_mode_that_the_schema_forbids_is_replaced(asked: str, schema: Any, reason: str) -> None:
    """The service would refuse the schema, or return an empty object."""
    built = build(HAIKU_45, schema, BEDROCK_STRUCTURED_OUTPUT=asked)
    assert built.output_mode == "prefill"
    assert any(reason in note for note in built.notes)


def test_a_body_that_no_model_of_the_family_takes_is_an_error() -> None:
    """One setting would have every record refused."""
    with pytest.raises(ConfigurationError, match="BEDROCK_API=invoke_model"):
        build("amazon.nova-lite-v1:0", BEDROCK_API="invoke_model")
    assert build(SONNET_4, BEDROCK_API="converse").api == "converse"
    assert build("cohere.command-r-v1:0", BEDROCK_API="invoke_model").api == "invoke_model"


def test_choosing_is_free_of_surprises_for_an_unknown_model() -> None:
    """An unknown model would get fields that it may refuse."""
    assert choose_output_mode(settings(), UNKNOWN, SCHEMA, []) == "prompt"
