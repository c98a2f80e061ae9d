"""The value of `BEDROCK_PRICES`: prices by model, as text or in a file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from bedrock_batch.environment.variables.value_types import REFERENCE_PREFIXES, ValueType, load_json, require

PRICE_KEYS = (
    "input", "output", "batch_input", "batch_output", "flex_input", "flex_output", "priority_input", "priority_output",
    "cache_read", "cache_write", "cache_write_1h",
)  # fmt: skip # a list of words
# What a price may say of itself besides the amounts.
PRICE_NOTES = ("date", "source")


def parse_prices(value: str) -> Mapping[str, Mapping[str, Any]]:
    """Return prices by model in a JSON text: amounts as numbers, notes as texts; ValueError for another."""
    parsed = load_json(value.strip() or "{}")
    require(isinstance(parsed, dict) and all(_is_price(entry) for entry in parsed.values()))
    return {
        model: {key: amount if key in PRICE_NOTES else float(amount) for key, amount in entry.items()}
        for model, entry in parsed.items()
    }


def _parse_prices_unless_referenced(value: str) -> Mapping[str, Mapping[str, Any]] | str:
    return value if value.startswith(REFERENCE_PREFIXES) else parse_prices(value)


def _is_price(entry: Any) -> bool:
    if not isinstance(entry, dict) or not {"input", "output"} <= entry.keys() <= {*PRICE_KEYS, *PRICE_NOTES}:
        return False
    amounts = [amount for key, amount in entry.items() if key not in PRICE_NOTES]
    return all(type(amount) in (int, float) and 0 <= amount < 1e9 for amount in amounts) and _has_notes(entry)


def _has_notes(entry: Mapping[str, Any]) -> bool:
    """Return whether the notes of a price are texts, and its date a day; ValueError for another date."""
    if "date" in entry:
        require(isinstance(entry["date"], str))
        date.fromisoformat(entry["date"])
    return isinstance(entry.get("source", ""), str)


REFERENCE_OR_PRICES = ValueType(
    "json",
    'a JSON object in USD per million tokens, such as {"MODEL": {"input": 3, "output": 15, "batch_input": 1.5, '
    '"batch_output": 7.5}}; all but input and output may be left out. Or file:PATH, or s3://BUCKET/KEY',
    _parse_prices_unless_referenced,
)
