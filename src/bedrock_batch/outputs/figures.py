"""The counts of a run, taken from the output columns and checked before they are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bedrock_batch.errors import RunError
from bedrock_batch.text import shorten

SCHEMA_VERSION = 1
_MESSAGE_CHARACTERS = 300


@dataclass(slots=True)
class Figures:
    """Counts over some rows: a file, a split or the run."""

    total: int = 0
    successful: int = 0
    failed: int = 0
    validation_passed: int = 0
    parse_status: Counter[str] = field(default_factory=Counter)
    error_kinds: Counter[str] = field(default_factory=Counter)
    error_examples: dict[str, dict[str, Any]] = field(default_factory=dict)
    repairs: Counter[str] = field(default_factory=Counter)
    stop_reasons: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    fallback_causes: Counter[str] = field(default_factory=Counter)
    """Records that a batch run asked in real time, by cause."""
    tokens: Counter[str] = field(default_factory=Counter)
    fallback_tokens: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    longest_answer: int = 0
    """The most output tokens of one row."""
    realtime_answers: int = 0
    """Rows that the model answered in real time, without those that share the answer of another row."""

    def add(self, columns: pa.Table, prefix: str) -> None:
        """Count some rows by their output columns."""
        self.total += columns.num_rows
        status = columns[f"{prefix}status"]
        self.successful += _count(pc.equal(status, "success"))
        self.failed += _count(pc.equal(status, "error"))
        self.validation_passed += _count(columns[f"{prefix}validation_passed"])
        self.parse_status += _counts(columns[f"{prefix}parse_status"])

    def add_details(self, columns: pa.Table, prefix: str, place: str, rows: Sequence[int]) -> None:
        """Count what explains the run. `place` and the numbers of the `rows` there locate the examples of errors."""
        self.repairs += _counts(columns["_repair"])
        self.stop_reasons += _counts(columns["_stop_reason"])
        self.models += _counts(columns["_model_id"])
        self.sources += _counts(columns["_source"])
        self.fallback_causes += _counts(columns["_salvaged_from"])
        self.retries += (pc.sum(pc.max_element_wise(pc.subtract(columns["_attempts"], 1), 0)).as_py()) or 0
        self._add_tokens(columns)
        self._add_errors(columns, prefix, place, rows)

    def merge(self, other: Figures) -> None:
        """Add the counts of other rows."""
        for name in ("total", "successful", "failed", "validation_passed", "retries", "realtime_answers"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.longest_answer = max(self.longest_answer, other.longest_answer)
        for name in _COUNTERS:
            getattr(self, name).update(getattr(other, name))
        for kind, example in other.error_examples.items():
            self.error_examples.setdefault(kind, example)

    def check(self, where: str) -> None:
        """Raise RunError unless every row is counted exactly once."""
        if self.total != self.successful + self.failed or self.total != sum(self.parse_status.values()):
            raise RunError(
                f"the figures of {where} do not add up ({self.total} rows, {self.successful} successful, "
                f"{self.failed} failed): this is a defect of the step, please report it"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the figures under the names that the specification gives them in the summary."""
        return {
            "total_records": self.total,
            "successful_records": self.successful,
            "failed_records": self.failed,
            "validation_passed_records": self.validation_passed,
            "success_rate": _rate(self.successful, self.total),
            "validation_rate": _rate(self.validation_passed, self.total),
            "parse_status": dict(self.parse_status),
            "error_kinds": {
                kind: {"records": count, "example": self.error_examples.get(kind)}
                for kind, count in self.error_kinds.most_common()
            },
            "stop_reasons": dict(self.stop_reasons),
            "repairs": dict(self.repairs),
            "sources": dict(self.sources),
            "reused_records": self.sources["store"],
            "models": dict(self.models),
            "retries": self.retries,
            "tokens": dict(self.tokens),
        }

    def fallback_as_dict(self) -> dict[str, Any]:
        """Return how many records each cause sent from batch to real time, and their tokens there."""
        return {
            cause: {
                "records": count,
                "input_tokens": self.fallback_tokens[f"{cause} input_tokens"],
                "output_tokens": self.fallback_tokens[f"{cause} output_tokens"],
            }
            for cause, count in self.fallback_causes.most_common()
        }

    def _add_tokens(self, columns: pa.Table) -> None:
        """Count tokens by the mode that used them; one row may have used some in each mode."""
        salvaged = pc.is_valid(columns["_salvaged_from"])
        causes = columns["_salvaged_from"].filter(salvaged)
        reused = pc.equal(columns["_source"], "store")
        for name in ("input_tokens", "output_tokens"):
            whole, batch = pc.fill_null(columns[f"_{name}"], 0), pc.fill_null(columns[f"_batch_{name}"], 0)
            stored = pc.if_else(reused, whole, 0)
            realtime = pc.subtract(pc.subtract(whole, batch), stored)
            for source, part in (("batch", batch), ("realtime", realtime), ("store", stored)):
                if total := pc.sum(part).as_py():
                    self.tokens[f"{source}_{name}"] += total
            by_cause = pa.table({"cause": causes, "tokens": realtime.filter(salvaged)}).group_by("cause")
            for row in by_cause.aggregate([("tokens", "sum")]).to_pylist():
                self.fallback_tokens[f"{row['cause']} {name}"] += row["tokens_sum"]
        self.longest_answer = max(self.longest_answer, pc.max(columns["_output_tokens"]).as_py() or 0)
        asked = pc.and_(pc.equal(columns["_source"], "realtime"), pc.greater(columns["_attempts"], 0))
        self.realtime_answers += _count(pc.and_(asked, pc.is_valid(columns["_output_tokens"])))

    def _add_errors(self, columns: pa.Table, prefix: str, place: str, rows: Sequence[int]) -> None:
        kinds = columns["_error_kind"]
        counts = _counts(kinds)
        self.error_kinds += counts
        for kind in counts.keys() - self.error_examples.keys():
            row = pc.index(kinds, kind).as_py()
            # The message of the service may be shown. A validation error may quote the answer, so it is not.
            message = columns[f"{prefix}error"][row].as_py()
            example = {"file": place, "row": rows[row]}
            self.error_examples[kind] = example | (
                {"message": shorten(message, _MESSAGE_CHARACTERS)} if message else {}
            )


_COUNTERS = (
    "parse_status",
    "error_kinds",
    "repairs",
    "stop_reasons",
    "models",
    "sources",
    "fallback_causes",
    "tokens",
    "fallback_tokens",
)


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _counts(column: pa.ChunkedArray) -> Counter[str]:
    return Counter({item["values"]: item["counts"] for item in pc.value_counts(column).to_pylist() if item["values"]})


def _rate(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
