"""Reads the prices of Amazon Bedrock from AWS's price list, which costs nothing.

Bedrock has two offers: `AmazonBedrock` holds the models of Amazon and those with open weights, mostly per thousand
tokens, and `AmazonBedrockFoundationModels` those of the marketplace, Claude among them, mostly per million tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bedrock_batch.aws.calls.failures import ask
from bedrock_batch.aws.calls.retries import RetryPolicy, call
from bedrock_batch.aws.shapes import ListedProducts, PricedProduct

OFFERS = ("AmazonBedrock", "AmazonBedrockFoundationModels")
_PAGE = 100  # the most that GetProducts returns at once


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """The on-demand price of one product, in USD per `unit`, such as `1K tokens`.

    `names` are what the product says about its model: `model`, `titanModel` or `servicename`.
    """

    offer: str
    names: tuple[str, ...]
    usage_type: str
    unit: str
    usd: float


def endpoint_region(region_name: str) -> str:
    """Return the nearest region that serves the price list.

    There are three of them: https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html.
    """
    return {"eu": "eu-central-1", "ap": "ap-south-1"}.get(region_name.partition("-")[0], "us-east-1")


def list_prices(client: Any, region_name: str, policy: RetryPolicy) -> Iterator[ListedPrice]:
    """Yield every on-demand price of Amazon Bedrock in a region; raise `AwsError` if the list cannot be read."""
    for offer in OFFERS:
        token, known = "", set[str]()
        while token not in known:  # a token that comes again would never end the list
            known.add(token)
            page = _read_page(client, offer, region_name, token, policy)
            for text in page.price_list:
                yield from _prices_of(offer, text)
            token = page.next_token or ""


def _read_page(client: Any, offer: str, region_name: str, token: str, policy: RetryPolicy) -> ListedProducts:
    arguments: dict[str, Any] = {
        "ServiceCode": offer,
        "Filters": [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region_name}],
        "MaxResults": _PAGE,
        **({"NextToken": token} if token else {}),
    }
    return call(lambda: ask("GetProducts", client.get_products, ListedProducts, **arguments), policy)


def _prices_of(offer: str, text: str) -> Iterator[ListedPrice]:
    """Yield the prices of a product; none if it has no usage type, or another form."""
    try:
        product = PricedProduct.model_validate_json(text)
    except ValidationError:
        return
    attributes = product.product.attributes
    names = tuple(str(attributes[key]) for key in ("model", "titanModel", "servicename") if attributes.get(key))
    for term in product.terms.get("OnDemand", {}).values():
        for dimension in term.dimensions.values():
            if (usd := _number(dimension.price_per_unit.get("USD"))) is not None:
                yield ListedPrice(offer, names, str(attributes.get("usagetype", "")), dimension.unit, usd)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None
