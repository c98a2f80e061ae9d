"""The prices of models: a bundled table with a date, and the prices in the settings, which override it.

No response of AWS contains a price. Prices change and differ slightly between regions, so the table has a date, and
every figure names the prices that it was calculated from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import lru_cache
from importlib import resources
from typing import Any

from bedrock_batch.environment.variables.price_values import PRICE_KEYS
from bedrock_batch.families import PROFILE_PREFIX, base_model_id
from bedrock_batch.records import Billing, Source

# AWS sells batch inference at half the on-demand price (https://aws.amazon.com/bedrock/pricing/). `batch_assumed` marks
# a price that was calculated from this share because the table has no batch price.
BATCH_SHARE = 0.5
MILLION = 1_000_000
STALE_DAYS = 90
UPDATE = (
    "python -m bedrock_batch.costs --update writes today's prices of your region into a file for BEDROCK_PRICES "
    "(BEDROCK_PRICES=file:bedrock-prices.json)"
)
_OPTIONAL = tuple(key for key in PRICE_KEYS if key.startswith(("flex", "priority", "cache")))
_VERSION = re.compile(r"(?:-\d{8})?(?:-v\d+)?(?::\d+)?(?::\d+k)?\Z")


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model, in USD per million tokens.

    The prices of the service tiers `flex` and `priority` and of a prompt cache are None if they are not known. The
    tokens of requests with more than `long_above` input tokens cost `long_factor_input` and `long_factor_output` times
    as much. `batch_assumed` says that the batch prices are not listed, but assumed to be half of the others.
    """

    input: float
    output: float
    batch_input: float
    batch_output: float
    batch_assumed: bool = False
    origin: str = "bundled table"
    long_above: int | None = None
    long_factor_input: float = 1.0
    long_factor_output: float = 1.0
    flex_input: float | None = None
    flex_output: float | None = None
    priority_input: float | None = None
    priority_output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    date: str | None = None
    """The day on which the price was read, as YYYY-MM-DD; None if nobody says so."""
    source: str | None = None

    def cost(self, source: Source, input_tokens: float, output_tokens: float, *, request: bool = False) -> float:
        """Return the cost of tokens, in USD; `request` says that they belong to one request."""
        prices = (self.batch_input, self.batch_output) if source == "batch" else (self.input, self.output)
        is_long = request and self.long_above is not None and input_tokens > self.long_above
        factors = (self.long_factor_input, self.long_factor_output) if is_long else (1.0, 1.0)
        return (input_tokens * prices[0] * factors[0] + output_tokens * prices[1] * factors[1]) / MILLION

    def cost_of_requests(self, source: Source, read: Sequence[int], written: Sequence[int]) -> float:
        """Return the cost of requests, in USD, given the input and output tokens of each."""
        if self.long_above is None or max(read, default=0) <= self.long_above:
            return self.cost(source, sum(read), sum(written))
        return sum(self.cost(source, *each, request=True) for each in zip(read, written, strict=True))

    def in_tier(self, tier: str) -> Price:
        """Return the price with the real-time prices of a service tier; unchanged for the default and an unknown one.

        AWS lists the prices of a cache in the same proportion to those of the input. The tokens of reserved capacity
        have no price of their own, since the reservation is paid by the month.
        """
        if tier == "reserved":
            factor_input = factor_output = 0.0
        else:
            flex, priority = (self.flex_input, self.flex_output), (self.priority_input, self.priority_output)
            of_input, of_output = {"flex": flex, "priority": priority}.get(tier, (None, None))
            if of_input is None or of_output is None or not self.input or not self.output:
                return self
            factor_input, factor_output = of_input / self.input, of_output / self.output
        cache = {name: getattr(self, name) for name in ("cache_read", "cache_write", "cache_write_1h")}
        return replace(
            self,
            input=round(self.input * factor_input, 6),
            output=round(self.output * factor_output, 6),
            **{name: round(amount * factor_input, 6) for name, amount in cache.items() if amount is not None},
        )

    def cost_of_answer(self, input_tokens: int, output_tokens: int, billing: Billing) -> float:
        """Return the cost of a real-time answer, in USD; an unknown price of the cache is that of the input."""
        price = self.in_tier(billing.tier)
        cached = (
            (billing.cache_read, price.cache_read),
            (billing.cache_write, price.cache_write),
            (billing.cache_write_1h, price.cache_write_1h),
        )
        more = sum(tokens * (price.input if each is None else each) - tokens * price.input for tokens, each in cached)
        is_long = self.long_above is not None and input_tokens > self.long_above
        whole = price.cost("realtime", input_tokens, output_tokens, request=True)
        return whole + more * (self.long_factor_input if is_long else 1.0) / MILLION

    def saved_by_cache(self, prefix_tokens: float, requests: int, *, for_an_hour: bool = False) -> float | None:
        """Return what a prompt cache saves if the first request writes a prefix and all others read it, in USD.

        None if the prices of the cache are not known.
        """
        write = self.cache_write_1h if for_an_hour else self.cache_write
        if self.cache_read is None or requests < 1:
            return None
        written = (self.input if write is None else write) - self.input
        return prefix_tokens * ((self.input - self.cache_read) * (requests - 1) - written) / MILLION

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


