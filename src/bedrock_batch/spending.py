"""What a run costs while it goes on: tokens and money by model and mode, and the limit that it must keep."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bedrock_batch.prices import PriceBook
from bedrock_batch.records import Outcome, Source

DIGITS = 6


@dataclass(slots=True)
class Usage:
    """What one model used in one mode; money in USD, `None` where the model has no known price."""

    records: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None
    realtime_usd: float | None = None
    """What the same tokens cost in real time."""


@dataclass(slots=True)
class _Expected:
    records: int = 0
    usd: dict[Source, float] = field(default_factory=dict)


class Spending:
    """Counts every answer that a run pays for and says when its limit is reached; from several threads.

    A run that is continued counts what its earlier starts paid, since that is what the run costs. Answers that never
    came (a read timeout may be charged all the same) are not in it.
    """

    def __init__(self, book: PriceBook, limit: float | None = None) -> None:
        self.book = book
        self.limit = limit
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Begin a run."""
        with self._lock:
            self._usage: dict[tuple[Source, str], Usage] = {}
            self._expected = _Expected()
            self._reserved = 0
            self._stopped: str | None = None

    def expect(self, records: int, usd: dict[Source, float]) -> None:
        """Take note of what `records` were estimated to cost in each mode, for as long as nothing is known better."""
        with self._lock:
            self._expected = _Expected(records, usd)

    def add(self, outcome: Outcome, *, reserved: int = 0) -> None:
        """Count an answer; one that does not tell its tokens costs nothing. For `reserved` see `add_answers`."""
        tells = outcome.model_id is not None and (outcome.input_tokens, outcome.output_tokens) != (None, None)
        counts = ([outcome.input_tokens or 0], [outcome.output_tokens or 0]) if tells else ([], [])
        self.add_answers(outcome.source, outcome.model_id or "", *counts, reserved=reserved)

    def add_answers(
        self, source: Source, model_id: str, read: Sequence[int], written: Sequence[int], *, reserved: int = 0
    ) -> None:
        """Count answers of a model by the input and output tokens of each.

        `reserved` is for how many records money was set aside; it is given back in the same moment.
        """
        price = self.book.find(model_id)
        with self._lock:
            self._reserved = max(0, self._reserved - reserved)
            if not read:
                return
            usage = self._usage.setdefault((source, model_id), Usage())
            usage.records += len(read)
            usage.input_tokens += sum(read)
            usage.output_tokens += sum(written)
            if price is not None:
                usage.usd = (usage.usd or 0.0) + price.cost_of_requests(source, read, written)
                usage.realtime_usd = (usage.realtime_usd or 0.0) + price.cost_of_requests("realtime", read, written)

    @property
    def usd(self) -> float:
        """What is known to be spent."""
        with self._lock:
            return self._spent()

    @property
    def stopped(self) -> str | None:
        """Why a record was not asked, or None while every one was."""
        with self._lock:
            return self._stopped

    def refusal(self) -> str | None:
        """Return why a record that is about to be asked must not be, or None; such a record stops the run."""
        with self._lock:
            if self._stopped is None and self.limit is not None and self._spent() >= self.limit:
                self._stop()
            return self._stopped

    def reserve(self, records: int, *, force: bool = False) -> bool:
        """Set the expected cost of a job aside and return True, or return False where the limit does not allow it.

        `force` is for a job that exists already.
        """
        with self._lock:
            if not force and self.limit is not None:
                wanted = self._spent() + (self._reserved + records) * self._per_record("batch")
                if self._spent() >= self.limit or wanted > self.limit * (1 + 1e-9):
                    self._stop(f", and {records} more records are expected to cost more than what is left")
                    return False
            self._reserved += records
            return True

    def release(self, records: int) -> None:
        """Give back what was set aside for records that got no answer."""
        with self._lock:
            self._reserved = max(0, self._reserved - records)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures of a run as its summary holds them."""
        with self._lock:
            rows = sorted(self._usage.items())
            total = {source: _sum(rows, source, lambda usage: usage.usd) for source in ("batch", "realtime")}
            without_batch = sum(usage.realtime_usd or 0.0 for _, usage in rows)
            models = sorted({model for _, model in self._usage})
            return {
                "currency": "USD",
                "price_date": self.book.date,
                "prices": {model: price.as_dict() for model in models if (price := self.book.find(model))},
                "unpriced_models": [model for model in models if self.book.find(model) is None],
                "usage": [_row(source, model, usage) for (source, model), usage in rows],
                "batch_usd": round(total["batch"], DIGITS),
                "on_demand_usd": round(total["realtime"], DIGITS),
                "total_usd": round(self._spent(), DIGITS),
                "all_on_demand_usd": round(without_batch, DIGITS),
                "saved_by_batch_usd": round(without_batch - self._spent(), DIGITS),
                "limit_usd": self.limit,
                "limit_reached": self._stopped,
            }

    def _spent(self) -> float:
        return sum(usage.usd or 0.0 for usage in self._usage.values())

    def _per_record(self, source: Source) -> float:
        """Return what a record costs: as seen so far, else as estimated."""
        seen = [usage for (kind, _), usage in self._usage.items() if kind == source and usage.usd is not None]
        records = sum(usage.records for usage in seen)
        if records:
            return sum(usage.usd or 0.0 for usage in seen) / records
        expected = self._expected
        return expected.usd.get(source, 0.0) / expected.records if expected.records else 0.0

    def _stop(self, addition: str = "") -> None:
        self._stopped = self._stopped or (
            f"the run has cost {format_usd(self._spent())} of BEDROCK_MAX_COST_USD={self.limit:g}{addition}"
        )


def format_usd(amount: float) -> str:
    """Return an amount of money for people: two digits after the point, more where it is below one cent."""
    return f"${amount:,.2f}" if amount >= 0.01 or amount == 0 else f"${amount:.6f}".rstrip("0")


def _row(source: Source, model: str, usage: Usage) -> dict[str, Any]:
    return {
        "source": source,
        "model_id": model,
        "records": usage.records,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "usd": None if usage.usd is None else round(usage.usd, DIGITS),
    }


def _sum(rows: list[tuple[tuple[Source, str], Usage]], source: str, amount: Callable[[Usage], float | None]) -> float:
    return sum(amount(usage) or 0.0 for (kind, _), usage in rows if kind == source)
