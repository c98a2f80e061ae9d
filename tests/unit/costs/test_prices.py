"""Prices: found by any name of a model, overridden by the user, and applied by mode."""

from __future__ import annotations

from datetime import date

import pytest

from bedrock_batch.costs.prices import PriceBook, bundled_table

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc123"


@pytest.mark.parametrize(
    ("model_id", "expected"),
    [
        pytest.param(SONNET, (3.0, 15.0, 1.5, 7.5), id="bare"),
        pytest.param(f"global.{SONNET}", (3.0, 15.0, 1.5, 7.5), id="global"),
        pytest.param(f"us.{SONNET}", (3.3, 16.5, 1.65, 8.25), id="geography"),
        pytest.param(
            f"arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.{SONNET}",
            (3.3, 16.5, 1.65, 8.25),
            id="profile-arn",
        ),
        pytest.param(
            f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}", (3.0, 15.0, 1.5, 7.5), id="foundation-model-arn"
        ),
        pytest.param("us.amazon.nova-lite-v1:0", (0.06, 0.24, 0.03, 0.12), id="no-geographic-price"),
        pytest.param("openai.gpt-oss-120b-1:0", (0.15, 0.6, 0.075, 0.3), id="version-in-the-name"),
    ],
)
def test_a_model_is_found_by_any_of_its_names(model_id: str, expected: tuple[float, ...]) -> None:
    """The price of another model, or none, would determine plan and limit of a run."""
    price = PriceBook({}).find(model_id)
    assert price is not None
    assert (price.input, price.output, price.batch_input, price.batch_output) == pytest.approx(expected)


@pytest.mark.parametrize("model_id", ["anthropic.claude-sonnet-9", "anthropic.claude-sonnet-4-50", "x.y", PROFILE])
def test_an_unknown_model_has_no_price(model_id: str) -> None:
    """The plan would show a guess as a price."""
    assert PriceBook({}).find(model_id) is None


def test_a_hidden_model_is_priced_by_the_primary_model() -> None:
    """The cost of every run through an application inference profile would be unknown."""
    book = PriceBook({}, {PROFILE: SONNET})
    assert book.find(PROFILE) == PriceBook({}).find(SONNET)


@pytest.mark.parametrize("name", [f"us.{SONNET}", SONNET, "anthropic.claude-sonnet-4-5"])
def test_the_users_prices_win(name: str) -> None:
    """A user's negotiated price would be ignored."""
    price = PriceBook({name: {"input": 1.0, "output": 2.0}}).find(f"us.{SONNET}")
    assert price is not None
    assert (price.input, price.batch_output, price.origin) == (1.0, 1.0, "BEDROCK_PRICES")
    assert price.batch_assumed


def test_costs_are_those_of_the_mode_and_of_long_requests() -> None:
    """Batch would have the real-time price, or a request above the context tier the lower price."""
    price = PriceBook({}).find(SONNET)
    assert price is not None
    assert price.cost("realtime", 1_000_000, 1_000_000) == pytest.approx(18.0)
    assert price.cost("batch", 1_000_000, 1_000_000) == pytest.approx(9.0)
    assert price.cost("realtime", 200_000, 0, request=True) == pytest.approx(0.6)
    assert price.cost("realtime", 200_001, 0, request=True) == pytest.approx(1.2, rel=1e-4)


@pytest.mark.parametrize("name", sorted(bundled_table()["models"]))
def test_every_row_of_the_table_is_a_price(name: str) -> None:
    """A typing error in the table would multiply a user's estimate."""
    price = PriceBook({}).find(name)
    assert price is not None
    assert 0 < price.batch_input < price.input < 100
    assert 0 < price.batch_output < price.output < 100
    assert price.batch_output == pytest.approx(price.output / 2)


def test_the_table_has_a_date() -> None:
    """A reader could not tell how old the prices are."""
    assert date.fromisoformat(PriceBook({}).date) <= date.max
