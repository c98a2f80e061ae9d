"""Answers of a job that were valid as they stood: column by column, without an object for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bedrock_batch.records import Outcome, ParseStatus

# The number of a row, the text of its answer, the stop reason, and the input and output tokens.
PlainAnswer = tuple[int, str, str, int, int]


@dataclass(slots=True)
class AcceptedAnswers:
    """Answers of one model in batch, in the order in which they came; absent fields are left out of `fields`."""

    model_id: str
    numbers: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """The characters of each answer's text."""
    fields: list[dict[str, Any]] = field(default_factory=list)
    stop_reasons: list[str] = field(default_factory=list)
    input_tokens: list[int] = field(default_factory=list)
    output_tokens: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.numbers)

    def extend(self, answers: Sequence[PlainAnswer], fields: Sequence[dict[str, Any]]) -> None:
        """Take answers and the fields of each."""
        if answers:
            numbers, texts, stop_reasons, input_tokens, output_tokens = zip(*answers, strict=True)
            self.numbers += numbers
            self.sizes += map(len, texts)
            self.fields += fields
            self.stop_reasons += stop_reasons
            self.input_tokens += input_tokens
            self.output_tokens += output_tokens

    def columns(self) -> Mapping[str, Sequence[Any]]:
        """Return, by the names of `Outcome`, what differs from one answer to the next beside the fields."""
        return {
            "stop_reason": self.stop_reasons,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "batch_input_tokens": self.input_tokens,
            "batch_output_tokens": self.output_tokens,
        }

    def outcome(self, parse_status: ParseStatus) -> Outcome:
        """Return the outcome that all of them have, but for what is in `columns` and for their fields."""
        return Outcome({}, parse_status, answered=True, repair="none", model_id=self.model_id, source="batch")
