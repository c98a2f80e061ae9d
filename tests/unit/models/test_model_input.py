"""Request bodies by model family, API and output mode."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as judged
from hypothesis import strategies as st

from bedrock_batch.environment.settings import Settings, load_settings
from bedrock_batch.errors import InputError
from bedrock_batch.families import FAMILIES, Capabilities
from bedrock_batch.models.model_input import (
    ModelInput,
    build_model_input,
    effective_model_id,
    profile_geography,
    prompt_of,
)
from bedrock_batch.models.request_bodies import ANTHROPIC_VERSION

SCHEMA = {"type": "object", "properties": {"a": {"type": "number", "minimum": 0}}, "required": ["a"]}
BATCH = {
    "BEDROCK_BATCH_ROLE_ARN": "arn:aws:iam::123456789012:role/batch",
    "BEDROCK_BATCH_INPUT_S3_PATH": "s3://bucket/in",
    "BEDROCK_BATCH_OUTPUT_S3_PATH": "s3://bucket/out",
}
SONNET_4 = "us.anthropic.claude-sonnet-4-20250514-v1:0"
HAIKU_45 = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SONNET_55 = "us.anthropic.claude-sonnet-5-5"


def settings(**environ: str) -> Settings:
    return load_settings({"BEDROCK_PRIMARY_MODEL_ID": "a.b"} | environ)[0]


def build(model_id: str, schema: Any = SCHEMA, system: str = "", **environ: str) -> ModelInput:
    return build_model_input(settings(**environ), model_id, system_prompt=system, schema=schema)


def test_the_body_of_the_specification() -> None:
    """A model that accepts everything would get a body other than the specification's."""
    built = build("anthropic.claude-3-5-sonnet-20240620-v1:0", system="Be brief.", BEDROCK_MAX_TOKENS="4096")
    assert built.body("Hello") == {
        "anthropic_version": ANTHROPIC_VERSION,
        "max_tokens": 4096,
        "temperature": 1.0,
        "top_p": 0.999,
        "messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "{"}],
        "system": "Be brief.",
    }
    assert (built.api, built.output_mode, built.invocation_type) == ("invoke_model", "prefill", "InvokeModel")


def test_the_body_of_converse() -> None:
    """Every family but Anthropic's would get a body that its API does not accept."""
    built = build("mistral.mistral-large-3-675b-instruct", system="Be brief.", BEDROCK_MAX_TOKENS="1000")
    body = built.body("Hello")
    text_format = body.pop("outputConfig")["textFormat"]
    assert body == {
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        "inferenceConfig": {"maxTokens": 1000, "temperature": 1.0, "topP": 0.999},
        "system": [{"text": "Be brief."}],
    }
    assert json.loads(text_format["structure"]["jsonSchema"]["schema"])["additionalProperties"] is False
    assert (built.api, built.output_mode, built.invocation_type) == ("converse", "json_schema", "Converse")


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


def test_a_tool_carries_the_whole_schema() -> None:
    """The tool would lose the bounds of the schema, which the service accepts there."""
    body = build(SONNET_4, BEDROCK_STRUCTURED_OUTPUT="tool").body("Hello")
    assert body["tools"][0]["input_schema"] == SCHEMA
    assert body["tool_choice"] == {"type": "tool", "name": body["tools"][0]["name"]}


TOOL = {"BEDROCK_TOOL_NAME": "file_case", "BEDROCK_TOOL_DESCRIPTION": 'Files a "case".'}


def test_a_tool_has_the_name_and_the_description_of_the_settings() -> None:
    """A prompt that names the tool would refer to a tool that does not exist."""
    body = build(SONNET_4, BEDROCK_STRUCTURED_OUTPUT="tool", **TOOL).body("Hello")
    assert body["tools"] == [{"name": "file_case", "description": 'Files a "case".', "input_schema": SCHEMA}]
    assert body["tool_choice"] == {"type": "tool", "name": "file_case"}
    config = build("amazon.nova-lite-v1:0", BEDROCK_STRUCTURED_OUTPUT="tool", **TOOL).body("Hello")["toolConfig"]
    specified = {"name": "file_case", "description": 'Files a "case".', "inputSchema": {"json": SCHEMA}}
    assert config == {"tools": [{"toolSpec": specified}], "toolChoice": {"tool": {"name": "file_case"}}}


@pytest.mark.parametrize("output_mode", ["prefill", "json_schema", "prompt"])
def test_a_tool_that_is_not_sent_is_said(output_mode: str) -> None:
    """A user would not know that the model never sees the description."""
    plain = build(HAIKU_45, BEDROCK_STRUCTURED_OUTPUT=output_mode)
    named = build(HAIKU_45, BEDROCK_STRUCTURED_OUTPUT=output_mode, **TOOL)
    assert (named.head, named.tail) == (plain.head, plain.tail)
    assert [note.split()[0] for note in named.notes if note not in plain.notes] == list(TOOL)
    assert not any("TOOL" in note for note in plain.notes)


def test_what_is_left_out_is_said() -> None:
    """A user would not know that the temperature has no effect."""
    notes = build(SONNET_55, BEDROCK_MAX_TOKENS="200000").notes
    assert any("temperature and top_p left out" in note for note in notes)
    assert any("max_tokens lowered from 200000 to 128000" in note for note in notes)
    assert any("reasons before it answers" in note for note in notes)
    assert any("top_p left out" in note for note in build(HAIKU_45).notes)
    assert "top_p" in build(HAIKU_45, BEDROCK_TEMPERATURE="none").body("x")


def test_a_model_behind_profiles_only_is_said() -> None:
    """A user would learn from the first refused record, not from a note, what to set."""
    assert any("BEDROCK_INFERENCE_PROFILE_ARN" in note for note in build("anthropic.claude-sonnet-4-6").notes)
    assert not any("BEDROCK_INFERENCE_PROFILE_ARN" in note for note in build(HAIKU_45).notes)


@judged(deadline=None)
@given(st.text())
def test_a_prompt_comes_back_out_of_its_body(prompt: str) -> None:
    """The real-time fallback would send another prompt than the batch job."""
    for model_id in (SONNET_4, "amazon.nova-lite-v1:0"):
        built = build(model_id, system='{"messages": 1}')
        line = built.jsonl_line("R0000000001", prompt)
        assert line.isascii()
        assert line.count(b"\n") == 1
        assert prompt_of(json.loads(line)["modelInput"]) == prompt == prompt_of(built.body(prompt))
        assert line == b'{"recordId":"R0000000001","modelInput":' + built.json_body(prompt) + b"}\n"


def test_invoke_model_gets_the_body_as_bytes_and_converse_as_an_object() -> None:
    """The step would parse and serialise the body of each record again, or boto3 would refuse it."""
    assert build(SONNET_4).request("Hi") == build(SONNET_4).json_body("Hi")
    nova = build("amazon.nova-lite-v1:0")
    assert nova.request("Hi") == nova.body("Hi") == json.loads(nova.json_body("Hi"))


@pytest.mark.parametrize("output_mode", ["tool", "json_schema"])
@pytest.mark.parametrize("api", ["invoke_model", "converse"])
def test_a_schema_with_a_number_that_json_has_not_is_refused(api: str, output_mode: str) -> None:
    """The service would refuse every record of a run."""
    model_id = SONNET_4 if output_mode == "tool" else "us.anthropic.claude-opus-4-8"
    schema = {"type": "object", "properties": {"a": {"type": "number", "default": float("nan")}}}
    with pytest.raises(InputError, match="NaN"):
        build(model_id, schema, BEDROCK_API=api, BEDROCK_STRUCTURED_OUTPUT=output_mode)


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
    """The service would not find the profile, or would send the data to another geography."""
    listed = {"BEDROCK_PRIMARY_MODEL_ID": model_id, "AWS_DEFAULT_REGION": region}
    required = {"BEDROCK_INFERENCE_PROFILE_REQUIRED_MODELS": json.dumps([model_id])}
    assert effective_model_id(settings(**listed)) == model_id
    assert effective_model_id(settings(**listed, **required)) == f"{geography}.{model_id}"


def test_a_profile_that_is_given_is_used_as_it_is() -> None:
    """The run would not use the user's profile and its cost tags."""
    profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    assert effective_model_id(settings(BEDROCK_INFERENCE_PROFILE_ARN=profile)) == profile
    named = settings(BEDROCK_PRIMARY_MODEL_ID="eu.a.b", BEDROCK_INFERENCE_PROFILE_REQUIRED_MODELS='["eu.a.b"]')
    assert effective_model_id(named) == "eu.a.b"
    assert profile_geography("me-central-1") == "global"
