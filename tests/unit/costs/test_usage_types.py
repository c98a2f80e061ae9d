"""The usage types of AWS's price list: what each form counts, and which are none of a run's."""

from __future__ import annotations

import pytest

from bedrock_batch.costs.usage_types import Meter, counts_tokens, read_usage_type


@pytest.mark.parametrize(
    ("usage_type", "expected"),
    [
        ("USE1-NovaPro-input-tokens", Meter("NovaPro", "input", False)),
        ("EU-NovaPro-output-tokens-batch", Meter("NovaPro", "batch_output", False)),
        ("USE1-Nova2.0Lite-input-tokens-flex-cross-region-global", Meter("Nova2.0Lite", "flex_input", True)),
        ("USE1-Nova2.0Lite-input-tokens-cross-region-global-batch", Meter("Nova2.0Lite", "batch_input", True)),
        ("USE1-gpt-oss-120b-output-tokens-priority", Meter("gpt-oss-120b", "priority_output", False)),
        ("USE1-NovaPro-cache-read-input-token-count", Meter("NovaPro", "cache_read", False)),
        ("USE1-Claude4.6Sonnet-cache-write-input-token-count", Meter("Claude4.6Sonnet", "cache_write", False)),
        ("USE1-MP:USE1_InputTokenCount-Units", Meter("", "input", False)),
        ("USW2-MP:USW2_OutputTokenCount_Global_Batch-Units", Meter("", "batch_output", True)),
        ("USE1-MP:USE1_CacheReadInputTokenCount-Units", Meter("", "cache_read", False)),
        ("USE1-MP:USE1_CacheWrite1hInputTokenCount_Global-Units", Meter("", "cache_write_1h", True)),
        ("USE1-MP:USE1_cache_write_tokens_1h_global_standard-Units", Meter("", "cache_write_1h", True)),
        ("USE1-MP:USE1_cache_write_tokens_standard-Units", Meter("", "cache_write", False)),
        ("USE1-MP:USE1_input_tokens_global_standard-Units", Meter("", "input", True)),
        ("USE1-MP:USE1_output_tokens_batch-Units", Meter("", "batch_output", False)),
    ],
)
def test_each_form_of_aws_is_read(usage_type: str, expected: Meter) -> None:
    """A model would be priced by another tier, or by its cache, after an update."""
    assert read_usage_type(usage_type) == expected


@pytest.mark.parametrize(
    "usage_type",
    [
        "USE1-NovaPro-latency-optimized-input-tokens",
        "USE1-NovaLite-input-tokens-custom-model",
        "USE1-openai.gpt-oss-120b-mantle-input-tokens-standard",
        "USE1-Claude4Sonnet-cache-read-input-token-count-long-context-cross-region-global",
        "USE1-MP:USE1_InputTokenCount_LCtx_Global-Units",
        "USE1-MP:USE1_Reserved_1Month_InputTPM_Global-Units",
        "USE1-NovaCanvas-T2I-1024-Standard",
    ],
)
def test_a_price_that_no_run_pays_is_not_read(usage_type: str) -> None:
    """The price of another product of the same model would become the model's price."""
    assert read_usage_type(usage_type) is None


def test_prices_of_images_and_hours_are_no_prices_of_tokens() -> None:
    """The list of what an update left out would be hundreds of lines that concern nobody."""
    assert not any(
        map(counts_tokens, ("USE1-NovaCanvas-T2I-1024-Standard", "USE1-MP:USE1_Reserved_1Month_InputTPM-Units"))
    )
    assert counts_tokens("USE1-NovaLite-input-tokens-custom-model")
