"""Errors of the services as botocore raises them."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

ENDPOINT = "https://simulated.invalid"


def refusal(operation: str, code: str, status: int, message: str = "no", **headers: str) -> ClientError:
    """Return a refusal of the service with its code, HTTP status and response headers."""
    metadata: dict[str, Any] = {"HTTPStatusCode": status, "HTTPHeaders": headers, "RetryAttempts": 0}
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, operation)


def lost_request() -> Exception:
    """Return the error of a request that never arrived."""
    return EndpointConnectionError(endpoint_url=ENDPOINT)


def lost_response() -> Exception:
    """Return the error of a request whose connection broke: it may have arrived."""
    return ConnectionClosedError(endpoint_url=ENDPOINT)


def timeout() -> Exception:
    """Return the error of a request that was not answered in time."""
    return ReadTimeoutError(endpoint_url=ENDPOINT)
