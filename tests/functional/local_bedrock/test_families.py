"""The rules of each model family, in real time and in batch, through boto3 over HTTP."""

import json

import pytest
from botocore.exceptions import ClientError

from helpers.botocore_models import CACHE_POINTS
from helpers.local_bedrock_jobs import SCHEMA, converse_body, lines_of, messages_body, output_records, run_job
from local_bedrock import Behaviour, LocalBedrock

TOOLS = {"tools": [{"name": "record", "input_schema": SCHEMA}], "tool_choice": {"type": "tool", "name": "record"}}
FORMAT = {
    "output_config": {
        "format": {
            "type": "json_schema",
            "schema": {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
        }
    }
}
BUDGET = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}
ADAPTIVE = {"thinking": {"type": "adaptive"}}
CACHED = {"system": [{"text": "s"}, {"cachePoint": {"type": "default"}}]}
BOTH = {"temperature": 1.0, "top_p": 0.999}

EITHER = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
PREFILL = "This model does not support assistant message prefill. The conversation must end with a user message."
FORCED = 'tool_choice: type "tool" and "any" are not supported for this model'
FORMAT_REFUSED = "output_config.format: Extra inputs are not permitted"

SONNET_4 = "us.anthropic.claude-sonnet-4-20250514-v1:0"
HAIKU_45 = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SONNET_46 = "global.anthropic.claude-sonnet-4-6"
OPUS_48 = "eu.anthropic.claude-opus-4-8"
SONNET_5 = "us.anthropic.claude-sonnet-5"
SONNET_55 = "us.anthropic.claude-sonnet-5-5"

RULES = [
    (SONNET_4, BOTH, None),
    (SONNET_4, {"prefill": "{"}, None),
    (SONNET_4, TOOLS, None),
    (SONNET_4, FORMAT, FORMAT_REFUSED),
    (SONNET_4, ADAPTIVE, '"thinking.type.adaptive" is not supported for this model.'),
    (SONNET_4, {**BUDGET, "temperature": 0.5}, "`temperature` may only be set to 1 when thinking is enabled."),
    (SONNET_4, {**BUDGET, **TOOLS}, "Thinking may not be enabled when tool_choice forces tool use."),
    (HAIKU_45, BOTH, EITHER),
    (HAIKU_45, {"temperature": 0.2}, None),
    (HAIKU_45, {"prefill": "{"}, None),
    (HAIKU_45, FORMAT, None),
    (SONNET_46, {"prefill": "{"}, PREFILL),
    (SONNET_46, BOTH, EITHER),
    (SONNET_46, ADAPTIVE, None),
    (SONNET_46, {"anthropic_version": "2026-10-21"}, "anthropic_version: Input should be 'bedrock-2023-05-31'"),
    (OPUS_48, {"temperature": 0.5}, "`temperature` is deprecated for this model"),
    (OPUS_48, {"temperature": 1}, None),
    (OPUS_48, BUDGET, '"thinking.type.enabled" is not supported for this model.'),
    (OPUS_48, TOOLS, None),
    (OPUS_48, {"anthropic_version": "2026-10-21"}, None),
    (SONNET_5, {"top_k": 5}, "`top_k` is deprecated for this model"),
    (SONNET_5, TOOLS, None),
    (SONNET_5, {"thinking": {"type": "disabled"}}, None),
    (SONNET_55, TOOLS, FORCED),
    (SONNET_55, {"thinking": {"type": "disabled"}}, '"thinking.type.disabled" is not supported for this model.'),
    (SONNET_55, FORMAT, FORMAT_REFUSED),
]
IDS = [f"{model.rpartition('claude-')[2]}-{'-'.join(change)}" for model, change, _ in RULES]


@pytest.fixture(scope="module")
def local():
    """A server that accepts jobs of one record."""
    with LocalBedrock(Behaviour(min_records_per_job=1)) as server:
        yield server


