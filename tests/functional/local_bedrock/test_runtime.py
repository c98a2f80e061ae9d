"""InvokeModel, Converse and the model catalogue of the local Bedrock, through boto3 over HTTP."""

import json
import urllib.error
import urllib.request

import jsonschema
import pytest
from botocore.exceptions import ClientError

from helpers.botocore_models import INFERENCE_PROFILES, STRUCTURED_OUTPUT, TOKEN_COUNTS
from helpers.local_bedrock_jobs import MODEL, SCHEMA, converse_body, messages_body
from local_bedrock import Behaviour, LocalBedrock, prompt_hash

NO_RETRY = {"total_max_attempts": 1}
CLOSED_SCHEMA = {
    "type": "object",
    "properties": {"category": {"type": "string", "enum": ["a", "b"]}, "tags": {"type": "array", "items": {}}},
    "required": ["category", "tags"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def local():
    """A server without a schema, with one application profile."""
    behaviour = Behaviour(application_profiles={"abc123": MODEL}, omit_optional_share=0.0)
    with LocalBedrock(behaviour) as server:
        yield server


def invoke(local, body, model=MODEL):
    """Call InvokeModel, and return the response body."""
    client = local.client("bedrock-runtime", retries=NO_RETRY)
    return json.loads(client.invoke_model(modelId=model, body=json.dumps(body))["body"].read())


def converse(local, model=MODEL, **request):
    """Call Converse, and return the response."""
    return local.client("bedrock-runtime", retries=NO_RETRY).converse(modelId=model, **request)


def test_prefilled_answer_continues_behind_the_brace(local):
    """A client that prepends the prefill would get `{{`, and one that forgets it would pass its tests."""
    system = f"Answer by this schema: {json.dumps(SCHEMA)}"
    text = invoke(local, messages_body(prefill="{", system=system))["content"][0]["text"]
    assert not text.startswith("{")
    jsonschema.validate(json.loads("{" + text), SCHEMA)


def test_schema_is_found_in_the_prompt(local):
    """Answers would not match the schema in the prompt."""
    text = invoke(local, messages_body(f"Classify. {{not JSON}} Schema: {json.dumps(SCHEMA)} Go."))["content"][0][
        "text"
    ]
    jsonschema.validate(json.loads(text), SCHEMA)


def test_no_schema_anywhere_gives_a_short_text(local):
    """A client without a schema would get no text."""
    assert invoke(local, messages_body())["content"][0]["text"].startswith("The local model read")


def test_forced_tool_answers_with_its_input(local):
    """A client of tool use could not be tested."""
    tool = {"name": "record", "input_schema": SCHEMA}
    answer = invoke(local, messages_body(tools=[tool], tool_choice={"type": "tool", "name": "record"}))
    assert answer["stop_reason"] == "tool_use"
    jsonschema.validate(answer["content"][0]["input"], SCHEMA)


def test_converse_tool_answers_with_its_input(local):
    """A client of tool use in Converse could not be tested."""
    tools = [{"toolSpec": {"name": "record", "inputSchema": {"json": SCHEMA}}}]
    answer = converse(local, **converse_body(toolConfig={"tools": tools, "toolChoice": {"tool": {"name": "record"}}}))
    assert answer["stopReason"] == "tool_use"
    jsonschema.validate(answer["output"]["message"]["content"][0]["toolUse"]["input"], SCHEMA)


def test_structured_output_answers_by_its_schema(local):
    """A client of structured output could not be tested."""
    body = messages_body(output_config={"format": {"type": "json_schema", "schema": CLOSED_SCHEMA}})
    answer = invoke(local, body, "us.anthropic.claude-haiku-4-5-20251001-v1:0")
    jsonschema.validate(json.loads(answer["content"][0]["text"]), CLOSED_SCHEMA)


@STRUCTURED_OUTPUT
def test_converse_structured_output_answers_by_its_schema(local):
    """A client of structured output in Converse could not be tested."""
    structure = {"jsonSchema": {"schema": json.dumps(CLOSED_SCHEMA), "name": "answer"}}
    form = {"textFormat": {"type": "json_schema", "structure": structure}}
    answer = converse(local, "us.anthropic.claude-haiku-4-5-20251001-v1:0", **converse_body(outputConfig=form))
    jsonschema.validate(json.loads(answer["output"]["message"]["content"][0]["text"]), CLOSED_SCHEMA)


def test_both_interfaces_give_the_same_text(local):
    """The answers of InvokeModel and Converse would differ although the client is correct."""
    system = json.dumps(SCHEMA)
    by_invoke = invoke(local, messages_body("same", system=system))["content"][0]["text"]
    answer = converse(local, **converse_body("same", system=[{"text": system}]))
    assert answer["output"]["message"]["content"][0]["text"] == by_invoke


def test_answer_longer_than_max_tokens_is_cut(local):
    """A client that accepts truncated answers as complete would pass its tests."""
    answer = invoke(local, messages_body(json.dumps(SCHEMA), max_tokens=5))
    assert answer["stop_reason"] == "max_tokens"
    assert answer["usage"]["output_tokens"] == 5
    assert len(answer["content"][0]["text"]) == 20


def test_usage_is_counted_by_characters(local):
    """A client's cost figures could not be compared with the server's."""
    answer = converse(local, **converse_body("x" * 400))
    assert answer["usage"]["inputTokens"] == 100
    assert answer["usage"]["totalTokens"] == 100 + answer["usage"]["outputTokens"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({**messages_body(), "max_tokens": None}, "max_tokens: Field required"),
        (messages_body(anthropic_version="2023-06-01"), "anthropic_version: Input should be 'bedrock-2023-05-31'"),
        (messages_body(anthropic_version="2026-10-21"), "anthropic_version: Input should be 'bedrock-2023-05-31'"),
        (messages_body(" \n"), "text content blocks must contain non-whitespace text"),
        (messages_body(surprise=1), "surprise: Extra inputs are not permitted"),
        (messages_body(temperature=1.5), "temperature: Input should be less than or equal to 1"),
        (messages_body(max_tokens="5"), "max_tokens: Input should be a valid integer"),
        (messages_body(tools=[{"name": "a", "input_schema": SCHEMA}] * 2), "tools: Tool names must be unique."),
        (messages_body(tools=[{"name": "a", "input_schema": {"type": "text"}}]), "JSON schema is invalid."),
        (messages_body(prefill="{ "), "final assistant content cannot end with trailing whitespace"),
        ({**messages_body(), "messages": [{"role": "system", "content": "x"}]}, 'Unexpected role "system"'),
        (
            {**messages_body(), "messages": [{"role": "user", "content": [{"text": "x"}]}]},
            "messages.0.content.0.type: Field",
        ),
        ({**messages_body(), "messages": []}, "at least one message is required"),
        (messages_body(max_tokens=64_001), "64001 > 64000"),
        ({**messages_body(), "messages": 7}, "messages: Input should be a valid list"),
        ([], "Malformed input request"),
    ],
    ids=[
        "required",
        "version",
        "dated version",
        "blank",
        "extra",
        "range",
        "type",
        "tool names",
        "tool schema",
        "whitespace",
        "system",
        "converse block",
        "empty",
        "limit",
        "list",
        "array",
    ],
)
def test_invoke_refuses_a_wrong_body(local, body, message):
    """A wrong body would be noticed only with an AWS account."""
    with pytest.raises(ClientError) as caught:
        invoke(local, body)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert message in caught.value.response["Error"]["Message"]


def test_converse_hands_on_the_models_own_error(local):
    """A client that matches the model's message would not find it after the prefix of Converse."""
    messages = [*converse_body()["messages"], {"role": "assistant", "content": [{"text": "{"}]}]
    with pytest.raises(ClientError, match="The model returned the following errors: This model does not support"):
        converse(local, "us.anthropic.claude-sonnet-4-6", messages=messages)


def test_converse_refuses_in_its_own_words_without_a_prefix(local):
    """A client that tells Converse's own refusals from those of the model would be misled."""
    twice = converse_body()["messages"] * 2
    with pytest.raises(ClientError) as caught:
        converse(local, messages=twice)
    assert caught.value.response["Error"]["Message"].startswith("A conversation must alternate between user and")
    block = {"image": {"format": "png", "source": {"bytes": b"rubbish"}}}
    messages = [{"role": "user", "content": [{"text": "look"}, block]}]
    with pytest.raises(ClientError, match="The model returned the following errors: Could not process image"):
        converse(local, messages=messages)


def test_a_guardrail_does_not_exist(local):
    """A client would believe that its guardrail was applied."""
    guardrail = {"guardrailIdentifier": "abc", "guardrailVersion": "1"}
    with pytest.raises(ClientError, match="The guardrail identifier or version provided in the request does not exist"):
        converse(local, **converse_body(guardrailConfig=guardrail))
    client = local.client("bedrock-runtime", retries=NO_RETRY)
    with pytest.raises(ClientError, match="The guardrail identifier or version provided in the request does not exist"):
        client.invoke_model(modelId=MODEL, body=json.dumps(messages_body()), **guardrail)


def test_bare_id_of_a_profile_model_is_refused(local):
    """A client's advice about inference profiles could not be tested."""
    with pytest.raises(ClientError, match="with on-demand throughput isn’t supported"):
        invoke(local, messages_body(), MODEL.removeprefix("us."))


@pytest.mark.parametrize(
    "model",
    [
        "global.anthropic.claude-sonnet-4-20250514-v1:0",
        f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{MODEL}",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123",
    ],
    ids=["global", "profile ARN", "application profile ARN"],
)
def test_profiles_lead_to_the_model(local, model):
    """An ARN, whose slash is encoded in the path, would match no operation."""
    assert invoke(local, messages_body(), model) == invoke(local, messages_body())


@pytest.mark.parametrize("model", ["anthropic.claude-unheard-of", "nonsense"])
def test_unknown_model_is_refused(local, model):
    """A mistyped model id would get answers."""
    with pytest.raises(ClientError, match="The provided model identifier is invalid"):
        invoke(local, messages_body(), model)


@pytest.mark.parametrize(
    ("model", "body", "text_of"),
    [
        ("amazon.nova-lite-v1:0", converse_body(), lambda answer: answer["output"]["message"]["content"][0]["text"]),
        ("us.meta.llama3-3-70b-instruct-v1:0", {"prompt": "hello"}, lambda answer: answer["generation"]),
        (
            "openai.gpt-oss-20b-1:0",
            {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 500},
            lambda answer: answer["choices"][0]["message"]["content"],
        ),
        (
            "mistral.mistral-large-3-675b-instruct",
            {"messages": [{"role": "user", "content": "hello"}]},
            lambda answer: answer["choices"][0]["message"]["content"],
        ),
    ],
    ids=["nova", "llama", "gpt-oss", "mistral"],
)
def test_other_families_answer_in_their_own_shape(local, model, body, text_of):
    """A client of another family would get an Anthropic body."""
    assert "The local model read" in text_of(invoke(local, body, model))


def test_embedding_is_a_vector(local):
    """A client of embeddings would get text."""
    assert len(invoke(local, {"inputText": "hello"}, "amazon.titan-embed-text-v2:0")["embedding"]) == 1024


def test_thinking_models_think_first(local):
    """A client that reads only the first block would pass its tests, and take the thinking for the answer at AWS."""
    answer = invoke(local, messages_body(), "us.anthropic.claude-sonnet-5")
    assert [block["type"] for block in answer["content"]] == ["thinking", "text"]


def test_realtime_answers_are_counted_by_prompt(local):
    """A test could not detect a row that was paid for twice."""
    invoke(local, messages_body("counted", system="s"))
    invoke(local, messages_body("counted", system="s"))
    assert local.charges[prompt_hash("counted", "s")] == 2


def test_calls_are_recorded_without_bodies(local):
    """A test could not see which model was called, or memory would fill with prompts."""
    converse(local, **converse_body())
    call = local.calls[-1]
    assert (call.operation, call.status, call.error) == ("Converse", 200, None)
    assert call.detail["modelId"] == MODEL
    assert "messages" not in call.detail


def test_functions_answer_in_place_of_the_schema():
    """A test could not choose particular answers."""
    with LocalBedrock(answers=lambda model, question: {"model": model, "asked": question.prompt}) as local:
        text = invoke(local, messages_body("why?"))["content"][0]["text"]
    assert json.loads(text) == {"model": MODEL.removeprefix("us."), "asked": "why?"}


@TOKEN_COUNTS
def test_count_tokens_knows_claude_by_bare_id_only(local):
    """A client would rely on counts that AWS refuses for inference profiles."""
    client = local.client("bedrock-runtime")
    model = "anthropic.claude-haiku-4-5-20251001-v1:0"
    source = {"invokeModel": {"body": json.dumps(messages_body("x" * 400))}}
    assert client.count_tokens(modelId=model, input=source)["inputTokens"] == 100
    with pytest.raises(ClientError, match="doesn't support counting tokens"):
        client.count_tokens(modelId=f"us.{model}", input=source)


@INFERENCE_PROFILES
def test_inference_profile_tells_its_model(local):
    """A client could not find the model of an application profile."""
    client = local.client("bedrock")
    profile = client.get_inference_profile(inferenceProfileIdentifier="abc123")
    assert profile["type"] == "APPLICATION"
    assert profile["models"][0]["modelArn"].endswith("::foundation-model/anthropic.claude-sonnet-4-20250514-v1:0")
    listed = client.list_inference_profiles()["inferenceProfileSummaries"]
    assert "global.anthropic.claude-sonnet-4-20250514-v1:0" in [each["inferenceProfileId"] for each in listed]


def test_models_tell_how_they_can_be_invoked(local):
    """A client could not find out that a model needs an inference profile."""
    models = local.client("bedrock").list_foundation_models(byProvider="Anthropic")["modelSummaries"]
    types = {model["modelId"]: model["inferenceTypesSupported"] for model in models}
    assert types["anthropic.claude-sonnet-4-20250514-v1:0"] == ["INFERENCE_PROFILE"]
    assert types["anthropic.claude-3-haiku-20240307-v1:0"] == ["ON_DEMAND"]
    details = local.client("bedrock").get_foundation_model(modelIdentifier="amazon.nova-lite-v1:0")["modelDetails"]
    assert details["providerName"] == "Amazon"


def test_missing_operation_is_named_in_json(local):
    """The name of the missing operation would be hidden in an HTML page after three retries."""
    with pytest.raises(ClientError, match="local_bedrock does not have the operation ListGuardrails"):
        local.client("bedrock", retries=NO_RETRY).list_guardrails()


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/openai/v1/chat/completions", {"Authorization": "Bearer key"}),
        ("/anthropic/v1/messages", {"x-api-key": "key"}),
        ("/v1/responses", {}),
        ("/model/nonsense", {"Authorization": "AWS4-HMAC-SHA256 Credential=l/20260101/r/bedrock-mantle/aws4_request"}),
    ],
    ids=["openai", "anthropic", "no key", "signed"],
)
def test_paths_that_bedrock_does_not_serve_here_are_unknown_operations(local, path, headers):
    """A client of another endpoint of Bedrock would see a crash of the S3 server, and retry."""
    request = urllib.request.Request(local.endpoint_url + path, data=b"{}", headers=headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as error:
        assert error.code == 404
        document = json.load(error)
    assert document["Output"] == {"__type": "com.amazon.coral.service#UnknownOperationException"}
    assert path in document["message"]
    assert local.calls[-1].operation == "UnknownOperation"


@pytest.mark.parametrize("extra", [{"thinking": "on"}, {"output_config": [1]}, {"output_config": {"format": 3}}])
def test_rubbish_in_a_models_own_fields_is_the_requests_fault(local, extra):
    """A client would retry what can never succeed, since it looks like a failure of the service."""
    with pytest.raises(ClientError, match=r"ValidationException.*Malformed input request"):
        converse(local, **converse_body(additionalModelRequestFields=extra))


def test_a_failing_function_is_the_models_error(caplog):
    """A mistake in a test's own function would look like a bug of the server, and its place would be unknown."""
    with (
        LocalBedrock(answers=lambda model, question: {}["absent"]) as local,
        pytest.raises(ClientError, match=r"ModelErrorException.*The model failed to answer: KeyError: 'absent'"),
    ):
        invoke(local, messages_body())
    assert "Traceback" in caplog.text


def test_what_moto_lacks_is_an_error_of_the_service(local):
    """A client would retry an operation that moto does not have, and see a page of HTML."""
    with pytest.raises(ClientError, match=r"\(InvalidAction\).*moto failed to answer for iam") as caught:
        local.client("iam", retries=NO_RETRY).generate_organizations_access_report(EntityPath="o-123456789012/r-1234")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_curl_without_a_signature_is_answered(local):
    """A request from curl would go to S3."""
    data = json.dumps(converse_body()).encode()
    url = f"{local.endpoint_url}/model/{MODEL}/converse"
    with urllib.request.urlopen(urllib.request.Request(url, data=data, method="POST")) as response:
        assert json.load(response)["stopReason"] == "end_turn"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(url, data=b"[]", method="POST"))
    assert caught.value.headers["x-amzn-ErrorType"] == "SerializationException"
    caught.value.close()


def test_an_api_key_in_the_shell_does_not_reach_the_clients(local, monkeypatch):
    """Every call would fail in a shell with an API key, which boto3 sends over TLS only."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "key")
    assert converse(local, **converse_body())["stopReason"] == "end_turn"
    assert local.client("bedrock", retries=NO_RETRY).list_foundation_models()["modelSummaries"]


def test_unknown_service_is_named_in_json(local):
    """A client of an unsupported service would see a dropped connection, and retry."""
    scope = (
        "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/nonexistent/aws4_request, SignedHeaders=host, Signature=0"
    )
    request = urllib.request.Request(local.endpoint_url, headers={"Authorization": scope})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert b"moto failed to answer for nonexistent" in caught.value.read()
    caught.value.close()


def test_sts_tells_who_is_asking(local):
    """A client that looks up its identity would fail."""
    assert local.client("sts").get_caller_identity()["Account"] == "123456789012"
    assert local.calls[-1].operation == "STS.GetCallerIdentity"
