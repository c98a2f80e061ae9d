"""An update of the prices: read from the price list over HTTP, written to a file, and used from there."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from bedrock_batch.aws.price_list import ListedPrice
from bedrock_batch.costs.__main__ import main
from bedrock_batch.costs.price_update import known_names, update_prices
from bedrock_batch.costs.prices import PriceBook, bundled_table, find_stale_prices
from bedrock_batch.environment.references import prices_of, resolve_texts
from bedrock_batch.environment.settings import load_settings
from local_bedrock import LocalBedrock

TODAY = date(2026, 11, 27)
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"


def test_the_file_of_an_update_gives_the_prices_of_the_region(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user would pay prices that neither the table nor the updated file knows, and not learn what is missing."""
    with LocalBedrock() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        assert main(["--update", str(tmp_path / "prices.json")], server.environment, TODAY) == 0
    shown = capsys.readouterr().out
    assert "Jamba 9: 2 price(s)" in shown
    assert "NovaPro-latency-optimized-input-tokens" in shown
    environ = {"BEDROCK_PRIMARY_MODEL_ID": HAIKU, "BEDROCK_PRICES": "file:prices.json"}
    settings = resolve_texts(load_settings(environ)[0], tmp_path, lambda _: b"")
    book = PriceBook(prices_of(settings))
    found = {name: book.find(name) for name in (HAIKU, f"us.{HAIKU}", f"global.{HAIKU}", "amazon.nova-pro-v1:0")}
    prices = {name: price and (price.input, price.output, price.cache_read) for name, price in found.items()}
    assert prices == {
        HAIKU: (1.1, 5.5, 0.11),
        f"us.{HAIKU}": (1.1, 5.5, 0.11),
        f"global.{HAIKU}": (1.0, 5.0, None),
        "amazon.nova-pro-v1:0": (0.8, 3.2, 0.2),
    }
    assert found[HAIKU] is not None
    assert found[HAIKU].origin == "BEDROCK_PRICES of 2026-11-27"


def test_a_list_that_cannot_be_read_leaves_the_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failed update would leave a run without any price."""
    place = tmp_path / "prices.json"
    place.write_text("{}")
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    assert main(["--update", str(place)], {}, TODAY) == 2
    assert "--region REGION" in capsys.readouterr().err
    assert place.read_text() == "{}"


def test_two_prices_for_one_thing_are_none() -> None:
    """The order of the list would decide which of two prices a run is told."""
    listed = [
        ListedPrice("AmazonBedrock", ("Nova Pro",), f"USE1-{code}-{kind}-tokens", "1K tokens", usd)
        for code, usd in (("NovaPro", 0.001), ("Nova-Pro", 0.002))
        for kind in ("input", "output")
    ]
    update = update_prices(listed, "2026-11-27")
    assert (update.prices, update.ambiguous) == ({}, {"amazon.nova-pro"})


def test_a_unit_that_is_not_known_gives_no_price() -> None:
    """A price per thousand tokens would be taken for one per million, or the other way round."""
    listed = [ListedPrice("AmazonBedrock", ("Nova Pro",), "USE1-NovaPro-input-tokens", "Units", 1.0)]
    update = update_prices(listed, "2026-11-27")
    assert not update.prices
    assert list(update.unread) == ["NovaPro-input-tokens"]


def test_names_that_look_alike_name_no_model() -> None:
    """The price of a model would go to another one whose name has the same letters."""
    assert known_names()["novapro"] == "amazon.nova-pro"
    assert len(set(known_names().values())) <= len(known_names())


@pytest.mark.parametrize(("age", "warns"), [(90, False), (91, True)])
def test_a_price_is_stale_after_ninety_days(age: int, warns: bool) -> None:
    """A plan would tell a price of last year as if it were today's."""
    read = date.fromisoformat(str(bundled_table()["date"]))
    book = PriceBook({"x.mine": {"input": 1.0, "output": 2.0}})
    stale = find_stale_prices(book, [HAIKU, "x.mine", "x.unknown"], date.fromordinal(read.toordinal() + age))
    assert len(stale) == warns
    assert all("is 91 days old" in text and "--update" in text for text in stale)


def test_each_row_of_the_table_says_where_it_comes_from() -> None:
    """A reader could not check a price, nor tell how old it is."""
    table = bundled_table()
    for name, row in table["models"].items():
        assert date.fromisoformat(row["date"]) <= date.fromisoformat(table["date"]), name
        assert all(part.rpartition(" ")[2] in table["sources"] for part in row["source"].split("; ")), name


@pytest.mark.parametrize("name", sorted(bundled_table()["models"]))
def test_tiers_and_caches_of_the_table_are_plausible(name: str) -> None:
    """A typing error in the table would tell a saving as a cost."""
    row = bundled_table()["models"][name]
    for kind in ("input", "output"):
        assert row.get(f"flex_{kind}", 0) < row[kind] < row.get(f"priority_{kind}", 1e9)
    assert row.get("cache_read", 0) < row["input"] <= row.get("cache_write", 1e9) <= row.get("cache_write_1h", 1e9)
    assert json.dumps(row)
