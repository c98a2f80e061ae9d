"""HTTP/2 on the port of HTTP/1.1, for clients that begin with its preface, as the runtime client of AWS's SDK for
JavaScript does. It serves Bedrock alone: S3 has no HTTP/2 at AWS, either.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local_bedrock.wire.protocol import DroppedConnection, Request, Response

try:
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.errors import ErrorCodes
    from h2.events import (
        DataReceived,
        RequestReceived,
        StreamEnded,
        StreamReset,
    )
    from h2.exceptions import ProtocolError
except ImportError:  # pragma: no cover - a part of the extra that an older installation lacks
    H2Connection = None

FIRST_LINE = b"PRI * HTTP/2.0\r\n"
"""What looks like the first line of a request at the beginning of an HTTP/2 connection."""
REST_OF_PREFACE = b"\r\nSM\r\n\r\n"
_FRAME_HEAD = 9
"""The bytes of the head of a frame: three for the length of the rest, one for the type, five more."""
_GOAWAY = 7
_ENDLESS = "/invoke-with-bidirectional-stream"
"""The end of the path whose request body does not end before the answer begins."""


def speaks_http2() -> bool:
    """Tell whether the package `h2` is installed."""
    return H2Connection is not None


@dataclass(slots=True)
class _Stream:
    """One request while its body comes in."""

    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)
    is_answered: bool = False


class Http2Connection:
    """Serves one connection; each request is answered in a thread of its own.

    `receive` returns the next bytes of the client, empty at the end. If `answer` returns None, the stream is reset.
    """

    def __init__(
        self,
        receive: Callable[[], bytes],
        send: Callable[[bytes], object],
        answer: Callable[[Request], Response | None],
    ) -> None:
        self._receive = receive
        self._send = send
        self._answer = answer
        self._state = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._streams: dict[int, _Stream] = {}
        self._threads: list[threading.Thread] = []
        # Guards the state and the order of what is sent, and tells writers that the window of a stream may have grown.
        self._changed = threading.Condition()
        self._unread = bytearray()
        self._is_over = False

    def serve(self) -> None:
        """Serve until the client closes the connection or breaks the protocol."""
        with self._changed:
            self._state.initiate_connection()
            self._state.receive_data(FIRST_LINE + REST_OF_PREFACE)
            self._flush()
        with contextlib.suppress(ProtocolError, OSError):
            while not self._is_over and (data := self._receive()):
                self._take(data)
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(10)

    def _take(self, data: bytes) -> None:
        with self._changed:
            try:
                for event in self._state.receive_data(self._without_goaway(data)):
                    self._handle(event)
            finally:  # after an error, this says why the connection ends
                self._flush()
                self._changed.notify_all()

    def _without_goaway(self, data: bytes) -> bytes:
        """Return the complete frames that have come, without GOAWAY.

        A client that says goodbye still waits for the answers to what it has asked, as AWS's SDK for JavaScript does
        with each request. `h2` would refuse to send them.
        """
        self._unread += data
        kept = bytearray()
        while len(self._unread) >= _FRAME_HEAD:
            end = _FRAME_HEAD + int.from_bytes(self._unread[:3], "big")
            if len(self._unread) < end:
                break
            if self._unread[3] != _GOAWAY:
                kept += self._unread[:end]
            del self._unread[:end]
        return bytes(kept)

    def _handle(self, event: Any) -> None:
        match event:
            case RequestReceived():
                headers = {str(name): str(value) for name, value in event.headers}
                self._streams[event.stream_id] = _Stream(headers)
                if headers.get(":path", "").endswith(_ENDLESS):
                    self._begin(event.stream_id)
            case DataReceived():
                stream = self._streams.get(event.stream_id)
                if stream is not None:
                    stream.body += event.data
                self._state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                self._begin(event.stream_id)
            case StreamReset():
                self._streams.pop(event.stream_id, None)

    def _begin(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is None or stream.is_answered:
            return
        stream.is_answered = True
        thread = threading.Thread(
            target=self._serve_stream, args=(stream_id, stream), name="local-bedrock-http2", daemon=True
        )
        self._threads = [each for each in self._threads if each.is_alive()]
        self._threads.append(thread)
        thread.start()

    def _serve_stream(self, stream_id: int, stream: _Stream) -> None:
        with contextlib.suppress(ProtocolError, OSError):  # the client reset the stream, or went away
            response = self._answer(_request(stream))
            if response is None:
                self._reset(stream_id)
                return
            try:
                self._write(stream_id, response)
            except DroppedConnection:
                self._reset(stream_id)

    def _write(self, stream_id: int, response: Response) -> None:
        headers = {name.lower(): value for name, value in response.headers.items()}
        if response.chunks is None:
            headers["content-length"] = str(len(response.body))
        with self._changed:
            self._state.send_headers(stream_id, [(":status", str(response.status)), *headers.items()])
            self._flush()
        for chunk in [response.body] if response.chunks is None else response.chunks:
            self._write_data(stream_id, chunk)
        with self._changed:
            self._state.end_stream(stream_id)
            self._streams.pop(stream_id, None)
            self._flush()

    def _write_data(self, stream_id: int, data: bytes) -> None:
        """Send data as fast as the windows of the stream and the connection allow."""
        while data:
            with self._changed:
                self._changed.wait_for(lambda: self._is_gone(stream_id) or self._room(stream_id) > 0)
                if self._is_gone(stream_id):
                    raise ConnectionResetError("the client has closed the stream")
                room = self._room(stream_id)
                self._state.send_data(stream_id, data[:room])
                self._flush()
            data = data[room:]

    def _is_gone(self, stream_id: int) -> bool:
        return self._is_over or stream_id not in self._streams

    def _room(self, stream_id: int) -> int:
        window: int = self._state.local_flow_control_window(stream_id)
        largest: int = self._state.max_outbound_frame_size
        return min(window, largest)

    def _reset(self, stream_id: int) -> None:
        with self._changed:
            self._streams.pop(stream_id, None)
            self._state.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)
            self._flush()

    def _flush(self) -> None:
        data = self._state.data_to_send()
        if data:
            self._send(data)


def _request(stream: _Stream) -> Request:
    path, _, query = stream.headers.get(":path", "/").partition("?")
    headers = {name: value for name, value in stream.headers.items() if not name.startswith(":")}
    headers.setdefault("host", stream.headers.get(":authority", ""))
    return Request(stream.headers.get(":method", "GET"), path, query, headers, bytes(stream.body))
