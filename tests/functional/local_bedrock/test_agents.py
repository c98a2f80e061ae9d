"""A loop of tool calls as agents run it: the model calls a tool, gets its result, and answers in text."""

import json

import pytest

from helpers.local_bedrock_jobs import MODEL, SCHEMA, messages_body
from local_bedrock import LocalBedrock

NO_RETRY = {"total_max_attempts": 1}
NOVA = "amazon.nova-lite-v1:0"
MISTRAL = "mistral.mistral-large-3-675b-instruct"
TOOLS = [{"toolSpec": {"name": "look_up", "inputSchema": {"json": SCHEMA}}}]


@pytest.fixture(scope="module")
def client():
    """A client of a server without faults."""
    with LocalBedrock() as server:
        yield server.client("bedrock-runtime", retries=NO_RETRY)


def invoke(client, model, body):
    """Call InvokeModel, and return the response body."""
    return json.loads(client.invoke_model(modelId=model, body=json.dumps(body))["body"].read())


def result_of(message, text):
    """Return the user message with the result of the tool that a Converse message calls."""
    use = message["content"][-1]["toolUse"]
    result = {"toolUseId": use["toolUseId"], "content": [{"text": text}, {"json": {"found": 1}}]}
    return {"role": "user", "content": [{"toolResult": result}]}


def converse_loop(answer, **request):
    """Ask until the model calls no tool any more; return the stop reasons and the last text."""
    messages = [{"role": "user", "content": [{"text": "Where is it?"}]}]
    reasons = []
    while len(reasons) < 4:
        response = answer({"messages": messages, "toolConfig": {"tools": TOOLS}, **request})
        reasons.append(response["stopReason"])
        message = response["output"]["message"]
        if reasons[-1] != "tool_use":
            return reasons, message["content"][-1]["text"]
        messages += [message, result_of(message, "on the shelf")]
    return reasons, None


def test_converse_answers_in_text_after_a_result(client):
    """An agent would call the same tool for ever."""
    reasons, text = converse_loop(lambda request: client.converse(modelId=MODEL, **request))
    assert reasons == ["tool_use", "end_turn"]
    assert text.startswith("The local model read")


def test_nova_answers_in_text_after_a_result(client):
    """An agent on Nova's own body would get no tool call, or call the same tool for ever."""
    assert converse_loop(lambda request: invoke(client, NOVA, request))[0] == ["tool_use", "end_turn"]


def test_messages_answer_in_text_after_a_result(client):
    """An agent of Anthropic's SDK would call the same tool for ever."""
    body = messages_body(tools=[{"name": "look_up", "input_schema": SCHEMA}], tool_choice={"type": "auto"})
    call = invoke(client, MODEL, body)
    assert call["stop_reason"] == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call["content"][0]["id"], "content": "on the shelf"}
    turns = [{"role": "assistant", "content": call["content"]}, {"role": "user", "content": [result]}]
    answer = invoke(client, MODEL, {**body, "messages": body["messages"] + turns})
    assert (answer["stop_reason"], answer["content"][0]["type"]) == ("end_turn", "text")


def test_chat_answers_in_text_after_a_result(client):
    """An agent on the chat format would call the same tool for ever, or fail to parse the arguments."""
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}]
    body = {"messages": [{"role": "user", "content": "Where is it?"}], "tools": tools}
    choice = invoke(client, MISTRAL, body)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    call = choice["message"]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"])["category"]
    turns = [choice["message"], {"role": "tool", "tool_call_id": call["id"], "content": "on the shelf"}]
    answer = invoke(client, MISTRAL, {**body, "messages": body["messages"] + turns})
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_a_forced_tool_is_called_again(client):
    """An agent that takes its answer from a tool would get text after the first result."""
    forced = {"tools": TOOLS, "toolChoice": {"tool": {"name": "look_up"}}}
    reasons, _ = converse_loop(lambda request: client.converse(modelId=MODEL, **request), toolConfig=forced)
    assert reasons == ["tool_use"] * 4
