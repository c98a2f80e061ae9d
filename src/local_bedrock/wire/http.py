"""The HTTP server: one port for Bedrock and S3, keep-alive connections, one thread per connection of HTTP/1.1."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, cast

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler

from local_bedrock.wire.http2 import FIRST_LINE, REST_OF_PREFACE, Http2Connection, speaks_http2
from local_bedrock.wire.protocol import DroppedConnection, Request, Response

try:
    from moto.moto_server.werkzeug_app import MotoRequestHandler as _HandlerBase
except ImportError:  # pragma: no cover - older moto, whose metadata names lose their underscores
    _HandlerBase = WSGIRequestHandler

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Any]
Exchange = Callable[[Request, Callable[[], Response]], "Response | None"]
"""Answers a request; the callable asks moto. None drops the connection without a response."""


class ConnectionHandler(_HandlerBase):  # type: ignore[misc] # werkzeug and moto are untyped here (follow_imports=skip)
    """Reads whole requests and writes whole responses.

    werkzeug closes the connection after each request. AWS keeps it open, and so does this handler.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def parse_request(self) -> bool:
        """Read the head of a request. The preface of HTTP/2 in its place begins another way to serve the connection."""
        if self.raw_requestline != FIRST_LINE or not speaks_http2():
            return bool(super().parse_request())
        if self.rfile.read(len(REST_OF_PREFACE)) == REST_OF_PREFACE:
            Http2Connection(lambda: self.rfile.read1(65_536), self.wfile.write, self._answer_http2).serve()
        self.close_connection = True
        return False

    def _answer_http2(self, request: Request) -> Response | None:
        refused = Response(505, {"Content-Type": "text/plain"}, b"this service has no HTTP/2 here")
        answer: Response | None = self.server.exchange(request, lambda: refused)
        return answer

    def run_wsgi(self) -> None:
        """Answer one request; werkzeug dispatches every HTTP method here."""
        request = Request(
            self.command,
            self.path.partition("?")[0],
            self.path.partition("?")[2],
            {name.lower(): value for name, value in self.headers.items()},
            self._read_body(),
        )
        response = self.server.exchange(request, lambda: self._ask_moto(request))
        if response is None:
            self.close_connection = True
            _shut(self.connection)
        else:
            self._write(response)

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            length = int(self.headers.get("Content-Length") or 0)
            body = cast(bytes, self.rfile.read(length))
            if len(body) < length:  # the client died while sending: S3 discards such a write, but moto would keep it
                raise ConnectionResetError("the body ended early")
            return body
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _ask_moto(self, request: Request) -> Response:
        environ = self.make_environ()
        environ["wsgi.input"] = io.BytesIO(request.body)
        environ["CONTENT_LENGTH"] = str(len(request.body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ.pop("wsgi.input_terminated", None)
        return call_wsgi(self.server.moto, environ)

    def _write(self, response: Response) -> None:
        if response.chunks is not None:
            self._write_chunks(response)
            return
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        bodiless = self.command == "HEAD" or response.status in (204, 304)
        if not any(name.lower() == "content-length" for name in response.headers) and not bodiless:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if response.body and not bodiless:
            self.wfile.write(response.body)

    def _write_chunks(self, response: Response) -> None:
        """Write the chunks as they come. A client of HTTP/1.0 sees the end of the body by the end of the connection."""
        framed = self.request_version != "HTTP/1.0"
        self.close_connection = self.close_connection or not framed
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if framed:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for chunk in response.chunks or ():
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if framed else chunk)
        except DroppedConnection:
            self.close_connection = True
            _shut(self.connection)
            return
        if framed:
            self.wfile.write(b"0\r\n\r\n")

    def version_string(self) -> str:
        """Return the value of the Server header."""
        return "local-bedrock"

    def log_request(self, *args: Any) -> None:
        """Log nothing, because the output of a test belongs to the test."""

    def log(self, *args: Any) -> None:
        """Log nothing, because injected faults drop connections on purpose."""


def call_wsgi(application: WsgiApplication, environ: dict[str, Any]) -> Response:
    """Call a WSGI application and return its whole response."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> None:
        started.append((status, headers))

    chunks = application(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    status, headers = started[-1]
    return Response(int(status.split(" ")[0]), dict(headers), body)


class HttpServer(ThreadingHTTPServer):
    """Serves until `stop()`, which closes every connection and waits for every thread."""

    daemon_threads = True
    request_queue_size = 128
    # werkzeug's handler reads these from its server to build the WSGI environment for moto.
    ssl_context = None
    multithread = True
    multiprocess = False
    _server_version = "local-bedrock"

    def __init__(self, host: str, port: int) -> None:
        self.exchange: Exchange = lambda _request, ask_moto: ask_moto()
        """Answers the requests; set it before `start()`."""
        self.moto: WsgiApplication = DomainDispatcherApplication(create_backend_app)
        self._connections: dict[Any, threading.Thread] = {}
        self._lock = threading.Lock()
        super().__init__((host, port), ConnectionHandler)
        self._acceptor = threading.Thread(target=self.serve_forever, args=(0.02,), name="local-bedrock", daemon=True)

    def start(self) -> None:
        """Start to accept connections."""
        self._acceptor.start()

    def stop(self) -> None:
        """Stop accepting, close the open connections, wait for the threads and free the port."""
        self.shutdown()
        self._acceptor.join()
        self.server_close()
        with self._lock:
            open_connections = dict(self._connections)
        for connection, thread in open_connections.items():
            _shut(connection)
            thread.join(10)

    def server_bind(self) -> None:
        """Bind the port, without the DNS lookup of the base class."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a new thread."""
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), name="local-bedrock-http", daemon=True
        )
        with self._lock:
            self._connections[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        super().shutdown_request(request)
        with self._lock:
            self._connections.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that went away during a request."""


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the client closed it first
        connection.shutdown(socket.SHUT_RDWR)