@pytest.mark.parametrize(("model", "change", "message"), RULES, ids=IDS)
def test_realtime_keeps_the_familys_rules(local, model, change, message):
    """A body that AWS refuses would pass every test."""
    client = local.client("bedrock-runtime")
    body = json.dumps(messages_body(**change))
    if message is None:
        assert json.loads(client.invoke_model(modelId=model, body=body)["body"].read())["content"]
        return
    with pytest.raises(ClientError) as caught:
        client.invoke_model(modelId=model, body=body)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert caught.value.response["Error"]["Message"] == message


@pytest.mark.parametrize(
    ("model", "change", "message"),
    [rule for rule in RULES if rule[2] in (EITHER, PREFILL, FORMAT_REFUSED) and rule[0] != SONNET_55],
)
def test_batch_keeps_the_same_rules_per_record(local, request, model, change, message):
    """A job in which AWS refuses every record would look like a success."""
    name = f"job-{abs(hash(request.node.name))}"
    job = run_job(local, lines_of([messages_body(**change)]), name=name, modelId=model)
    (record,) = output_records(local, job)
    assert record["error"] == {"errorCode": 400, "errorMessage": message, "retryable": False}


@pytest.mark.parametrize(
    ("model", "request_change", "message"),
    [
        (HAIKU_45, {"inferenceConfig": {"maxTokens": 100, "temperature": 1.0, "topP": 0.999}}, EITHER),
        ("amazon.nova-lite-v1:0", {"inferenceConfig": {"maxTokens": 20_000}}, "20000 > 10240"),
        (SONNET_4, {"additionalModelRequestFields": {"effort": "low"}}, "effort: Extra inputs are not permitted"),
        pytest.param(SONNET_4, CACHED, None, marks=CACHE_POINTS),
        pytest.param("us.meta.llama3-3-70b-instruct-v1:0", CACHED, "caching", marks=CACHE_POINTS),
    ],
    ids=["either", "limit", "extra", "cache", "no cache"],
)
def test_converse_keeps_the_rules_too(local, model, request_change, message):
    """A client of Converse could send what InvokeModel refuses."""
    client = local.client("bedrock-runtime")
    if message is None:
        assert client.converse(modelId=model, **{**converse_body(), **request_change})["stopReason"] == "end_turn"
        return
    with pytest.raises(ClientError, match=message):
        client.converse(modelId=model, **{**converse_body(), **request_change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"additionalProperties": True}, "'additionalProperties' must be explicitly set to false"),
        (
            {"properties": {"n": {"type": "number", "minimum": 0}}},
            "For 'number' type, properties minimum are not supported",
        ),
        ({"properties": {"s": {"type": "string", "maxLength": 5}}}, "For 'string' type, properties maxLength"),
        ({"properties": {"l": {"type": "array", "minItems": 2}}}, "'minItems' values other than 0 or 1"),
        ({"properties": {"l": {"type": "array", "items": {"type": "object"}}}}, "'additionalProperties' must be"),
        ({"properties": {"r": {"$ref": "#"}}}, "Recursive schemas are not supported"),
        ({"properties": {"r": {"$ref": "https://example.com/x.json"}}}, "External reference"),
        ({"properties": {"r": {"$ref": "#/$defs/absent"}}}, "cannot be resolved"),
    ],
    ids=["open", "bounds", "length", "items", "nested", "recursive", "external", "dangling"],
)
def test_structured_output_takes_a_part_of_json_schema(local, change, message):
    """A schema that the service does not support would be refused for the first time at AWS."""
    schema = {"type": "object", "properties": {}, "additionalProperties": False, **change}
    body = messages_body(output_config={"format": {"type": "json_schema", "schema": schema}})
    with pytest.raises(ClientError, match=message):
        local.client("bedrock-runtime").invoke_model(modelId=HAIKU_45, body=json.dumps(body))


def test_schema_that_cannot_be_answered_is_the_requests_fault(local):
    """A broken tool schema would look like a service failure and be retried."""
    tool = {
        "name": "record",
        "input_schema": {"type": "object", "properties": {"a": {"pattern": "(", "type": "string"}}},
    }
    with pytest.raises(ClientError, match=r"ValidationException.*cannot be answered"):
        local.client("bedrock-runtime").invoke_model(modelId=SONNET_4, body=json.dumps(messages_body(tools=[tool])))
