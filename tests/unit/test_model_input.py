"""Request bodies: what each family is sent, by which API and rung."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as judged
from hypothesis import strategies as st

from bedrock_batch.config import Settings, load_settings
from bedrock_batch.errors import ConfigurationError
from bedrock_batch.families import FAMILIES, UNKNOWN, Capabilities
from bedrock_batch.model_input import (
    ANTHROPIC_VERSION,
    ModelInput,
    build_model_input,
    choose_structure,
    effective_model_id,
    profile_geography,
    prompt_of,
)

SCHEMA = {"type": "object", "properties": {"a": {"type": "number", "minimum": 0}}, "required": ["a"]}
FREE = {"type": "object", "properties": {"a": {"type": "object"}}, "required": ["a"]}
BATCH = {
    "BEDROCK_BATCH_ROLE_ARN": "arn:aws:iam::123456789012:role/batch",
    "BEDROCK_BATCH_INPUT_S3_PATH": "s3://bucket/in",
    "BEDROCK_BATCH_OUTPUT_S3_PATH": "s3://bucket/out",
}
SONNET_4 = "us.anthropic.claude-sonnet-4-20250514-v1:0"
HAIKU_45 = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
OPUS_48 = "us.anthropic.claude-opus-4-8"
SONNET_55 = "us.anthropic.claude-sonnet-5-5"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"


def settings(**environ: str) -> Settings:
    return load_settings({"BEDROCK_PRIMARY_MODEL_ID": "a.b"} | environ)[0]


def build(model_id: str, schema: Any = SCHEMA, system: str = "", **environ: str) -> ModelInput:
    return build_model_input(settings(**environ), model_id, system_prompt=system, schema=schema)


def test_the_body_of_the_specification() -> None:
    """A model that takes everything would be sent something other than the specification says."""
    built = build("anthropic.claude-3-5-sonnet-20240620-v1:0", system="Be brief.", BEDROCK_MAX_TOKENS="4096")
    assert built.body("Hello") == {
        "anthropic_version": ANTHROPIC_VERSION,
        "max_tokens": 4096,
        "temperature": 1.0,
        "top_p": 0.999,
        "messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "{"}],
        "system": "Be brief.",
    }
    assert (built.api, built.structure, built.invocation_type) == ("invoke_model", "prefill", "InvokeModel")


def test_the_body_of_converse() -> None:
    """Every other family would be sent a body that its API does not know."""
    built = build("mistral.mistral-large-3-675b-instruct", system="Be brief.", BEDROCK_MAX_TOKENS="1000")
    body = built.body("Hello")
    text_format = body.pop("outputConfig")["textFormat"]
    assert body == {
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        "inferenceConfig": {"maxTokens": 1000, "temperature": 1.0, "topP": 0.999},
        "system": [{"text": "Be brief."}],
    }
    assert json.loads(text_format["structure"]["jsonSchema"]["schema"])["additionalProperties"] is False
    assert (built.api, built.structure, built.invocation_type) == ("converse", "json_schema", "Converse")


@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row.accepts.family)
@pytest.mark.parametrize("batch", [False, True], ids=["realtime", "batch"])
def test_no_family_is_sent_what_it_refuses(row: Any, batch: bool) -> None:
    """With the defaults, every record of a run would be refused."""
    able: Capabilities = row.accepts
    built = build_model_input(settings(**(BATCH if batch else {})), "x.y", capabilities=able, schema=SCHEMA)
    body = built.body("Hello")
    inference = body.get("inferenceConfig", body)
    sampling = {"temperature", "top_p", "topP"} & inference.keys()
    assert len(sampling) <= {"both": 2, "either": 1, "none": 0}[able.sampling]
    assert inference.get("maxTokens", inference.get("max_tokens")) <= (able.max_output_tokens or 32768)
    assert built.prefilled == (body["messages"][-1]["role"] == "assistant")
    assert not built.prefilled or able.prefill is True
    assert ("tool_choice" in body or "toolConfig" in body) <= (able.forced_tool is True)
    assert ("output_config" in body or "outputConfig" in body) <= (able.json_schema is True)
    assert not (batch and "toolConfig" in body), "AWS refuses tools in Converse records of batch jobs"


# family, whether batch is possible -> the rung that `auto` takes
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


@pytest.mark.parametrize(("model_id", "batch", "schema", "rung"), AUTO)
def test_auto_takes_the_first_rung_that_is_proved(model_id: str, batch: bool, schema: Any, rung: str) -> None:
    """A model would be held to JSON by less than it accepts, or by something that it refuses."""
    assert build(model_id, schema, **(BATCH if batch else {})).structure == rung


ASKED = [
    (SONNET_4, "tool", {}, "tool", None),
    (HAIKU_45, "json_schema", BATCH, "json_schema", None),
    (OPUS_48, "json_schema", {}, "json_schema", None),  # not proved, but asked for
    ("cohere.command-r-v1:0", "tool", {}, "tool", None),
    (OPUS_48, "prefill", {}, "tool", "refuses it"),
    (SONNET_55, "tool", {}, "prompt", "refuses it"),
    (NOVA_2, "tool", BATCH, "prompt", "batch inference refuses tools in Converse"),
    (SONNET_4, "prompt", {}, "prompt", None),
]


@pytest.mark.parametrize(("model_id", "asked", "environ", "rung", "note"), ASKED)
def test_a_rung_that_is_asked_for(
    model_id: str, asked: str, environ: dict[str, str], rung: str, note: str | None
) -> None:
    """A setting would be ignored without a word, or followed into the refusal of every record."""
    built = build(model_id, BEDROCK_STRUCTURED_OUTPUT=asked, **environ)
    assert built.structure == rung
    assert [part for part in built.notes if "STRUCTURED_OUTPUT" in part and (note or "?") in part] == [
        part for part in built.notes if "STRUCTURED_OUTPUT" in part
    ]
    assert any("STRUCTURED_OUTPUT" in part for part in built.notes) == (note is not None)


@pytest.mark.parametrize(
    ("asked", "schema", "reason"),
    [("tool", None, "no validation schema"), ("json_schema", FREE, "schema.a is an object of any keys")],
)
def test_a_rung_that_the_schema_forbids_is_replaced(asked: str, schema: Any, reason: str) -> None:
    """The service would refuse the schema, or answer with an empty object."""
    built = build(HAIKU_45, schema, BEDROCK_STRUCTURED_OUTPUT=asked)
    assert built.structure == "prefill"
    assert any(reason in note for note in built.notes)


def test_a_tool_carries_the_whole_schema() -> None:
    """The bounds of the schema would be lost where the service takes them."""
    body = build(SONNET_4, BEDROCK_STRUCTURED_OUTPUT="tool").body("Hello")
    assert body["tools"][0]["input_schema"] == SCHEMA
    assert body["tool_choice"] == {"type": "tool", "name": body["tools"][0]["name"]}


def test_what_is_left_out_is_said() -> None:
    """A user would believe that the temperature had an effect."""
    notes = build(SONNET_55, BEDROCK_MAX_TOKENS="200000").notes
    assert any("temperature and top_p left out" in note for note in notes)
    assert any("max_tokens lowered from 200000 to 128000" in note for note in notes)
    assert any("thinks before it answers" in note for note in notes)
    assert any("top_p left out" in note for note in build(HAIKU_45).notes)
    assert "top_p" in build(HAIKU_45, BEDROCK_TEMPERATURE="none").body("x")


def test_a_model_behind_profiles_only_is_said() -> None:
    """The first record would be refused before the user learns what to set."""
    assert any("BEDROCK_INFERENCE_PROFILE_ARN" in note for note in build("anthropic.claude-sonnet-4-6").notes)
    assert not any("BEDROCK_INFERENCE_PROFILE_ARN" in note for note in build(HAIKU_45).notes)


def test_a_body_that_no_model_of_the_family_takes_is_an_error() -> None:
    """Every record would be refused because of one setting."""
    with pytest.raises(ConfigurationError, match="BEDROCK_API=invoke_model"):
        build("amazon.nova-lite-v1:0", BEDROCK_API="invoke_model")
    assert build(SONNET_4, BEDROCK_API="converse").api == "converse"
    assert build("cohere.command-r-v1:0", BEDROCK_API="invoke_model").api == "invoke_model"


def test_choosing_is_free_of_surprises_for_an_unknown_model() -> None:
    """A model that nobody knows would be sent what it may refuse."""
    assert choose_structure(settings(), UNKNOWN, SCHEMA, []) == "prompt"


@judged(deadline=None)
@given(st.text())
def test_a_prompt_comes_back_out_of_its_body(prompt: str) -> None:
    """A record that batch did not answer would be asked again with another prompt."""
    for model_id in (SONNET_4, "amazon.nova-lite-v1:0"):
        built = build(model_id, system='{"messages": 1}')
        line = built.jsonl_line("R0000000001", prompt)
        assert line.isascii()
        assert line.count(b"\n") == 1
        assert prompt_of(json.loads(line)["modelInput"]) == prompt == prompt_of(built.body(prompt))


PROFILES = [
    ("us-west-2", SONNET_4.removeprefix("us."), "us"),
    ("eu-central-1", SONNET_4.removeprefix("us."), "eu"),
    ("ap-northeast-1", SONNET_4.removeprefix("us."), "apac"),
    ("us-gov-west-1", SONNET_4.removeprefix("us."), "us-gov"),
    ("ca-central-1", SONNET_4.removeprefix("us."), "global"),
    ("ap-northeast-1", "anthropic.claude-sonnet-4-6", "jp"),
    ("ap-southeast-2", "anthropic.claude-sonnet-4-6", "au"),
    ("ap-south-1", "anthropic.claude-sonnet-4-6", "global"),
]


@pytest.mark.parametrize(("region", "model_id", "geography"), PROFILES)
def test_a_model_that_needs_a_profile_gets_the_one_of_the_region(region: str, model_id: str, geography: str) -> None:
    """The service would not find the profile, or send the data out of the geography."""
    listed = {"BEDROCK_PRIMARY_MODEL_ID": model_id, "AWS_DEFAULT_REGION": region}
    required = {"BEDROCK_INFERENCE_PROFILE_REQUIRED_MODELS": json.dumps([model_id])}
    assert effective_model_id(settings(**listed)) == model_id
    assert effective_model_id(settings(**listed, **required)) == f"{geography}.{model_id}"


def test_a_profile_that_is_given_is_used_as_it_is() -> None:
    """A user's own profile, with its cost tags, would not be used."""
    profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    assert effective_model_id(settings(BEDROCK_INFERENCE_PROFILE_ARN=profile)) == profile
    named = settings(BEDROCK_PRIMARY_MODEL_ID="eu.a.b", BEDROCK_INFERENCE_PROFILE_REQUIRED_MODELS='["eu.a.b"]')
    assert effective_model_id(named) == "eu.a.b"
    assert profile_geography("me-central-1") == "global"
