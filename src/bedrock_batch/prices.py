"""What models cost: a bundled, dated price table, and the prices that a user sets over it.

Prices never come back in AWS's answers. They differ a little between regions and change: the table carries its date,
and every figure made from it says which prices it used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from bedrock_batch.families import PROFILE_PREFIX, base_model_id
from bedrock_batch.records import Source

# AWS sells batch inference at half the on-demand price (https://aws.amazon.com/bedrock/pricing/); where the table has
# no batch price of its own, this is taken, and said.
BATCH_SHARE = 0.5
MILLION = 1_000_000
_VERSION = re.compile(r"(?:-\d{8})?(?:-v\d+)?(?::\d+)?(?::\d+k)?\Z")


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in USD per million tokens.

    Requests of more than `long_above` input tokens cost `long_factor_input` and `long_factor_output` times as much.
    `batch_assumed` says that the batch prices are half of the others and were not listed.
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

    def cost(self, source: Source, input_tokens: float, output_tokens: float, *, request: bool = False) -> float:
        """Return what some tokens cost, in USD; `request` says that they are those of one request."""
        prices = (self.batch_input, self.batch_output) if source == "batch" else (self.input, self.output)
        is_long = request and self.long_above is not None and input_tokens > self.long_above
        factors = (self.long_factor_input, self.long_factor_output) if is_long else (1.0, 1.0)
        return (input_tokens * prices[0] * factors[0] + output_tokens * prices[1] * factors[1]) / MILLION

    def cost_of_requests(self, source: Source, read: Sequence[int], written: Sequence[int]) -> float:
        """Return what requests cost, given the input and output tokens of each."""
        if self.long_above is None or max(read, default=0) <= self.long_above:
            return self.cost(source, sum(read), sum(written))
        return sum(self.cost(source, *each, request=True) for each in zip(read, written, strict=True))

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


class PriceBook:
    """The prices of a run: those that the user set, then those of the bundled table.

    `aliases` leads from an id that hides its model, such as the ARN of an application inference profile, to the model.
    """

    def __init__(self, overrides: Mapping[str, Mapping[str, float]], aliases: Mapping[str, str] | None = None) -> None:
        self._overrides = overrides
        self._aliases = aliases or {}
        self._table = bundled_table()
        self._known: dict[str, Price | None] = {}

    @property
    def date(self) -> str:
        """The day of which the bundled prices are."""
        return str(self._table["date"])

    def find(self, model_id: str) -> Price | None:
        """Return the price of the model that an id, profile id or ARN names, or None where none is known."""
        if model_id not in self._known:
            price = self._look_up(model_id)
            alias = self._aliases.get(model_id)
            self._known[model_id] = price if price or not alias or alias == model_id else self._look_up(alias)
        return self._known[model_id]

    def _look_up(self, model_id: str) -> Price | None:
        tail = model_id.rsplit("/", 1)[-1] if model_id.startswith("arn:") else model_id
        base = base_model_id(model_id)
        bare = _VERSION.sub("", base)
        for name in (model_id, tail, base, bare):
            if name in self._overrides:
                return _override_price(self._overrides[name])
        entry = self._table["models"].get(base) or self._table["models"].get(bare)
        return _table_price(entry, self._factor(tail, entry)) if entry else None

    def _factor(self, profile_id: str, entry: Mapping[str, Any]) -> float:
        """Return by how much a profile of one geography is dearer than the model's list price."""
        prefix = PROFILE_PREFIX.match(profile_id)
        if not entry.get("geographic") or prefix is None or prefix.group().startswith("global"):
            return 1.0
        return float(self._table["geographic_factor"])


@lru_cache(maxsize=1)
def bundled_table() -> Mapping[str, Any]:
    """Return the price table of this package as it is stored."""
    text = resources.files("bedrock_batch").joinpath("price_table.json").read_text(encoding="utf-8")
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


def _override_price(entry: Mapping[str, float]) -> Price:
    return _price(entry, 1.0, "BEDROCK_PRICES")


def _price(entry: Mapping[str, Any], factor: float, origin: str) -> Price:
    listed = "batch_input" in entry and "batch_output" in entry
    return Price(
        round(entry["input"] * factor, 6),
        round(entry["output"] * factor, 6),
        round(entry.get("batch_input", entry["input"] * BATCH_SHARE) * factor, 6),
        round(entry.get("batch_output", entry["output"] * BATCH_SHARE) * factor, 6),
        batch_assumed=not listed,
        origin=origin,
    )
