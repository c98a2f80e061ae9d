"""Templates: rendering, truncation, and the text of a cell."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.prompts.routing import RoutedRules
from bedrock_batch.prompts.template import (
    TRUNCATION_MARKER,
    FieldTruncation,
    PromptTemplate,
    cell_text,
    made_template,
    template_of,
    text_column,
    truncate_text,
)


@pytest.mark.parametrize(
    ("template", "names", "prompt"),
    [
        pytest.param("{a}-{b}-{a}", ["a", "b"], "{b}-B-{b}", id="row-text-is-no-template"),
        pytest.param('{a} {"x": 1} {} {{a}}', ["a"], '{b} {"x": 1} {} {{b}}', id="other-braces-stay"),
        pytest.param("{a} {b}", ["a"], "{b} {b}", id="only-the-given-names"),
        pytest.param("{a} {b} {0} {a b}", None, "{b} B {0} {a b}", id="identifiers-by-default"),
        pytest.param("{a} {b}", [], "{b} B", id="an-empty-list-is-no-list"),
        pytest.param("{c d.e}", ["c d.e"], "X", id="names-that-are-no-identifiers"),
        pytest.param("{none}|{absent}", None, "|[Missing: absent]", id="null-and-absent"),
        pytest.param("plain", ["a"], "plain", id="no-placeholder"),
        pytest.param("", None, "", id="empty"),
    ],
)
def test_rendering(template: str, names: list[str] | None, prompt: str) -> None:
    """The model would be asked something else than the template says."""
    row = {"a": "{b}", "b": "B", "c d.e": "X", "none": None}
    assert PromptTemplate(template, names).render(row) == prompt


def test_rows_are_rendered_in_order() -> None:
    """A row would get the answer to another row's prompt."""
    template = PromptTemplate("{a}{b}")
    assert template.render_rows({"a": ["1", "2", None], "b": ["x", "", "z"]}, 3) == ["1x", "2", "z"]
    assert template.render_rows({}, 2) == ["[Missing: a][Missing: b]"] * 2
    assert template.render_rows({"a": [], "b": []}, 0) == []


def test_a_column_of_another_length_is_refused() -> None:
    """Rows would silently be lost or shifted."""
    with pytest.raises(ValueError):
        PromptTemplate("{a}").render_rows({"a": ["1"]}, 2)


def test_missing_and_unused_placeholders_are_told() -> None:
    """The warning about a misspelt column depends on them."""
    template = PromptTemplate("{a} {b} {a}", ["b", "a", "c"])
    assert template.placeholders == ("a", "b")
    assert template.missing(["b", "x"]) == ("a",)
    assert template.unused == ("c",)


def test_long_fields_are_cut_to_the_limit_and_counted() -> None:
    """One overlong cell would make the whole record fail, and the user would not know that text was cut."""
    template = PromptTemplate("{a}|{b}", max_field_length=20)
    prompts = template.render_rows({"a": ["x" * 30, "y" * 20, "z" * 21], "b": ["w" * 25, None, ""]}, 3)
    assert prompts[0] == "xxxxx" + TRUNCATION_MARKER + "|" + "wwwww" + TRUNCATION_MARKER
    assert prompts[1] == "y" * 20 + "|"
    assert template.truncation.records == 2
    assert template.truncation.fields == {
        "a": FieldTruncation(records=2, characters_removed=11, longest=30),
        "b": FieldTruncation(records=1, characters_removed=5, longest=25),
    }


def test_truncation_can_be_turned_off() -> None:
    """The setting would have no effect."""
    template = PromptTemplate("{a}", max_field_length=5, truncation_enabled=False)
    assert template.render({"a": "x" * 50}) == "x" * 50
    assert template.truncation.records == 0


