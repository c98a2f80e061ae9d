"""How a setting is declared: as a field of a dataclass whose metadata describe its environment variable."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from bedrock_batch.environment.variables.value_types import Kind, ValueType

_KEY = "variable"


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable, the attribute of `Settings` that holds its value, and what it may be."""

    name: str
    field: str
    """The attribute of `Settings` and the key in the mapping that the processors take."""
    default: str
    """The text that an absent or empty variable stands for."""
    type: ValueType
    group: str
    """The section of docs/configuration.md that describes the variable."""
    meaning: str
    required: bool = False
    available: bool = True
    """False while the feature does not exist: any value but the default is then refused."""
    secret: bool = False
    """True if the value is the user's own text, which stays out of messages and summaries."""
    stands_for: str = ""
    """The attribute of `Settings` that the variable is another name for; empty for a setting itself."""

    @property
    def kind(self) -> Kind:
        return self.type.kind

    @property
    def accepted(self) -> str:
        return self.type.accepted

    def parse(self, text: str) -> Any:
        """Return the value that `text` stands for; raise ValueError if `accepted` does not describe it."""
        return self.type.parse(text)


@dataclass(frozen=True, slots=True)
class Group:
    """Variables that the documentation describes under one title."""

    title: str

    def setting(self, type_: ValueType, meaning: str, *, default: str = "", name: str = "", **flags: bool) -> Any:
        """Return a field of `Settings` that a variable of this group sets.

        The variable is named `name`, or BEDROCK_ and the name of the attribute. `flags` are the members `required`,
        `available` and `secret` of `Variable`.
        """
        declared = {"name": name, "default": default, "type": type_, "group": self.title, "meaning": meaning, **flags}
        return dataclasses.field(metadata={_KEY: declared})


def variables_of(settings: type) -> tuple[Variable, ...]:
    """Return the variables that the fields of a settings class declare, in the order of the fields."""
    found = []
    for field in dataclasses.fields(settings):
        declared = dict(field.metadata[_KEY])
        name = declared.pop("name") or f"BEDROCK_{field.name.upper()}"
        found.append(Variable(name, field.name, **declared))
    return tuple(found)
