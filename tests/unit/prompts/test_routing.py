"""Routing: from the names in a cell to the text of the rules, and what is counted on the way."""

from __future__ import annotations

import pytest

from bedrock_batch.prompts.routing import NO_RULES, RoutedRules, RoutingCounts, selected_names

RULES = [{"rule_name": "a"}, {"rule_name": "b", "description": "B"}, {"rule_name": "c, d"}]


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        pytest.param(None, (), id="null"),
        pytest.param("", (), id="empty"),
        pytest.param(" , ,", (), id="commas-only"),
        pytest.param("[]", (), id="empty-list"),
        pytest.param("a", ("a",), id="one"),
        pytest.param(" b ,a", ("b", "a"), id="commas"),
        pytest.param('["b", "a"]', ("b", "a"), id="json"),
        pytest.param('["b", null, " ", 3, "b"]', ("b", "3"), id="odd-items"),
        pytest.param("c, d", ("c, d",), id="a-name-with-a-comma"),
        pytest.param('["c, d", "a"]', ("c, d", "a"), id="a-name-with-a-comma-in-a-list"),
        pytest.param("a, a, b", ("a", "b"), id="repeated"),
        pytest.param("[a]", ("[a]",), id="no-json"),
        pytest.param("[" * 100_000, ("[" * 100_000,), id="deep"),
    ],
)
def test_the_names_of_a_cell(cell: str | None, names: tuple[str, ...]) -> None:
    """A record would be shown no rule, a rule twice, or rules in another order than it was routed."""
    assert selected_names(cell, {rule["rule_name"] for rule in RULES}) == names


def test_each_row_gets_its_own_rules() -> None:
    """A record would be classified by the rules of another."""
    rules = RoutedRules(RULES, "column")
    assert rules.texts(["a", "b,a", None, "x", "a"]) == [
        "### a",
        "### b\nDescription: B\n\n### a",
        NO_RULES,
        "### x\nThere is no rule of this name in the rule set.",
        "### a",
    ]


def test_what_was_routed_is_counted() -> None:
    """A routing step that names other rules than the file holds would never be noticed."""
    rules = RoutedRules(RULES, "column")
    rules.texts(["a", "x, y, a", "[]"])
    rules.texts(["x"])
    assert rules.counts == RoutingCounts(4, 1, 2, 3)
    assert rules.fresh().counts == RoutingCounts()
    assert rules.fresh().texts(["b"]) == rules.texts(["b"])
    assert rules.counts.records == 5


def test_a_long_unknown_name_is_shortened() -> None:
    """A cell that holds something else than names would fill the prompt."""
    (text,) = RoutedRules(RULES, "column").texts(["x" * 100_000])
    assert len(text) < 300


def test_many_different_selections_stay_few_in_memory() -> None:
    """A data set in which every row names rules of its own would fill the memory with their texts."""
    rules = RoutedRules(RULES, "column")
    rules.texts([f"a,{number}" for number in range(10_000)])
    assert rules._select.cache_info().currsize < 10_000