@pytest.mark.parametrize("limit", [0, 3, 15, 16])
def test_a_cut_text_never_exceeds_the_limit(limit: int) -> None:
    """A limit shorter than the marker would be exceeded by the marker."""
    assert len(truncate_text("x" * 50, limit)) == limit


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (float("nan"), None),
        (np.float32("nan"), None),
        (decimal.Decimal("NaN"), None),
        (pd.NaT, None),
        (pd.NA, None),
        ("", ""),
        ("NA", "NA"),
        (True, "True"),
        (0, "0"),
        (1.5, "1.5"),
        (np.int64(7), "7"),
        (decimal.Decimal("1.50"), "1.50"),
        (datetime.date(2024, 5, 1), "2024-05-01"),
        (b"\xc3\xa4\xff", "ä\ufffd"),
        ({"k": [1, None, float("nan"), "ä"]}, '{"k": [1, null, null, "ä"]}'),
        ([datetime.date(2024, 5, 1), True], '["2024-05-01", true]'),
        (np.array([1, 2]), "[1, 2]"),
        (np.array([[1.5], [float("nan")]]), "[[1.5], [null]]"),
    ],
    ids=repr,
)
def test_the_text_of_a_cell(value: Any, text: str | None) -> None:
    """`nan`, `<NA>` or a Python repr would stand in the prompt."""
    assert cell_text(value) == text


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        pytest.param(pa.array(["a", None]), ["a", None], id="string"),
        pytest.param(pa.array(["a", None], pa.large_string()), ["a", None], id="large-string"),
        pytest.param(pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"], id="dictionary"),
        pytest.param(pa.chunked_array([["a"], ["b"]]), ["a", "b"], id="chunked"),
        pytest.param(pa.array([1, None]), ["1", None], id="integer"),
        pytest.param(pa.array([1.5, float("nan"), None]), ["1.5", None, None], id="double"),
        pytest.param(pa.array([[1, 2], None]), ["[1, 2]", None], id="list"),
        pytest.param(pa.array([datetime.date(2024, 5, 1)]), ["2024-05-01"], id="date"),
        pytest.param(pa.array([None, None]), [None, None], id="null"),
        (pa.array([10**12], pa.timestamp("s")), ["33658-09-27 01:46:40"]),
        (pa.array([[10**7]], pa.list_(pa.date32())), ['["29349-01-26"]']),
    ],
)
def test_a_column_becomes_text(array: pa.Array, texts: list[str | None]) -> None:
    """Parquet columns of other types than text would not reach the prompt."""
    assert text_column(array) == texts


def routed(template: str, names: list[str] | None = None) -> PromptTemplate:
    rules = RoutedRules([{"rule_name": "r", "description": "{a} {routed_rules}"}], "names")
    return PromptTemplate(template, names, rules=rules)


@pytest.mark.parametrize(
    ("template", "names", "prompt"),
    [
        pytest.param("{routed_rules}|{a}", None, "### r\nDescription: {a} {routed_rules}|{routed_rules}", id="slot"),
        pytest.param("{routed_rules}|{a}", ["a"], "### r\nDescription: {a} {routed_rules}|{routed_rules}", id="listed"),
        pytest.param("{a}|{names}", None, "### r\nDescription: {a} {routed_rules}\n\n{routed_rules}|r", id="in-front"),
        pytest.param("x", ["a"], "### r\nDescription: {a} {routed_rules}\n\nx", id="no-placeholder"),
    ],
)
def test_rules_are_put_in_and_not_expanded(template: str, names: list[str] | None, prompt: str) -> None:
    """Text of a row would be read as a template, or a rule's braces filled with text of the row."""
    assert routed(template, names).render({"a": "{routed_rules}", "names": "r"}) == prompt


def test_rows_without_the_column_of_rules() -> None:
    """A file without the column would end the run, or nobody would learn of it."""
    with_slot, without = routed("{routed_rules} {a}"), routed("{a}")
    assert with_slot.render({"a": "x"}) == "[Missing: names] x"
    assert (with_slot.missing(["a"]), with_slot.omits_rules(["a"])) == (("names",), False)
    assert without.render({"a": "x"}) == "x"
    assert (without.missing(["a"]), without.omits_rules(["a"])) == ((), True)
    assert without.rules is not None
    assert without.rules.counts.records == 0


def test_without_rules_the_slot_is_a_placeholder_as_any_other() -> None:
    """A column that happens to have this name would no longer be shown."""
    assert PromptTemplate("{routed_rules}").render({"routed_rules": "x"}) == "x"


def test_a_fresh_template_counts_anew() -> None:
    """A plan or an estimate would add its own counts to those of the run."""
    template = PromptTemplate("{a}", max_field_length=20, rules=RoutedRules([{"rule_name": "r"}], "names"))
    template.render({"a": "x" * 30, "names": "y"})
    fresh = template.fresh()
    assert (fresh.truncation.records, template.truncation.records) == (0, 1)
    assert fresh.rules is not None
    assert fresh.rules.counts.records == 0
    assert fresh.render({"a": "x", "names": "r"}) == template.render({"a": "x", "names": "r"})


def test_a_made_template_shows_the_rules_and_every_placeholder() -> None:
    """A rule set without a template would ask about rows that the model is not shown."""
    assert made_template(["b", "a", "b", "routed_rules"]) == "## Rules\n\n{routed_rules}\n\n## Record\n\nb: {b}\na: {a}"
    assert made_template([]) == "## Rules\n\n{routed_rules}"


@pytest.mark.parametrize(("text", "described"), [("", True), ("{routed_rules} {a}", False)])
def test_the_answer_is_described_where_no_template_does_it(text: str, described: bool) -> None:
    """A model that is shown rules alone does not know the fields of an answer, and every row would be invalid."""
    config = {"primary_model_id": "a.model", "system_prompt": "S", "user_prompt_template": text}
    settings = settings_from_mapping({**config, "rules": [{"name": "r"}]})
    template = template_of(settings, {"properties": {"k": {}}})
    assert template.system_prompt.startswith("S")
    assert ('{"properties": {"k": {}}}' in template.system_prompt) == described
    assert template_of(settings).system_prompt == "S"
