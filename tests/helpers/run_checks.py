"""Checks of a finished run: every row is in the outputs with its answer, and every row was charged once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from helpers.batch_runs import StepRun


def answers_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Return the answer columns of every answered row by id, without those that depend on batch or real time."""
    return {
        row["id"]: tuple(row[f"llm_{name}"] for name in ("category", "confidence", "reason", "parse_status"))
        for row in rows
        if row["llm_status"] == "success"
    }


def check_complete(run: StepRun, reference: Mapping[str, tuple[Any, ...]], *, unanswered: Iterable[str] = ()) -> None:
    """Check that every row is there once, in order, with the answer of an undisturbed run.

    Rows in `unanswered` must have an error instead.
    """
    inputs = run.world.inputs
    assert [row["id"] for row in run.all_rows] == [row["id"] for row in inputs]
    assert [row["text"] for row in run.all_rows] == [row["text"] for row in inputs]
    without = set(unanswered)
    assert {row["id"] for row in run.all_rows if row["llm_status"] == "error"} == without
    answers = answers_of(run.all_rows)
    assert [key for key, value in reference.items() if key not in without and answers.get(key) != value] == []
    figures = run.summary
    assert figures["total_records"] == len(inputs) == figures["successful_records"] + figures["failed_records"]
    assert figures["failed_records"] == len(without)
    assert sum(split["total_records"] for split in figures["splits_processed"]) == len(inputs)


def check_paid_once(run: StepRun, *, twice: Iterable[str] = (), never: Iterable[str] = ()) -> None:
    """Check that each row was charged once.

    `twice` names rows whose first answer was charged but unusable, and `never` rows that were not charged.
    """
    expected = Counter({row["id"]: 1 for row in run.world.inputs})
    expected.update(twice)
    for row_id in never:
        del expected[row_id]
    charges = run.world.charges
    assert {key: charges[key] for key in charges | expected if charges[key] != expected[key]} == {}, "rows and payments"
