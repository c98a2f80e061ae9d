"""Estimates the tokens and the cost of a run, as intervals, before any request.

The input tokens are estimated from the length of the prompts: one token for four characters, and one for two bytes of
UTF-8 beyond the first byte of a character. Relative to this, the tokenizer that Anthropic published for Claude 2 counts
0.97 for English docstrings, 1.0 for Python source, 1.2 for technical Markdown, 1.1 to 1.2 for German, French and
Spanish, 0.8 to 1.1 for Russian, Chinese, Japanese, Korean and Hindi, 1.4 for Arabic, and up to 2.5 for columns of
numbers and ids. The interval is 0.75 to 1.5 times the estimate; `--plan` narrows it if the model can count tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bedrock_batch.costs.prices import Price
from bedrock_batch.models.model_input import ModelInput
from bedrock_batch.records import Source

CHARACTERS_PER_TOKEN = 4.0
TOKENS_PER_EXTRA_BYTE = 0.5
INPUT_LOW, INPUT_HIGH = 0.75, 1.5
# The characters of a request's JSON that are no text of the user, and the tokens that the service adds to a message.
_WIRE_CHARACTERS = 120
_MESSAGE_TOKENS = 8.0
# Low, likely and high numbers of tokens: of a text field without a limit, and of an answer without a schema.
_TEXT = (2.0, 15.0, 120.0)
_ANSWER = (20.0, 200.0, 1000.0)
# Low, likely and high numbers of items of a list.
_ITEMS = (1.0, 2.0, 6.0)
# Levels of a schema that are looked at; a deeper value counts as text.
_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimated figure: its lowest, likely and highest value."""

    low: float
    likely: float
    high: float

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def times(self, factor: float) -> Interval:
        return Interval(self.low * factor, self.likely * factor, self.high * factor)

    def at_most(self, limit: float) -> Interval:
        return Interval(min(self.low, limit), min(self.likely, limit), min(self.high, limit))

    def as_dict(self, digits: int = 0) -> dict[str, float]:
        values = {"low": self.low, "likely": self.likely, "high": self.high}
        return {name: round(value, digits) if digits else round(value) for name, value in values.items()}


NOTHING = Interval(0.0, 0.0, 0.0)


@dataclass(slots=True)
class PromptSize:
    """The size of prompts: their number, their characters, and their bytes of UTF-8 beyond one per character."""

    records: int = 0
    characters: int = 0
    extra_bytes: int = 0

    def add(self, prompt: str) -> None:
        self.add_all((prompt,))

    def add_all(self, prompts: Sequence[str]) -> None:
        self.records += len(prompts)
        self.characters += sum(map(len, prompts))
        for prompt in prompts:
            if not prompt.isascii():
                self.extra_bytes += len(prompt.encode("utf-8", "surrogatepass")) - len(prompt)

    def tokens(self, model_input: ModelInput) -> float:
        """Return the estimated input tokens of the requests, including the text around each prompt."""
        around = max(0, len(model_input.head) + len(model_input.tail) - _WIRE_CHARACTERS)
        return text_tokens(self.characters, self.extra_bytes) + self.records * (
            _MESSAGE_TOKENS + text_tokens(around, 0)
        )


def static_tokens(model_input: ModelInput, beginning: str) -> float:
    """Return the estimated tokens that all requests begin with: those around the prompts, and what these begin with."""
    around = max(0, len(model_input.head) + len(model_input.tail) - _WIRE_CHARACTERS)
    extra = 0 if beginning.isascii() else len(beginning.encode("utf-8", "surrogatepass")) - len(beginning)
    return text_tokens(around, 0) + text_tokens(len(beginning), extra)


