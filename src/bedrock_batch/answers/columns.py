"""The columns of answers, as Arrow types and arrays."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from msgspec import Raw

from bedrock_batch.answers.schema.response_schema import ResponseSchema
from bedrock_batch.errors import ConfigurationError, InputError
from bedrock_batch.records import RESPONSE_FIELD, Answer, ParseStatus
from bedrock_batch.text import printable, shorten

# The metadata columns that every run keeps: name, type, and whether `BEDROCK_OUTPUT_METADATA` adds it to the outputs.
_METADATA: tuple[tuple[str, pa.DataType, bool], ...] = (
    ("model_id", pa.string(), True),
    ("input_tokens", pa.int64(), True),
    ("output_tokens", pa.int64(), True),
    ("stop_reason", pa.string(), True),
    ("attempts", pa.int64(), True),
    ("source", pa.string(), True),
    ("repair", pa.string(), True),
    ("json_error", pa.string(), True),
    ("error_kind", pa.string(), False),
    ("salvaged_from", pa.string(), False),
    ("batch_input_tokens", pa.int64(), False),
    ("batch_output_tokens", pa.int64(), False),
)
_STATUS: tuple[tuple[str, pa.DataType], ...] = (
    ("parse_status", pa.string()),
    ("validation_passed", pa.bool_()),
    ("status", pa.string()),
    ("error", pa.string()),
    ("validation_error", pa.string()),
    ("raw_response", pa.string()),
)


class AnswerColumns:
    """The columns of answers: the fields of the schema or `response`, the status columns, and `_` columns of metadata.

    The metadata is always kept, for the figures of the run. `public` selects what the output files get of it.
    `column_map` names the columns of some fields; ConfigurationError if a field is unknown or a name is taken.
    """

    def __init__(self, schema: ResponseSchema | None, prefix: str, column_map: Mapping[str, str] | None = None) -> None:
        self._schema = schema
        self._prefix = prefix
        self.column_map = column_map or {}
        fields = schema.arrow_types if schema else {RESPONSE_FIELD: pa.string()}
        _refuse_unknown(self.column_map, fields)
        columns = [(self.column_of(name), kind) for name, kind in fields.items()]
        columns += [(prefix + name, kind) for name, kind in _STATUS]
        self.names: tuple[str, ...] = tuple(name for name, _ in columns)
        self.arrow_schema: pa.Schema = pa.schema([*columns, *((f"_{name}", kind) for name, kind, _ in _METADATA)])
        _refuse_repeated(self.arrow_schema.names)

    def column_of(self, field: str) -> str:
        """Return the name of the column of a field."""
        return self.column_map.get(field, self._prefix + field)

    def check_names(self, columns: Sequence[str], place: str, *, metadata: bool) -> None:
        """Raise InputError if an input column in `place` has the name of an output column."""
        if taken := sorted(set(self.public_names(metadata)).intersection(columns)):
            raise InputError(
                f"{place}: column {', '.join(taken)} is also the name of an output column: rename it, or "
                "change BEDROCK_OUTPUT_COLUMN_PREFIX or BEDROCK_OUTPUT_COLUMN_MAP"
            )

    def to_batch(self, answers: Sequence[Answer]) -> pa.RecordBatch:
        """Return one row per answer, in the columns of `arrow_schema`."""
        arrays = self._field_arrays([answer.fields for answer in answers])
        arrays += [pa.array([getattr(answer, name) for answer in answers], kind) for name, kind in _STATUS]
        arrays += [pa.array([getattr(answer, name) for answer in answers], kind) for name, kind, _ in _METADATA]
        return pa.RecordBatch.from_arrays(arrays, schema=self.arrow_schema)

    def accepted_batch(self, answers: AcceptedAnswers) -> pa.RecordBatch:
        """Return what `to_batch` would return for these answers, without an `Answer` for each of them."""
        arrays = self._field_arrays(answers.fields)
        own, common = answers.own_values(), answers.common_values("success" if self._schema else "json_only")
        for name, kind in [*_STATUS, *((name, kind) for name, kind, _ in _METADATA)]:
            is_own = name in own
            arrays.append(pa.array(own[name], kind) if is_own else _repeat(getattr(common, name), kind, len(answers)))
        return pa.RecordBatch.from_arrays(arrays, schema=self.arrow_schema)

    def _field_arrays(self, fields: Sequence[Mapping[str, Any]]) -> list[pa.Array]:
        if self._schema is None:
            return [pa.array([answer.get(RESPONSE_FIELD) for answer in fields], pa.string())]
        return self._schema.to_arrays(fields)

    def public_names(self, metadata: bool) -> tuple[str, ...]:
        """Return the names of the columns of the output files; ConfigurationError if two of them are equal."""
        shown = [self._prefix + name for name, _, public in _METADATA if public and metadata]
        names = (*self.names, *shown)
        _refuse_repeated(names)
        return names

    def public(self, answers: pa.Table, metadata: bool) -> pa.Table:
        """Select the columns of the output files from those of `arrow_schema`, under their names in the files."""
        shown = [f"_{name}" for name, _, public in _METADATA if public and metadata]
        return answers.select([*self.names, *shown]).rename_columns(list(self.public_names(metadata)))


def _repeat(value: Any, kind: pa.DataType, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), count)


def _refuse_repeated(names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigurationError(
            f"output column {', '.join(repeated)} would exist twice: rename the field of the schema, or change "
            "BEDROCK_OUTPUT_COLUMN_PREFIX or BEDROCK_OUTPUT_COLUMN_MAP"
        )


def _refuse_unknown(column_map: Mapping[str, str], fields: Collection[str]) -> None:
    unknown = [name for name in column_map if name not in fields]
    if unknown:
        named = ", ".join(shorten(printable(repr(name)), 80) for name in unknown)
        raise ConfigurationError(
            f"BEDROCK_OUTPUT_COLUMN_MAP names {shorten(named, 300)}, which the answers do not have: use "
            f"{shorten(', '.join(fields), 300)}"
        )


# The number of a row, the text of its answer, the stop reason, the input and output tokens, and the body as JSON.
PlainAnswer = tuple[int, str, str, int, int, Raw]


@dataclass(slots=True)
class AcceptedAnswers:
    """Answers of one model in batch, in the order in which they came; absent fields are left out of `fields`.

    `bodies` are the JSON texts of the model's outputs, `frame` and `prefilled` those of `ModelOutput`.
    """

    model_id: str
    frame: str = ""
    prefilled: bool = False
    numbers: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """The characters of each answer's text."""
    fields: list[dict[str, Any]] = field(default_factory=list)
    stop_reasons: list[str] = field(default_factory=list)
    input_tokens: list[int] = field(default_factory=list)
    output_tokens: list[int] = field(default_factory=list)
    bodies: list[Raw] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.numbers)

    def begin_next(self) -> AcceptedAnswers:
        """Return an empty object for further answers of the same job."""
        return AcceptedAnswers(self.model_id, self.frame, self.prefilled)

    def extend(self, answers: Sequence[PlainAnswer], fields: Sequence[dict[str, Any]]) -> None:
        """Take answers and the fields of each."""
        if answers:
            numbers, texts, stop_reasons, input_tokens, output_tokens, bodies = zip(*answers, strict=True)
            self.numbers += numbers
            self.sizes += map(len, texts)
            self.fields += fields
            self.stop_reasons += stop_reasons
            self.input_tokens += input_tokens
            self.output_tokens += output_tokens
            self.bodies += bodies

    def own_values(self) -> Mapping[str, Sequence[Any]]:
        """Return the values that differ between answers, besides their fields, by the attributes of `Answer`."""
        return {
            "stop_reason": self.stop_reasons,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "batch_input_tokens": self.input_tokens,
            "batch_output_tokens": self.output_tokens,
        }

    def common_values(self, parse_status: ParseStatus) -> Answer:
        """Return an answer with the values that all answers share; it lacks `own_values` and the fields."""
        return Answer({}, parse_status, answered=True, repair="none", model_id=self.model_id, source="batch")