class PriceBook:
    """The prices of a run: those in the settings, then those of the bundled table.

    `aliases` maps an id that hides its model, such as the ARN of an application inference profile, to the model's id.
    """

    def __init__(self, overrides: Mapping[str, Mapping[str, Any]], aliases: Mapping[str, str] | None = None) -> None:
        self._overrides = overrides
        self._aliases = aliases or {}
        self._table = bundled_table()
        self._known: dict[str, Price | None] = {}

    @property
    def date(self) -> str:
        """The date of the bundled prices."""
        return str(self._table["date"])

    def find(self, model_id: str) -> Price | None:
        """Return the price of the model that an id, profile id or ARN names, or None if it is unknown."""
        if model_id not in self._known:
            price = self._look_up(model_id)
            alias = self._aliases.get(model_id)
            self._known[model_id] = price if price or not alias or alias == model_id else self._look_up(alias)
        return self._known[model_id]

    def _look_up(self, model_id: str) -> Price | None:
        tail = model_id.rsplit("/", 1)[-1] if model_id.startswith("arn:") else model_id
        base = base_model_id(model_id)
        bare = _VERSION.sub("", base)
        # Such as `global.anthropic.claude-sonnet-5`: AWS lists another price for the global profile of a model.
        of_profile = f"{tail.removesuffix(base)}{bare}" if tail.endswith(base) else bare
        for name in (model_id, tail, of_profile, base, bare):
            if name in self._overrides:
                return _override_price(self._overrides[name])
        entry = self._table["models"].get(base) or self._table["models"].get(bare)
        return _table_price(entry, self._factor(tail, entry)) if entry else None

    def _factor(self, profile_id: str, entry: Mapping[str, Any]) -> float:
        """Return the factor between the price of a profile of one geography and the model's list price."""
        prefix = PROFILE_PREFIX.match(profile_id)
        if not entry.get("geographic") or prefix is None or prefix.group().startswith("global"):
            return 1.0
        return float(self._table["geographic_factor"])


@lru_cache(maxsize=1)
def bundled_table() -> Mapping[str, Any]:
    """Return the content of `price_table.json`."""
    text = resources.files("bedrock_batch.costs").joinpath("price_table.json").read_text(encoding="utf-8")
    table: Mapping[str, Any] = json.loads(text)
    return table


def _table_price(entry: Mapping[str, Any], factor: float) -> Price:
    long = entry.get("long")
    price = _price(entry, factor, f"bundled table of {bundled_table()['date']}")
    if long is None:
        return price
    return Price(
        **{
            **asdict(price),
            "long_above": int(long["above"]),
            "long_factor_input": long["input"] / entry["input"],
            "long_factor_output": long["output"] / entry["output"],
        }
    )


def _override_price(entry: Mapping[str, Any]) -> Price:
    return _price(entry, 1.0, f"BEDROCK_PRICES of {entry['date']}" if "date" in entry else "BEDROCK_PRICES")


def _price(entry: Mapping[str, Any], factor: float, origin: str) -> Price:
    listed = "batch_input" in entry and "batch_output" in entry
    return Price(
        round(entry["input"] * factor, 6),
        round(entry["output"] * factor, 6),
        round(entry.get("batch_input", entry["input"] * BATCH_SHARE) * factor, 6),
        round(entry.get("batch_output", entry["output"] * BATCH_SHARE) * factor, 6),
        batch_assumed=not listed,
        origin=origin,
        **{key: round(entry[key] * factor, 6) for key in _OPTIONAL if key in entry},
        date=entry.get("date"),
        source=entry.get("source"),
    )


def find_stale_prices(book: PriceBook, model_ids: Iterable[str], today: date) -> list[str]:
    """Return a sentence for each price of these models that was read more than 90 days ago.

    A price that the user gives without a date is the user's own affair.
    """
    found = {model_id: price for model_id in model_ids if (price := book.find(model_id)) and price.date}
    ages = {model_id: (today - date.fromisoformat(price.date or "")).days for model_id, price in found.items()}
    return [
        f"the price of {model_id} ({found[model_id].origin}) is {age} days old, and AWS may have changed it: {UPDATE}"
        for model_id, age in ages.items()
        if age > STALE_DAYS
    ]
