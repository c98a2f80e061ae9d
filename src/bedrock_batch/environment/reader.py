"""Reads the values of variables one by one, and collects the problems with them."""

from __future__ import annotations

import json
import numbers
import os
from collections.abc import Mapping
from typing import Any, Literal

from bedrock_batch.environment.variables.variable import Variable
from bedrock_batch.text import printable, shorten


class SettingsReader:
    """Collects values by the field of their variable, problems, and notes for the log.

    `naming` is the attribute of `Variable` by which the user knows a variable.
    """

    def __init__(self, naming: Literal["name", "field"]) -> None:
        self.values: dict[str, Any] = {}
        self.problems: list[str] = []
        self.notes: list[str] = []
        self._naming = naming

    def label(self, variable: Variable) -> str:
        """Return the name that the user knows a variable by."""
        return variable.name if self._naming == "name" else variable.field

    def shown(self, variable: Variable, given: Any) -> str:
        """Return the name of a variable with its value, if the value may be shown."""
        return f"{self.label(variable)}{_shown(variable, given)}"

    def read(self, variable: Variable, given: Any, label: str | None = None) -> None:
        """Keep the value of one variable, or the problem with it under `label`."""
        label = label or self.label(variable)
        try:
            text = as_text(given, variable)
            value = variable.parse(text or variable.default)
        except (TypeError, ValueError):
            self.problems.append(f"{label}{_shown(variable, given)} is not accepted: use {variable.accepted}")
            return
        if variable.required and not text:
            self.problems.append(f"{label} is not set: give {variable.accepted}")
        elif not variable.available and value != variable.parse(variable.default):
            self.problems.append(f"{label} is not available in this version: leave it unset")
        self.values[variable.field] = value


def as_text(given: Any, variable: Variable) -> str:
    """Return a value as the text that an environment variable would hold; TypeError or ValueError if there is none."""
    match given:
        case None:
            text = "none" if variable.field in ("temperature", "top_p") else ""
        case str():
            text = given if variable.type.is_prose else given.strip()
        case bool() | numbers.Number() | os.PathLike():
            text = str(given)
        case Mapping():
            text = json.dumps(dict(given))
        case tuple() if variable.field == "batch_tags":  # as `Settings` holds them
            text = json.dumps(dict(given))
        case list() | tuple():
            text = json.dumps(given)
        case _:
            raise TypeError
    if printable(text) != text:  # bytes of the environment that are not UTF-8 arrive as lone surrogates
        raise ValueError
    return text


def _shown(variable: Variable, given: Any) -> str:
    if variable.secret:
        return ""
    if isinstance(given, (str, bool, numbers.Number)):
        return f"={shorten(printable(repr(given)), 80)}"
    return f" (a {type(given).__name__})"
