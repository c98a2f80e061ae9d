"""Reads the usage types of AWS's price list: which tokens of which model in which tier a price is for.

AWS names them by several rules at a time, as its user guide and its offer files of 2026 show:

- `USE1-NovaPro-input-tokens`, with the endings `-flex`, `-priority`, `-batch` and `-cross-region-global`, and
  `USE1-NovaPro-cache-read-input-token-count`
  (https://docs.aws.amazon.com/bedrock/latest/userguide/cost-mgmt-understanding-cur-data.html);
- `USE1-MP:USE1_CacheWrite1hInputTokenCount_Global-Units` for Claude up to 4.6 and
  `USE1-MP:USE1_cache_write_tokens_1h_global_standard-Units` for later ones, where `servicename` names the model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# The member of a price by the kind of tokens and the tier; prices of other pairs have no use here.
_MEMBERS = {
    ("input", ""): "input",
    ("output", ""): "output",
    **{(kind, tier): f"{tier}_{kind}" for kind in ("input", "output") for tier in ("batch", "flex", "priority")},
    ("cache-read", ""): "cache_read",
    ("cache-write", ""): "cache_write",
    ("cache-write-1h", ""): "cache_write_1h",
}
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^a-zA-Z0-9]+")
_MARKETPLACE = re.compile(r"[A-Z0-9]+-MP:[A-Z0-9]+_(?P<meter>.+)-Units")
_OWN = re.compile(
    r"[A-Z0-9]+-(?P<model>.+?)-(?P<meter>(?:(?:text-)?(?:input|output)-tokens|(?:prompt-)?cache-(?:read|write)-).*)"
)
_TOKENS = re.compile(r"tokens?(?:\W|_|count|$)|TokenCount", re.IGNORECASE)
# The endpoint `bedrock-mantle` has usage types of its own; the step does not use it.
_OTHER_ENDPOINT = "-mantle"
# Other products of a model, at other prices: its faster variant, and models made from it.
_OTHER_PRODUCT = re.compile(r"latency|custom|provisioned|distill|training", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Meter:
    """What a usage type counts: the member of a price, for requests through a global profile or in the region.

    `model` is the name of the model in the usage type, empty if another attribute names it.
    """

    model: str
    member: str
    is_global: bool


def counts_tokens(usage_type: str) -> bool:
    """Return whether a usage type looks like one of tokens, and not of images, storage or hours."""
    return _TOKENS.search(usage_type) is not None and _OTHER_ENDPOINT not in usage_type


def read_usage_type(usage_type: str) -> Meter | None:
    """Return what a usage type counts, or None if it counts something else or in another way."""
    if _OTHER_ENDPOINT in usage_type or _OTHER_PRODUCT.search(usage_type):
        return None
    if found := _MARKETPLACE.fullmatch(usage_type):
        return _read_meter("", found["meter"])
    if found := _OWN.fullmatch(usage_type):
        return _read_meter(found["model"], found["meter"])
    return None


def _read_meter(model: str, meter: str) -> Meter | None:
    words = [word for word in _WORD.split(meter.replace("1h", "-1h-")) if word]
    names = [word.casefold() for word in words]
    kind = _take_kind(names)
    is_global = "global" in names
    rest = set(names) - {"global", "cross", "region", "geo", "standard"}
    if kind is None or len(rest) > 1:
        return None
    member = _MEMBERS.get((kind, rest.pop() if rest else ""))
    return None if member is None else Meter(model, member, is_global)


def _take_kind(words: list[str]) -> str | None:
    """Remove the words that name the kind of tokens from the list, and return the kind; None if they name none."""
    for kind in ("cache-write-1h", "cache-write", "cache-read", "input", "output"):
        parts = kind.split("-")
        if all(part in words for part in parts):
            known = {*parts, "tokens", "token", "count", "text", "prompt", "input" if "cache" in parts else ""}
            words[:] = [word for word in words if word not in known]
            return kind
    return None
