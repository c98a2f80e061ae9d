"""Checks that all request bodies share: the error for a refused body, and readers of single fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class BodyError(Exception):
    """A refused body: a `ValidationException` in real time, the error of a record in a batch job.

    `by_model` is False if Converse refuses it before it asks the model.
    """

    def __init__(self, message: str, code: int = 400, *, by_model: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.by_model = by_model


def require_field(body: Mapping[str, Any], *names: str) -> None:
    """Raise `BodyError` if one of the fields is missing or null."""
    for name in names:
        if body.get(name) is None:
            raise BodyError(f"{name}: Field required")


def refuse_unknown(body: Iterable[str], known: frozenset[str]) -> None:
    """Raise `BodyError` if the body has a field that the model's API does not know."""
    for name in body:
        if name not in known:
            raise BodyError(f"{name}: Extra inputs are not permitted")


def read_number(body: Mapping[str, Any], name: str, low: float, high: float | None = None) -> float | None:
    """Return a number, or None if the body has none; raise `BodyError` if it is outside the bounds."""
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
    """Return an integer, or None if the body has none; raise `BodyError` if it is below `low`."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise BodyError(f"{name}: Input should be a valid integer")
    if value < low:
        raise BodyError(f"{name}: Input should be greater than or equal to {low}")
    return value


def read_texts(body: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return a list of strings, which is empty if the body has none."""
    value = body.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BodyError(f"{name}: Input should be a valid list")
    return tuple(value)
