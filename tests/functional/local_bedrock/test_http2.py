"""HTTP/2 without TLS, as the runtime client of AWS's SDK for JavaScript speaks it, by the client side of `h2`."""

import json
import socket
from collections import defaultdict

import pytest
from botocore.eventstream import EventStreamBuffer

from helpers.local_bedrock_jobs import MODEL, converse_body, messages_body
from local_bedrock import Behaviour, CallFault, LocalBedrock

h2_connection = pytest.importorskip("h2.connection", reason="the package h2 of the extra `local` is not installed")
h2_events = pytest.importorskip("h2.events")

CONVERSE = f"/model/{MODEL}/converse"


@pytest.fixture(scope="module")
def local():
    """A server that breaks the second stream of events."""
    faults = (CallFault("ConverseStream", calls=(2,), drop=True, when="during"),)
    with LocalBedrock(Behaviour(calls=faults)) as server:
        yield server


class Client:
    """One connection: sends requests, and collects status, body and end of each stream."""

    def __init__(self, local):
        self.socket = socket.create_connection(("127.0.0.1", int(local.endpoint_url.rpartition(":")[2])), timeout=20)
        self.state = h2_connection.H2Connection()
        self.state.initiate_connection()
        self.status, self.bodies, self.ends = {}, defaultdict(bytes), {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, path, body, headers=()):
        """Send a request as far as the windows allow, and return the number of its stream."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        stream = self.state.get_next_available_stream_id()
        head = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "localhost"), *headers]
        self.state.send_headers(stream, head)
        while data:
            room = min(self.state.local_flow_control_window(stream), self.state.max_outbound_frame_size)
            if room == 0:
                self.receive()
                continue
            self.state.send_data(stream, data[:room])
            data = data[room:]
        self.state.end_stream(stream)
        self.flush()
        return stream

    def flush(self):
        """Send what is ready."""
        self.socket.sendall(self.state.data_to_send())

    def receive(self):
        """Take in what the server sends next."""
        self.flush()
        data = self.socket.recv(65536)
        assert data, "the server closed the connection"
        for event in self.state.receive_data(data):
            match event:
                case h2_events.ResponseReceived():
                    self.status[event.stream_id] = dict(event.headers)[b":status"]
                case h2_events.DataReceived():
                    self.bodies[event.stream_id] += event.data
                    self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2_events.StreamEnded():
                    self.ends[event.stream_id] = "end"
                case h2_events.StreamReset():
                    self.ends[event.stream_id] = "reset"
        self.flush()

    def finish(self, *streams):
        """Wait for the ends of streams, and return their bodies."""
        while not self.ends.keys() >= set(streams):
            self.receive()
        return [self.bodies[stream] for stream in streams]


def test_requests_share_a_connection(local):
    """AWS's SDK for JavaScript would fail with a protocol error, or mix up the answers."""
    with Client(local) as client:
        streams = [client.send(CONVERSE, converse_body("x" * (4 * count))) for count in range(1, 9)]
        answers = [json.loads(body) for body in client.finish(*streams)]
        assert [answer["usage"]["inputTokens"] for answer in answers] == list(range(1, 9))
        (refused,) = client.finish(client.send("/model/nonsense/converse", converse_body()))
        assert b"identifier is invalid" in refused


def test_long_bodies_wait_for_the_windows(local):
    """A long prompt or a long answer would hang, or break the connection."""
    body = messages_body("y" * 400_000, max_tokens=64_000)
    with Client(local) as client:
        (answer,) = client.finish(client.send(f"/model/{MODEL}/invoke", body))
        assert json.loads(answer)["usage"]["input_tokens"] == 100_000
        padded = {**body, "messages": [{"role": "user", "content": "z" * 200_000}]}
        client.finish(client.send(f"/model/{MODEL}/invoke", padded))


def test_events_stream_over_http2_and_a_fault_resets_the_stream(local):
    """A broken stream would look like the end of the answer, or take other requests with it."""
    with Client(local) as client:
        whole = client.send(f"{CONVERSE}-stream", converse_body())
        client.finish(whole)
        broken = client.send(f"{CONVERSE}-stream", converse_body())
        client.finish(broken)
        buffer = EventStreamBuffer()
        buffer.add_data(client.bodies[whole])
        assert [event.headers[":event-type"] for event in buffer][-1] == "metadata"
        assert (client.ends[whole], client.ends[broken]) == ("end", "reset")
        assert client.bodies[broken]


def test_a_client_that_says_goodbye_gets_its_answer(local):
    """AWS's SDK for JavaScript says goodbye with each request, and would get empty answers now and then."""
    with Client(local) as client:
        stream = client.send(CONVERSE, converse_body())
        goodbye = bytes([0, 0, 8, 7, 0]) + bytes(12)
        client.socket.sendall(goodbye)
        assert json.loads(client.finish(stream)[0])["stopReason"] == "end_turn"


def test_s3_is_not_served_by_http2(local):
    """A client would wait for ever for what no S3 serves."""
    scope = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/s3/aws4_request, Signature=0"
    with Client(local) as client:
        stream = client.send("/bucket/key", b"", [("authorization", scope)])
        client.finish(stream)
        assert client.status[stream] == b"505"
