"""The output columns of outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from bedrock_batch.accepted import AcceptedAnswers
from bedrock_batch.errors import ConfigurationError
from bedrock_batch.records import Outcome
from bedrock_batch.schema import ResponseSchema

# The columns that every run keeps beside the answers: name, type, and whether `BEDROCK_OUTPUT_METADATA` shows it.
_METADATA: tuple[tuple[str, pa.DataType, bool], ...] = (
    ("model_id", pa.string(), True),
    ("input_tokens", pa.int64(), True),
    ("output_tokens", pa.int64(), True),
    ("stop_reason", pa.string(), True),
    ("attempts", pa.int64(), True),
    ("source", pa.string(), True),
    ("error_kind", pa.string(), False),
    ("repair", pa.string(), False),
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


class OutcomeColumns:
    """The output columns of outcomes: the schema's fields, the status columns, and metadata under `_` names.

    The metadata is always kept, for the figures of the run; `public` shows what the output files hold of it.
    """

    def __init__(self, schema: ResponseSchema | None, prefix: str) -> None:
        self._schema = schema
        self._prefix = prefix
        columns = [(prefix + name, kind) for name, kind in schema.arrow_types.items()] if schema else []
        columns += [(prefix + name, kind) for name, kind in _STATUS]
        self.names: tuple[str, ...] = tuple(name for name, _ in columns)
        self.arrow_schema: pa.Schema = pa.schema([*columns, *((f"_{name}", kind) for name, kind, _ in _METADATA)])
        _refuse_repeated(self.arrow_schema.names)

    def to_batch(self, outcomes: Sequence[Outcome]) -> pa.RecordBatch:
        """Return one row per outcome, in the columns of `arrow_schema`."""
        arrays = self._schema.to_arrays([outcome.fields for outcome in outcomes]) if self._schema else []
        arrays += [pa.array([getattr(outcome, name) for outcome in outcomes], kind) for name, kind in _STATUS]
        arrays += [pa.array([getattr(outcome, name) for outcome in outcomes], kind) for name, kind, _ in _METADATA]
        return pa.RecordBatch.from_arrays(arrays, schema=self.arrow_schema)

    def accepted_batch(self, answers: AcceptedAnswers) -> pa.RecordBatch:
        """Return what `to_batch` would return for the outcomes of these answers, without making them."""
        arrays = self._schema.to_arrays(answers.fields) if self._schema else []
        own, alike = answers.columns(), answers.outcome("success" if self._schema else "json_only")
        for name, kind in [*_STATUS, *((name, kind) for name, kind, _ in _METADATA)]:
            is_own = name in own
            arrays.append(pa.array(own[name], kind) if is_own else _repeat(getattr(alike, name), kind, len(answers)))
        return pa.RecordBatch.from_arrays(arrays, schema=self.arrow_schema)

    def public_names(self, metadata: bool) -> tuple[str, ...]:
        """Return the names of the columns that the output files get; ConfigurationError when two are the same."""
        shown = [self._prefix + name for name, _, public in _METADATA if public and metadata]
        names = (*self.names, *shown)
        _refuse_repeated(names)
        return names

    def public(self, answers: pa.Table, metadata: bool) -> pa.Table:
        """Return the columns of the output files under their names there, out of those of `arrow_schema`."""
        shown = [f"_{name}" for name, _, public in _METADATA if public and metadata]
        return answers.select([*self.names, *shown]).rename_columns(list(self.public_names(metadata)))


def _repeat(value: Any, kind: pa.DataType, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), count)


def _refuse_repeated(names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigurationError(
            f"output column {', '.join(repeated)} would exist twice: rename the field of the schema "
            "or change BEDROCK_OUTPUT_COLUMN_PREFIX"
        )
