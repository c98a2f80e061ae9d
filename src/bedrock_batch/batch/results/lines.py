"""A line of a result file, parsed into the members that the step reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from bedrock_batch.records import row_position


@dataclass(slots=True)  # not frozen for speed: see `records`
class OutputLine:
    """A result line: a model output or an error; `number` is None if the record id is not one of ours."""

    number: int | None
    model_output: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    model_input: dict[str, Any] | None = None


def parse_output_line(line: bytes) -> OutputLine | None:
    """Return the content of a result line, or None if it is not a JSON object with a record id."""
    try:
        value = _load(line)
        number = row_position(value["recordId"])
        get = value.get
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    output, error, echo = get("modelOutput"), get("error"), get("modelInput")
    return OutputLine(
        number,
        output if output.__class__ is dict else None,
        error if error.__class__ is dict else None,
        echo if echo.__class__ is dict else None,
    )


def _load(line: bytes) -> Any:
    try:
        return from_json(line)
    except ValueError:
        # The strict parser refuses lone surrogates, which models do write; the standard library accepts them.
        return json.loads(line)
