"""An upstream model behind the local Bedrock, here a small OpenAI-compatible server."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import ClientError

from helpers.local_bedrock_jobs import MODEL, SCHEMA, lines_of, messages_body, output_records, run_job
from local_bedrock import Behaviour, LocalBedrock, Upstream


@contextmanager
def chat_server(answer, status=200):
    """Serve one fixed answer; yield the URL and the list of requests."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append((self.path, body))
            data = json.dumps({"choices": [{"message": {"role": "assistant", "content": answer}}]}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def invoke(local, body):
    """Call the model once, and return the response body."""
    client = local.client("bedrock-runtime", retries={"total_max_attempts": 1})
    return json.loads(client.invoke_model(modelId=MODEL, body=json.dumps(body))["body"].read())


def test_prompt_goes_up_and_the_answer_continues_the_prefill():
    """A run with a model on the user's machine would get answers that its parser cannot read."""
    with chat_server('{"category": "praise"}') as (url, requests), LocalBedrock(answers=Upstream(url, "tiny")) as local:
        answer = invoke(local, messages_body("hello", prefill="{", system="be brief", temperature=0.5))
    assert answer["content"][0]["text"] == '"category": "praise"}'
    ((path, sent),) = requests
    assert path == "/v1/chat/completions"
    assert sent == {
        "model": "tiny",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}],
        "max_tokens": 1000,
        "temperature": 0.5,
    }


def test_forced_tool_becomes_a_schema_and_its_input():
    """A client that uses tools would get no answer from an upstream model."""
    tool = {"name": "record", "input_schema": SCHEMA}
    body = messages_body(tools=[tool], tool_choice={"type": "any"})
    with (
        chat_server('```json\n{"category": "praise"}\n```') as (url, requests),
        LocalBedrock(answers=Upstream(url)) as local,
    ):
        answer = invoke(local, body)
    assert answer["content"][0]["input"] == {"category": "praise"}
    assert requests[0][1]["response_format"]["json_schema"]["schema"] == SCHEMA


def test_failing_upstream_is_the_models_error_in_both_modes():
    """An upstream model that is not running would look like a bug in the client."""
    behaviour = Behaviour(min_records_per_job=1)
    with chat_server("x", status=500) as (url, _), LocalBedrock(behaviour, answers=Upstream(url)) as local:
        with pytest.raises(ClientError, match=r"ModelErrorException.*the upstream .* failed"):
            invoke(local, messages_body())
        (record,) = output_records(local, run_job(local, lines_of([messages_body()])))
    assert record["error"]["errorCode"] == 424
    assert record["error"]["retryable"] is True


def test_wrong_url_is_refused_at_once():
    """A mistyped URL would fail every record."""
    with pytest.raises(ValueError, match="must be an http or https URL"):
        Upstream("localhost:11434")
