"""What every request body shape shares: the error of a body that a model refuses, and small readers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class BodyError(Exception):
    """The model refuses the body: a `ValidationException` in real time, an error of one record in a batch job."""

    def __init__(self, message: str, code: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def require_field(body: Mapping[str, Any], *names: str) -> None:
    """Refuse a body in which one of the fields is missing or null."""
    for name in names:
        if body.get(name) is None:
            raise BodyError(f"{name}: Field required")


def refuse_unknown(body: Iterable[str], known: frozenset[str]) -> None:
    """Refuse a body with fields that the model's API does not have."""
    for name in body:
        if name not in known:
            raise BodyError(f"{name}: Extra inputs are not permitted")


def read_number(body: Mapping[str, Any], name: str, low: float, high: float | None = None) -> float | None:
    """A number between bounds, or None where the body has none."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BodyError(f"{name}: Input should be a valid number")
    if value < low:
        raise BodyError(f"{name}: Input should be greater than or equal to {low:g}")
    if high is not None and value > high:
        raise BodyError(f"{name}: Input should be less than or equal to {high:g}")
    return float(value)


def read_count(body: Mapping[str, Any], name: str, low: int = 1) -> int | None:
    """A whole number of at least `low`, or None where the body has none."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise BodyError(f"{name}: Input should be a valid integer")
    if value < low:
        raise BodyError(f"{name}: Input should be greater than or equal to {low}")
    return value


def read_texts(body: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts, empty where the body has none."""
    value = body.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BodyError(f"{name}: Input should be a valid list")
    return tuple(value)
