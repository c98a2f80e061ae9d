"""Makes prices for `BEDROCK_PRICES` from AWS's price list, and says what of the list it could not use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bedrock_batch.aws.price_list import ListedPrice
from bedrock_batch.costs.prices import MILLION, bundled_table
from bedrock_batch.costs.usage_types import Meter, counts_tokens, read_usage_type
from bedrock_batch.families import FAMILIES

# Tokens of a unit.
_UNITS = {"1k tokens": 1_000, "1m tokens": MILLION}
_CLAUDE = re.compile(r"(Claude (?:[A-Z][a-z]+ \d+(?:\.\d+)?|\d+(?:\.\d+)? [A-Z][a-z]+)) \(Amazon Bedrock Edition\)")
_QUALIFIED = re.compile(r"[a-z0-9]+\.[a-z][a-z0-9.-]*")
# Texts at which the names of models differ between the price list and their ids.
_NOISE = re.compile(r"\.0(?!\d)|(?<=b)-1$|-instruct$|[^a-z0-9]")


@dataclass(slots=True)
class PriceUpdate:
    """The prices by model, in the form of `BEDROCK_PRICES`, and how many prices of the list were left out and why.

    `unknown` counts by the name of a model for which no id is known here, and `unread` by a usage type of another form.
    `incomplete` are the models without a price for input or output, `ambiguous` those with two prices for one thing.
    """

    prices: dict[str, dict[str, Any]] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    incomplete: list[str] = field(default_factory=list)
    ambiguous: set[str] = field(default_factory=set)


def update_prices(listed: Iterable[ListedPrice], date: str) -> PriceUpdate:
    """Return the prices of the list, each with its date (YYYY-MM-DD) and its source.

    A model that AWS also sells through a global profile gets a second entry, `global.` and its name.
    """
    update, ids = PriceUpdate(), known_names()
    found: dict[str, dict[str, Any]] = {}
    for price in listed:
        _add(price, ids, found, update)
    for name, members in sorted(found.items()):
        if name in update.ambiguous:
            continue
        if {"input", "output"} <= members.keys():
            update.prices[name] = {**members, "date": date}
        else:
            update.incomplete.append(name)
    return update


def _add(price: ListedPrice, ids: Mapping[str, str], found: dict[str, dict[str, Any]], update: PriceUpdate) -> None:
    if not counts_tokens(price.usage_type):
        return
    meter, tokens = read_usage_type(price.usage_type), _UNITS.get(price.unit.casefold())
    if meter is None or tokens is None:
        update.unread[_without_region(price.usage_type)] += 1
        return
    model = _model_of(price, meter, ids)
    if model is None:
        update.unknown[next(iter(price.names), meter.model)] += 1
        return
    name = f"global.{model}" if meter.is_global else model
    entry = found.setdefault(name, {"source": f"AWS price list, {price.offer}"})
    amount = round(price.usd * MILLION / tokens, 6)
    if entry.setdefault(meter.member, amount) != amount:
        update.ambiguous.add(name)


def _model_of(price: ListedPrice, meter: Meter, ids: Mapping[str, str]) -> str | None:
    """Return the name of a model as `model_name` returns it, or None if nothing names it for certain."""
    if _QUALIFIED.fullmatch(meter.model):
        return meter.model
    for name in price.names:
        if claude := _CLAUDE.fullmatch(name):
            return "anthropic." + re.sub("[ .]", "-", claude[1].casefold())
    candidates = (ids.get(_plain(name)) for name in (meter.model, *price.names))
    return next((model for model in candidates if model), None)


def known_names() -> dict[str, str]:
    """Return the names of the models that prices and capabilities are known of, by what they look like in the list.

    Names that look alike are left out, since a price would go to the wrong model.
    """
    names = {*bundled_table()["models"], *(name for row in FAMILIES for name in row.names if "*" not in name)}
    looks: dict[str, set[str]] = {}
    for name in names:
        provider, _, model = name.partition(".")
        for look in {_plain(model), _plain(provider + model)}:
            looks.setdefault(look, set()).add(name)
    return {look: found.pop() for look, found in looks.items() if len(found) == 1}


def _plain(name: str) -> str:
    return _NOISE.sub("", _NOISE.sub("", name.casefold()))


def _without_region(usage_type: str) -> str:
    return re.sub(r"^[A-Z0-9]+-(?:MP:[A-Z0-9]+_)?", "", usage_type)


def render_update(update: PriceUpdate, region_name: str, place: str) -> str:
    """Return what was written and what was left out, as text."""
    lines = [f"{place}: the prices of {len(update.prices)} models in {region_name}"]
    if update.unknown:
        lines.append("\nNot mapped to a model id; give those that you use in BEDROCK_PRICES by hand:")
        lines += [f"  {name}: {count} price(s)" for name, count in sorted(update.unknown.items())]
    if update.incomplete:
        lines.append("\nWithout a price for input or for output:")
        lines += [f"  {name}" for name in update.incomplete]
    if update.ambiguous:
        lines.append("\nWith two prices for the same tokens:")
        lines += [f"  {name}" for name in sorted(update.ambiguous)]
    if update.unread:
        lines.append("\nPrices of tokens that no run pays, or that are named in a way not known here:")
        lines += [f"  {name}" for name in sorted(update.unread)]
    return "\n".join(lines)
