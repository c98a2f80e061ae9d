"""Checks the cost limit of a run against an estimate, before anything is paid for."""

from __future__ import annotations

from bedrock_batch.costs.estimate import Estimate
from bedrock_batch.costs.prices import Price, PriceBook
from bedrock_batch.environment.references import prices_of
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import ConfigurationError
from bedrock_batch.records import Source
from bedrock_batch.text import format_usd


def price_book(settings: Settings, effective_model_id: str) -> PriceBook:
    """Return the prices of a run; ConfigurationError if a limit is set and a model has no known price."""
    book = PriceBook(prices_of(settings), {effective_model_id: settings.primary_model_id})
    models = [model for model in (effective_model_id, settings.fallback_model_id) if model]
    if settings.max_cost_usd is not None and (unknown := [model for model in models if book.find(model) is None]):
        raise ConfigurationError(
            f"BEDROCK_MAX_COST_USD is set, but no price is known for {' and '.join(unknown)}: set it in "
            "BEDROCK_PRICES, or unset BEDROCK_MAX_COST_USD"
        )
    return book


def check_cost(limit: float, estimate: Estimate, price: Price, source: Source, count: int) -> dict[Source, float]:
    """Return the likely cost of a run in batch and in real time, in USD.

    ConfigurationError if the cost in the mode `source`, in which most of the `count` records will be asked, is above
    the limit.
    """
    kinds: tuple[Source, ...] = ("batch", "realtime")
    costs = {kind: estimate.cost(price, kind) for kind in kinds}
    if costs[source].likely > limit:
        raise ConfigurationError(
            f"the run is estimated to cost {format_usd(costs[source].likely)} ({format_usd(costs[source].low)} to "
            f"{format_usd(costs[source].high)}) for {count} records, which is above BEDROCK_MAX_COST_USD={limit:g}: "
            "raise it, or run --plan to see what the cost consists of"
        )
    return {kind: cost.likely for kind, cost in costs.items()}
