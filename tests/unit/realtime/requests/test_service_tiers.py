"""The choice of a service tier, and its price."""

from __future__ import annotations

import pytest

from bedrock_batch.costs.prices import Price, PriceBook
from bedrock_batch.environment.variables.realtime import ServiceTier
from bedrock_batch.families import UNKNOWN, Capabilities, capabilities_of
from bedrock_batch.realtime.requests.service_tiers import choose_tier
from bedrock_batch.records import Billing

OPEN = capabilities_of("openai.gpt-oss-120b-1:0")
CLAUDE = capabilities_of("anthropic.claude-sonnet-4-6")
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.mark.parametrize(
    ("wanted", "able", "nobody_waits", "expected"),
    [
        ("default", OPEN, True, None),
        ("flex", OPEN, False, "flex"),
        ("flex", CLAUDE, False, None),
        ("flex", UNKNOWN, False, "flex"),
        ("priority", OPEN, False, "priority"),
        ("reserved", CLAUDE, False, "reserved"),
        ("auto", OPEN, True, "flex"),
        ("auto", OPEN, False, None),
        ("auto", UNKNOWN, True, None),
        ("auto", CLAUDE, True, None),
    ],
)
def test_the_tier_follows_setting_and_model(
    wanted: ServiceTier, able: Capabilities, nobody_waits: bool, expected: str | None
) -> None:
    """A request would be refused for a tier that the model lacks, or pay for one that nobody asked for."""
    tier, reason = choose_tier(wanted, able, sdk_knows=True, nobody_waits=nobody_waits)
    assert tier == expected
    assert bool(reason) is (wanted in ("flex", "priority", "reserved") and expected is None)


def test_an_old_botocore_sends_no_tier_and_says_so() -> None:
    """botocore would refuse every request as invalid."""
    tier, reason = choose_tier("flex", OPEN, sdk_knows=False, nobody_waits=False)
    assert tier is None
    assert "botocore sends service tiers from 1.40.76 on" in reason
    assert choose_tier("auto", OPEN, sdk_knows=False, nobody_waits=True) == (None, "")


def price_of(model_id: str) -> Price:
    price = PriceBook({}).find(model_id)
    assert price is not None
    return price


def test_tiers_have_their_own_prices() -> None:
    """The cost of a run would be that of another tier."""
    nova = price_of("amazon.nova-pro-v1:0")
    assert (nova.in_tier("flex").input, nova.in_tier("flex").output, nova.in_tier("flex").cache_read) == (0.4, 1.6, 0.1)
    assert nova.in_tier("priority").cache_read == pytest.approx(0.35)
    assert nova.in_tier("default") == nova.in_tier("") == nova
    assert nova.in_tier("reserved").cost("realtime", 1000, 1000) == 0
    assert nova.in_tier("flex").batch_input == nova.batch_input
    assert price_of(SONNET).in_tier("flex") == price_of(SONNET)


def test_the_tokens_of_a_cache_have_their_own_prices() -> None:
    """A saving by the cache, or its price, would not be told."""
    sonnet = price_of(SONNET)
    used = Billing(cache_read=100_000, cache_write=10_000, cache_write_1h=1_000)
    expected = (1_000 * 3 + 100_000 * 0.3 + 10_000 * 3.75 + 1_000 * 6 + 500 * 15) / 1e6
    assert sonnet.cost_of_answer(112_000, 500, used) == pytest.approx(expected)
    assert sonnet.cost_of_answer(300_000, 0, Billing(cache_read=300_000)) == pytest.approx(0.3 * 0.6)
    llama = price_of("meta.llama3-3-70b-instruct-v1:0")
    assert llama.cost_of_answer(1_000, 0, Billing(cache_read=500)) == pytest.approx(llama.cost("realtime", 1_000, 0))
