"""A loopback HTTP server that answers each request with the next reply of a script, and records the requests."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One reply: a JSON value or bytes. `lost` closes the connection without a reply, `cut` during the body."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False
    cut: bool = False
    delay: float = 0.0

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def failure(status: int, code: str, message: str = "no", **headers: str) -> Reply:
    """Return an error in the format of the JSON services of AWS."""
    return Reply(status, {"message": message}, {"x-amzn-ErrorType": code, **headers})


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class ScriptedServer:
    """The script and the recorded `requests`. The last reply is repeated."""

    def __init__(self, url: str, replies: Sequence[Reply]) -> None:
        self.url = url
        self.requests: list[Request] = []
        self._replies = list(replies)
        self._lock = threading.Lock()

    def play(self, *replies: Reply) -> None:
        """Forget the recorded requests, and replace the script."""
        with self._lock:
            self.requests.clear()
            self._replies = list(replies)

    def take(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]


@contextmanager
def scripted_server(*replies: Reply) -> Iterator[ScriptedServer]:
    """Serve the replies on a free port of 127.0.0.1 until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Otherwise each body waits 40 ms for the acknowledgement of its headers.
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(self.command, self.path, dict(self.headers), self.rfile.read(length))
            reply = script.take(request)
            time.sleep(reply.delay)
            if reply.lost:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.data) + (100 if reply.cut else 0)))
            self.end_headers()
            self.wfile.write(reply.data)
            self.close_connection = reply.cut

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _answer  # noqa: N815 - http.server looks for these names

        def log_message(self, *arguments: object) -> None:
            """Keep the output of the tests clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script = ScriptedServer(f"http://127.0.0.1:{server.server_address[1]}", replies)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
