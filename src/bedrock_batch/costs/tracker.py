"""Tracks the costs of a run: tokens and money by model and mode, and the limit."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bedrock_batch.costs.prices import Price, PriceBook
from bedrock_batch.models.model_output import read_output
from bedrock_batch.records import Answer, Billing, ModelOutput, RecordOutput, Source
from bedrock_batch.text import format_usd

DIGITS = 6


@dataclass(slots=True)
class Usage:
    """The usage of one model in one mode; money in USD, None if the model has no known price."""

    records: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None
    realtime_usd: float | None = None
    """The cost of the same tokens in real time."""
    tiers: Counter[str] = field(default_factory=Counter)
    """Answers by the service tier that served them."""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    saved_by_tier_usd: float = 0.0
    saved_by_cache_usd: float = 0.0


@dataclass(slots=True)
class _Expected:
    records: int = 0
    usd: dict[Source, float] = field(default_factory=dict)


class CostTracker:
    """Counts every answer that a run pays for and says when the limit is reached; safe to use from many threads.

    A continued run counts the answers of its earlier starts, since they belong to its cost. Answers that never arrived
    are not counted, although AWS may charge for a request that ran into the read timeout.
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
            self._reused = Usage()
            self._expected = _Expected()
            self._reserved = 0
            self._ahead = 0.0
            self._stopped: str | None = None

    def expect(self, records: int, usd: dict[Source, float]) -> None:
        """Set the estimated cost of `records` in each mode, which applies until answers show the real cost."""
        with self._lock:
            self._expected = _Expected(records, usd)

    def add(self, answer: Answer, *, reserved: int = 0) -> None:
        """Count an answer; without token counts it costs nothing. For `reserved` see `add_answers`."""
        if answer.source == "store":  # `add_reused` counts it
            return
        has_counts = answer.model_id is not None and (answer.input_tokens, answer.output_tokens) != (None, None)
        counts = ([answer.input_tokens or 0], [answer.output_tokens or 0]) if has_counts else ([], [])
        self.add_answers(answer.source, answer.model_id or "", *counts, reserved=reserved, billing=answer.billing)

    def add_answers(
        self,
        source: Source,
        model_id: str,
        read: Sequence[int],
        written: Sequence[int],
        *,
        reserved: int = 0,
        billing: Billing | None = None,
    ) -> None:
        """Count answers of a model by the input and output tokens of each.

        `reserved` is the number of records whose reserved cost this releases, in the same step. `billing` is that of a
        single answer in real time.
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
            if billing is not None:
                _add_billed(usage, price, read[0], written[0], billing)
            elif price is not None:
                usage.usd = (usage.usd or 0.0) + price.cost_of_requests(source, read, written)
                usage.realtime_usd = (usage.realtime_usd or 0.0) + price.cost_of_requests("realtime", read, written)

    def count_ahead(self, outputs: Iterable[RecordOutput]) -> Iterator[RecordOutput]:
        """Pass on real-time outputs that are parsed, and counted, after the last one; the limit counts them at once."""
        try:
            for output in outputs:
                price = self.book.find(output.model_id) if isinstance(output, ModelOutput) else None
                if price is not None and isinstance(output, ModelOutput):
                    content = read_output(output.body)
                    tokens = content.input_tokens or 0, content.output_tokens or 0
                    with self._lock:
                        self._ahead += price.cost_of_answer(*tokens, content.billing or Billing())
                yield output
        finally:
            with self._lock:
                self._ahead = 0.0

    def add_reused(self, source: Source, model_id: str, read: Sequence[int], written: Sequence[int]) -> None:
        """Count answers that an earlier run has paid for in the mode `source`: they cost this run nothing."""
        price = self.book.find(model_id)
        with self._lock:
            self._reused.records += len(read)
            self._reused.input_tokens += sum(read)
            self._reused.output_tokens += sum(written)
            if price is not None:
                self._reused.usd = (self._reused.usd or 0.0) + price.cost_of_requests(source, read, written)

    @property
    def usd(self) -> float:
        """The cost of the answers so far."""
        with self._lock:
            return self._spent()

    @property
    def tiers(self) -> dict[str, int]:
        """How many real-time answers each service tier served; those without a word of the service are not counted."""
        with self._lock:
            return dict(sorted(sum((usage.tiers for usage in self._usage.values()), Counter[str]()).items()))

    def cache_use(self) -> dict[str, Any]:
        """Return the tokens that were read from a prompt cache and written into it, and what that saved in USD."""
        with self._lock:
            rows = list(self._usage.values())
            return {
                "cache_read_tokens": sum(usage.cache_read_tokens for usage in rows),
                "cache_write_tokens": sum(usage.cache_write_tokens for usage in rows),
                "saved_usd": round(sum(usage.saved_by_cache_usd for usage in rows), DIGITS),
            }

    @property
    def stopped(self) -> str | None:
        """The reason why a record was not asked, or None if all were."""
        with self._lock:
            return self._stopped

    def refusal(self) -> str | None:
        """Return the reason why the next record must not be asked, or None; a reason stops the run."""
        with self._lock:
            if self._stopped is None and self.limit is not None and self._spent() + self._ahead >= self.limit:
                self._stop()
            return self._stopped

    def reserve(self, records: int, *, force: bool = False) -> bool:
        """Reserve the expected cost of a job and return True, or return False if the limit does not allow it.

        `force` reserves it anyway, for a job that already exists.
        """
        with self._lock:
            if not force and self.limit is not None:
                wanted = self._spent() + (self._reserved + records) * self._per_record("batch")
                if self._spent() >= self.limit or wanted > self.limit * (1 + 1e-9):
                    self._stop(f", and {records} more records are expected to cost more than the rest")
                    return False
            self._reserved += records
            return True

    def release(self, records: int) -> None:
        """Release the reserved cost of records that got no answer."""
        with self._lock:
            self._reserved = max(0, self._reserved - records)

    def as_dict(self) -> dict[str, Any]:
        """Return the costs of a run for its summary."""
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
                "saved_by_tier_usd": round(sum(usage.saved_by_tier_usd for _, usage in rows), DIGITS),
                "saved_by_cache_usd": round(sum(usage.saved_by_cache_usd for _, usage in rows), DIGITS),
                "reused": {
                    "records": self._reused.records,
                    "input_tokens": self._reused.input_tokens,
                    "output_tokens": self._reused.output_tokens,
                    "usd_not_spent": None if self._reused.usd is None else round(self._reused.usd, DIGITS),
                },
                "limit_usd": self.limit,
                "limit_reached": self._stopped,
            }

    def _spent(self) -> float:
        return sum(usage.usd or 0.0 for usage in self._usage.values())

    def _per_record(self, source: Source) -> float:
        """Return the cost of a record: the average so far, or the estimate before the first answer."""
        seen = [usage for (kind, _), usage in self._usage.items() if kind == source and usage.usd is not None]
        records = sum(usage.records for usage in seen)
        if records:
            return sum(usage.usd or 0.0 for usage in seen) / records
        expected = self._expected
        return expected.usd.get(source, 0.0) / expected.records if expected.records else 0.0

    def _stop(self, addition: str = "") -> None:
        self._stopped = self._stopped or (
            f"the run has cost {format_usd(self._spent() + self._ahead)} of "
            f"BEDROCK_MAX_COST_USD={self.limit:g}{addition}"
        )


def _add_billed(usage: Usage, price: Price | None, read: int, written: int, billing: Billing) -> None:
    """Add one real-time answer that a service tier served or a prompt cache took part in."""
    usage.tiers[billing.tier or "default"] += 1
    usage.cache_read_tokens += billing.cache_read
    usage.cache_write_tokens += billing.cache_write + billing.cache_write_1h
    if price is None:
        return
    cost = price.cost_of_answer(read, written, billing)
    without_cache = price.cost_of_answer(read, written, Billing(billing.tier))
    usage.saved_by_cache_usd += without_cache - cost
    usage.saved_by_tier_usd += price.cost_of_answer(read, written, Billing()) - without_cache
    usage.usd = (usage.usd or 0.0) + cost
    usage.realtime_usd = (usage.realtime_usd or 0.0) + cost


def _row(source: Source, model: str, usage: Usage) -> dict[str, Any]:
    return {
        "source": source,
        "model_id": model,
        "records": usage.records,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "service_tiers": dict(sorted(usage.tiers.items())),
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "usd": None if usage.usd is None else round(usage.usd, DIGITS),
    }


def _sum(rows: list[tuple[tuple[Source, str], Usage]], source: str, amount: Callable[[Usage], float | None]) -> float:
    return sum(amount(usage) or 0.0 for (kind, _), usage in rows if kind == source)
