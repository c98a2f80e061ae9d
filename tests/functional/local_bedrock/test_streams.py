"""ConverseStream and InvokeModelWithResponseStream, read by boto3 over HTTP."""

import json
import socket
from contextlib import closing

import jsonschema
import pytest
from botocore.exceptions import ClientError, EventStreamError
from urllib3.exceptions import ProtocolError

from helpers.local_bedrock_jobs import MODEL, SCHEMA, converse_body, messages_body
from local_bedrock import Behaviour, CallFault, LocalBedrock, prompt_hash

NO_RETRY = {"total_max_attempts": 1}
TOOL = {"tools": [{"toolSpec": {"name": "record", "inputSchema": {"json": SCHEMA}}}], "toolChoice": {"any": {}}}


@pytest.fixture(scope="module")
def local():
    """A server without faults."""
    with LocalBedrock() as server:
        yield server


def client_of(local):
    """Return a client that does not retry."""
    return local.client("bedrock-runtime", retries=NO_RETRY)


def converse_events(local, **request):
    """Return the events of ConverseStream by name."""
    response = client_of(local).converse_stream(modelId=MODEL, **request)
    return [next(iter(event.items())) for event in response["stream"]]


def chunks(local, model=MODEL, **body):
    """Return the parsed chunks of InvokeModelWithResponseStream."""
    response = client_of(local).invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
    return [json.loads(event["chunk"]["bytes"]) for event in response["body"]]


def test_converse_stream_tells_what_converse_tells(local):
    """A client that streams would get another answer, or none."""
    request = converse_body("stream me")
    whole = client_of(local).converse(modelId=MODEL, **request)
    events = converse_events(local, **request)
    text = "".join(event["delta"]["text"] for name, event in events if name == "contentBlockDelta")
    assert text == whole["output"]["message"]["content"][0]["text"]
    names = [name for name, _ in events]
    assert (names[0], names[-3:]) == ("messageStart", ["contentBlockStop", "messageStop", "metadata"])
    assert events[-1][1] == {"usage": whole["usage"], "metrics": whole["metrics"]}
    assert local.charges[prompt_hash("stream me")] == 2


def test_tool_input_comes_in_pieces_of_json(local):
    """An agent that streams could not call its tools."""
    events = converse_events(local, **converse_body(toolConfig=TOOL))
    start = next(event for name, event in events if name == "contentBlockStart")["start"]["toolUse"]
    pieces = [event["delta"]["toolUse"]["input"] for name, event in events if name == "contentBlockDelta"]
    assert start["name"] == "record"
    assert len(pieces) > 1
    jsonschema.validate(json.loads("".join(pieces)), SCHEMA)
    assert ("messageStop", {"stopReason": "tool_use"}) in events


def test_messages_stream_ends_with_the_metrics(local):
    """Anthropic's SDK, and what counts the cost of a stream, would fail."""
    parts = chunks(local, **messages_body())
    assert [part["type"] for part in parts[:2]] == ["message_start", "content_block_start"]
    assert parts[-2]["delta"]["stop_reason"] == "end_turn"
    assert parts[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == parts[-2]["usage"]["output_tokens"]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("ThrottlingException", "throttlingException"),
        ("ModelStreamErrorException", "modelStreamErrorException"),
        ("AccessDeniedException", "AccessDeniedException"),
    ],
)
def test_an_exception_in_mid_stream_reaches_the_client(code, name):
    """A client could not be tested with a stream that breaks off by an error of AWS."""
    fault = CallFault("ConverseStream", code=code, when="during", after_events=2)
    with LocalBedrock(Behaviour(calls=(fault,))) as local:
        stream = client_of(local).converse_stream(modelId=MODEL, **converse_body())["stream"]
        events = []
        with closing(stream), pytest.raises(EventStreamError) as caught:
            events.extend(stream)  # keeps what came before the error
        assert caught.value.response["Error"]["Code"] == name
        assert len(events) == 2
        assert local.calls[-1].error == code


def test_a_connection_dropped_in_mid_stream_is_no_end(local):
    """A client would take half an answer for a whole one."""
    hook = lambda call: CallFault("*", drop=True, when="during") if call.when == "before" else None  # noqa: E731
    local.on_call(hook)
    try:
        stream = client_of(local).converse_stream(modelId=MODEL, **converse_body())["stream"]
        with closing(stream), pytest.raises(ProtocolError):
            list(stream)
    finally:
        local.hooks.remove(hook)
    assert local.calls[-1].error == "dropped"
    assert converse_events(local, **converse_body())[-1][0] == "metadata"


def test_a_throttled_stream_does_not_begin():
    """A client that handles throttling only in the stream would pass its tests."""
    with LocalBedrock(Behaviour(calls=(CallFault("ConverseStream"),))) as local, pytest.raises(ClientError) as caught:
        client_of(local).converse_stream(modelId=MODEL, **converse_body())
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


def test_models_that_do_not_stream_say_so(local):
    """A client that streams an embedding, or the tools of Llama, would learn of it only at AWS."""
    with pytest.raises(ClientError, match="The model is unsupported for streaming"):
        chunks(local, "amazon.titan-embed-text-v2:0", inputText="hello")
    with pytest.raises(ClientError, match="This model doesn't support tool use in streaming mode"):
        client_of(local).converse_stream(
            modelId="us.meta.llama3-3-70b-instruct-v1:0", **converse_body(toolConfig={"tools": TOOL["tools"]})
        )
    models = local.client("bedrock").list_foundation_models()["modelSummaries"]
    streams = {each["outputModalities"][0]: each["responseStreamingSupported"] for each in models}
    assert streams == {"TEXT": True, "EMBEDDING": False}


def test_a_client_without_chunked_bodies_is_served(local):
    """A client of HTTP/1.0 would read the lengths of the chunks as data."""
    data = json.dumps(converse_body()).encode()
    port = int(local.endpoint_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = f"POST /model/{MODEL}/converse-stream HTTP/1.0\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    body = answer.partition(b"\r\n\r\n")[2]
    assert int.from_bytes(body[:4], "big") < len(body)
    assert b"metadata" in body