def text_tokens(characters: int, extra_bytes: int) -> float:
    """Return the estimated number of tokens of a text."""
    return characters / CHARACTERS_PER_TOKEN + extra_bytes * TOKENS_PER_EXTRA_BYTE


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated tokens of a run: those of all requests and answers, and the method for the input tokens."""

    records: int
    input_tokens: Interval
    output_tokens: Interval
    method: str

    def cost(self, price: Price, source: Source) -> Interval:
        """Return the cost of the run in one mode, in USD."""
        pairs = zip(_values(self.input_tokens), _values(self.output_tokens), strict=True)
        return Interval(*(price.cost(source, *pair) for pair in pairs))

    def as_dict(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "input_tokens": self.input_tokens.as_dict(),
            "output_tokens": self.output_tokens.as_dict(),
            "method": self.method,
        }


def estimate_run(
    size: PromptSize, model_input: ModelInput, schema: Mapping[str, Any] | None, max_tokens: int
) -> Estimate:
    """Return the estimate for prompts of a known size, based on their length."""
    tokens = size.tokens(model_input)
    method = (
        f"from the length of the prompts, at {CHARACTERS_PER_TOKEN:g} characters per token: real counts are "
        f"{INPUT_LOW:g} to {INPUT_HIGH:g} times that for prose and code, more for columns of numbers and ids"
    )
    return Estimate(
        size.records,
        Interval(tokens * INPUT_LOW, tokens, tokens * INPUT_HIGH),
        answer_tokens(schema, max_tokens).times(size.records),
        method,
    )


def answer_tokens(schema: Mapping[str, Any] | None, max_tokens: int) -> Interval:
    """Return the estimated tokens of one answer, based on the fields of its schema; at most `max_tokens`."""
    whole = Interval(*_ANSWER) if schema is None else _value_tokens(schema, _DEPTH)
    return whole.at_most(max_tokens)


def _value_tokens(schema: Any, depth: int) -> Interval:
    """Return the estimated tokens of a value that matches a schema."""
    if not isinstance(schema, Mapping) or depth == 0:
        return Interval(*_TEXT)
    if "enum" in schema or "const" in schema:
        choices = schema.get("enum") or [schema.get("const", "")]
        lengths = sorted(text_tokens(len(str(choice)), 0) + 0.5 for choice in choices) or [1.0]
        return Interval(lengths[0], lengths[len(lengths) // 2], lengths[-1])
    for word in ("anyOf", "oneOf"):
        if isinstance(schema.get(word), list):
            return _widest([_value_tokens(part, depth - 1) for part in schema[word]])
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    return _widest([_typed_tokens(kind, schema, depth) for kind in (kinds if isinstance(kinds, list) else [kinds])])


def _typed_tokens(kind: Any, schema: Mapping[str, Any], depth: int) -> Interval:
    match kind:
        case "boolean" | "null":
            return Interval(1.0, 1.0, 1.0)
        case "integer" | "number":
            return Interval(1.0, 3.0, 8.0)
        case "array":
            items = _value_tokens(schema.get("items"), depth - 1) + Interval(1.0, 1.0, 1.0)
            low, likely, high = (max(count, schema.get("minItems", 0)) for count in _ITEMS)
            most = schema.get("maxItems", high)
            counts = (min(low, most), min(likely, most), min(high, most))
            return Interval(*(count * each + 2 for count, each in zip(counts, _values(items), strict=True)))
        case "object":
            return _object_tokens(schema, depth)
        case _:
            limit = schema.get("maxLength")
            whole = Interval(*_TEXT)
            return whole if limit is None else whole.at_most(max(1.0, text_tokens(int(limit), 0)))


def _object_tokens(schema: Mapping[str, Any], depth: int) -> Interval:
    required = schema.get("required", ())
    whole = Interval(1.0, 2.0, 4.0)
    for name, part in schema.get("properties", {}).items():
        each = _value_tokens(part, depth - 1) + Interval(1.5, 3.0, 6.0)
        each += Interval(1.0, 1.0, 1.0).times(text_tokens(len(name), 0))
        whole += each if name in required else Interval(0.0, each.likely, each.high)
    return whole


def _widest(parts: list[Interval]) -> Interval:
    if not parts:
        return Interval(*_TEXT)
    return Interval(
        min(part.low for part in parts),
        sum(part.likely for part in parts) / len(parts),
        max(part.high for part in parts),
    )


def _values(interval: Interval) -> tuple[float, float, float]:
    return interval.low, interval.likely, interval.high
