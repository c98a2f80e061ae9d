"""AWS's price list of Amazon Bedrock: GetProducts, with the forms of names and units that its two offers have.

The prices are those of us-east-1 in 2026. A few products are there because a reader of the list must leave them out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from local_bedrock.jsonio import dump_json, load_json
from local_bedrock.wire.protocol import Request, Response

_THOUSAND, _MILLION = "1K tokens", "1M tokens"
_CLAUDE = "{} (Amazon Bedrock Edition)"

# Attributes of a model, and its prices by usage type without region. `AmazonBedrock` names the model in the usage type.
_OWN: tuple[tuple[dict[str, str], dict[str, float]], ...] = (
    (
        {"model": "Nova Pro", "provider": "Amazon"},
        {
            "NovaPro-input-tokens": 0.0008,
            "NovaPro-output-tokens": 0.0032,
            "NovaPro-input-tokens-batch": 0.0004,
            "NovaPro-output-tokens-batch": 0.0016,
            "NovaPro-input-tokens-flex": 0.0004,
            "NovaPro-output-tokens-flex": 0.0016,
            "NovaPro-input-tokens-priority": 0.0014,
            "NovaPro-output-tokens-priority": 0.0056,
            "NovaPro-cache-read-input-token-count": 0.0002,
            "NovaPro-latency-optimized-input-tokens": 0.001,
            "NovaPro-input-tokens-custom-model": 0.0008,
        },
    ),
    (
        {"model": "Nova 2 Lite", "provider": "Amazon"},
        {
            "Nova2.0Lite-input-tokens": 0.00033,
            "Nova2.0Lite-output-tokens": 0.00275,
            "Nova2.0Lite-input-tokens-cross-region-global": 0.0003,
            "Nova2.0Lite-output-tokens-cross-region-global": 0.0025,
            "Nova2.0Lite-input-tokens-cross-region-global-batch": 0.00015,
            "Nova2.0Lite-output-tokens-cross-region-global-batch": 0.00125,
        },
    ),
    (
        {"model": "gpt-oss-120b", "provider": "OpenAI"},
        {
            "gpt-oss-120b-input-tokens": 0.00015,
            "gpt-oss-120b-output-tokens": 0.0006,
            "openai.gpt-oss-120b-mantle-input-tokens-standard": 0.00015,
        },
    ),
    (
        {"model": "Qwen3 Coder Next", "provider": "Qwen"},
        {"qwen.qwen3-coder-next-input-tokens": 0.0005, "qwen.qwen3-coder-next-output-tokens": 0.0012},
    ),
    ({"titanModel": "Titan Image Generator G1 V2", "provider": "Amazon"}, {"TitanImageGeneratorG1V2-T2I-1024": 0.01}),
    ({"model": "Jamba 9", "provider": "AI21 Labs"}, {"Jamba9-input-tokens": 0.002, "Jamba9-output-tokens": 0.008}),
)
# The name of a model, and its prices by meter. `AmazonBedrockFoundationModels` names the model in `servicename`.
_MARKETPLACE: tuple[tuple[str, dict[str, float]], ...] = (
    (
        _CLAUDE.format("Claude Haiku 4.5"),
        {
            "InputTokenCount": 1.1,
            "OutputTokenCount": 5.5,
            "InputTokenCount_Global": 1.0,
            "OutputTokenCount_Global": 5.0,
            "InputTokenCount_Global_Batch": 0.5,
            "OutputTokenCount_Global_Batch": 2.5,
            "CacheReadInputTokenCount": 0.11,
            "CacheWriteInputTokenCount": 1.375,
            "CacheWrite1hInputTokenCount": 2.2,
            "Reserved_1Month_InputTPM_Global": 0.18,
        },
    ),
    (
        _CLAUDE.format("Claude Sonnet 5.5"),
        {
            "input_tokens_standard": 2.2,
            "output_tokens_standard": 11.0,
            "input_tokens_global_standard": 2.0,
            "output_tokens_global_standard": 10.0,
            "cache_read_tokens_global_standard": 0.1,
            "cache_write_tokens_global_standard": 2.5,
            "cache_write_tokens_1h_global_standard": 4.0,
        },
    ),
)


def get_products(request: Request) -> Response:
    """GetProducts: the products of an offer in one region, at most `MaxResults` of them in a page."""
    asked = load_json(request.body)
    offer = asked.get("ServiceCode")
    wanted = {entry["Field"]: entry["Value"] for entry in asked.get("Filters", [])}
    region = wanted.get("regionCode", "us-east-1")
    products = list(_products(offer, region))
    start, size = int(asked.get("NextToken") or 0), min(asked.get("MaxResults") or 100, 100)
    page: dict[str, Any] = {
        "FormatVersion": "aws_v1",
        "PriceList": [dump_json(product).decode() for product in products[start : start + size]],
    }
    if start + size < len(products):
        page["NextToken"] = str(start + size)
    return Response(200, {"Content-Type": "application/x-amz-json-1.1"}, dump_json(page))


def _products(offer: str, region: str) -> Iterator[dict[str, Any]]:
    code = _code_of(region)
    if offer == "AmazonBedrock":
        for attributes, prices in _OWN:
            for meter, usd in prices.items():
                yield _product(offer, region, {**attributes, "usagetype": f"{code}-{meter}"}, _THOUSAND, usd)
    elif offer == "AmazonBedrockFoundationModels":
        for name, prices in _MARKETPLACE:
            for meter, usd in prices.items():
                usage_type = f"{code}-MP:{code}_{meter}-Units"
                yield _product(offer, region, {"servicename": name, "usagetype": usage_type}, _MILLION, usd)


def _product(offer: str, region: str, attributes: dict[str, str], unit: str, usd: float) -> dict[str, Any]:
    dimension = {"unit": unit, "pricePerUnit": {"USD": f"{usd:.10f}"}, "description": f"{usd} USD per {unit}"}
    return {
        "product": {
            "productFamily": "Amazon Bedrock",
            "attributes": {"regionCode": region, "servicecode": offer, **attributes},
        },
        "serviceCode": offer,
        "terms": {"OnDemand": {"TERM": {"priceDimensions": {"DIMENSION": dimension}, "termAttributes": {}}}},
    }


def _code_of(region: str) -> str:
    """Return the code of a region in usage types, such as USE1 (some of AWS's codes follow no rule)."""
    area, *direction, number = region.split("-")
    return f"{area}{''.join(word[0] for word in direction)}{number}".upper()
