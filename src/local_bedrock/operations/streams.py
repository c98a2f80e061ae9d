"""The sending of event streams: encoded, at the pace of the behaviour, and with the faults that begin in mid-stream."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from local_bedrock.behaviour import CallFault
from local_bedrock.faults import fault_message
from local_bedrock.journal import Call
from local_bedrock.wire.event_stream import (
    CONTENT_TYPE,
    Event,
    EventStream,
    encode_error,
    encode_event,
    encode_exception,
)
from local_bedrock.wire.protocol import DroppedConnection, Response, json_headers

_log = logging.getLogger(__name__)
_MODELED = frozenset(
    {
        "InternalServerException", "ModelStreamErrorException", "ModelTimeoutException", "ServiceUnavailableException",
        "ThrottlingException", "ValidationException",
    }
)  # fmt: skip # a set of words
"""The exceptions that the service models list for the streams of both operations."""
_PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
"""AWS pads each event by a field `p` of varying length, so that the size of a packet does not tell its content."""


class StreamSender:
    """Turns event streams into responses. `sleep` waits for a number of seconds."""

    def __init__(self, seconds_per_token: float, sleep: Callable[[float], object]) -> None:
        self._seconds_per_token = seconds_per_token
        self._sleep = sleep

    def respond(self, stream: EventStream, call: Call, fault: CallFault | None) -> Response:
        """Return the response that sends the events, up to the fault if there is one."""
        headers = {**json_headers(), **stream.headers, "Content-Type": CONTENT_TYPE}
        return Response(200, headers, b"", self._chunks(stream, call, fault))

    def _chunks(self, stream: EventStream, call: Call, fault: CallFault | None) -> Iterator[bytes]:
        sent = 0
        try:
            for event in stream.events:
                if fault is not None and sent == fault.after_events:
                    break
                self._wait(event)
                yield encode_event(event.name, {**event.document, "p": _PADDING[: 1 + sent * 7 % len(_PADDING)]})
                sent += 1
        except Exception as error:  # the status line is sent already: a bug must still show as an error of AWS
            _log.exception("%s failed in its stream", call.operation)
            fault = CallFault(call.operation, code="InternalServerException", message=f"local_bedrock failed: {error}")
        if fault is not None:
            yield from _end_by(fault, call)

    def _wait(self, event: Event) -> None:
        seconds = event.tokens * self._seconds_per_token
        if seconds > 0:
            self._sleep(seconds)


def _end_by(fault: CallFault, call: Call) -> Iterator[bytes]:
    """Yield the last message of a stream that ends by a fault; raise `DroppedConnection` if it has none."""
    call.error = "dropped" if fault.drop else fault.code
    if fault.drop:
        raise DroppedConnection
    message = fault_message(fault)
    if fault.code not in _MODELED:
        yield encode_error(fault.code, message)
        return
    document: dict[str, Any] = {"message": message, **_original(fault, message)}
    yield encode_exception(fault.code[0].lower() + fault.code[1:], document)


def _original(fault: CallFault, message: str) -> Mapping[str, Any]:
    """Return the error of the model itself, which ModelStreamErrorException passes on."""
    if fault.code != "ModelStreamErrorException":
        return {}
    return {"originalStatusCode": fault.status or 500, "originalMessage": message}
