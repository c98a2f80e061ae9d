"""AWS's binary encoding of event streams (`application/vnd.amazon.eventstream`).

A message is a prelude (total length, length of the headers, CRC-32 of both), the headers, the payload, and the CRC-32
of everything before it, all big-endian. Source: https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local_bedrock.jsonio import dump_json

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = b"\x07"
"""The type of a header value that is a string of at most 65,535 bytes of UTF-8."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream: its name, its JSON document, and the number of tokens that it carries."""

    name: str
    document: Mapping[str, Any]
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class EventStream:
    """The response of a streaming operation: additional HTTP headers, and the events."""

    headers: Mapping[str, str]
    events: Iterable[Event]


def encode_event(name: str, document: Mapping[str, Any]) -> bytes:
    """Return an event as a message."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return encode_message(headers, dump_json(document))


def encode_exception(name: str, document: Mapping[str, Any]) -> bytes:
    """Return an exception that the service model lists for the stream, such as `throttlingException`."""
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return encode_message(headers, dump_json(document))


def encode_error(code: str, message: str) -> bytes:
    """Return an error that the service model does not list for the stream."""
    return encode_message({":message-type": "error", ":error-code": code, ":error-message": message}, b"")


def encode_message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Return a message with string headers and a payload."""
    block = b"".join(_encode_header(name.encode(), value.encode()) for name, value in headers.items())
    lengths = struct.pack(">II", len(block) + len(payload) + 16, len(block))
    message = lengths + _check_sum(lengths) + block + payload
    return message + _check_sum(message)


def _encode_header(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + _STRING + struct.pack(">H", len(value)) + value


def _check_sum(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))
