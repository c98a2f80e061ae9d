"""Laws of rendering: one pass replaces placeholders only, and never reads text of a row as a template."""

from __future__ import annotations

import json

from hypothesis import assume, given
from hypothesis import strategies as st

from bedrock_batch.prompts.routing import NO_RULES, RoutedRules, selected_names
from bedrock_batch.prompts.template import ROUTED_RULES, PromptTemplate, truncate_text

NAMES = ["a", "b", "a b", "x.y"]
LITERALS = st.text(alphabet='xyz \n"%$\\\ud800{}:1', max_size=12)
VALUES = st.text(alphabet="ab{} \n%s{a}$\\", max_size=12)
ROWS = st.fixed_dictionaries({name: st.none() | VALUES for name in NAMES})


def pieces_to_template(pieces: list[tuple[str, str]], tail: str) -> str:
    return "".join(literal + "{" + name + "}" for literal, name in pieces) + tail


# Literals without braces, which cannot form a placeholder with their neighbours.
SAFE_LITERALS = st.text(alphabet='xyz \n"%$\\:1', max_size=12)
PIECES = st.lists(st.tuples(SAFE_LITERALS, st.sampled_from(NAMES)), max_size=6)


@given(PIECES, SAFE_LITERALS, ROWS)
def test_a_prompt_is_its_literals_with_the_values_between(
    pieces: list[tuple[str, str]], tail: str, row: dict[str, str | None]
) -> None:
    """A value with braces would be expanded again, so text of a row could insert another field."""
    prompt = PromptTemplate(pieces_to_template(pieces, tail), NAMES).render(row)
    assert prompt == "".join(literal + (row[name] or "") for literal, name in pieces) + tail


@given(LITERALS)
def test_text_without_the_given_placeholders_is_untouched(template: str) -> None:
    """Rendering would damage JSON examples in a template."""
    assert PromptTemplate(template, ["never"]).render({"never": "X", "x": "Y"}) == template


@given(PIECES, SAFE_LITERALS, st.lists(ROWS, max_size=5))
def test_many_rows_are_rendered_as_each_one_alone(
    pieces: list[tuple[str, str]], tail: str, rows: list[dict[str, str | None]]
) -> None:
    """Batch and real time would render the same row differently."""
    template = PromptTemplate(pieces_to_template(pieces, tail), NAMES, max_field_length=9)
    columns = {name: [row[name] for row in rows] for name in NAMES}
    assert template.render_rows(columns, len(rows)) == [template.render(row) for row in rows]


@given(PIECES, SAFE_LITERALS, st.sets(st.sampled_from(NAMES)))
def test_missing_columns_are_exactly_the_unmet_placeholders(
    pieces: list[tuple[str, str]], tail: str, columns: set[str]
) -> None:
    """A warning about a missing column would be wrong or absent."""
    template = PromptTemplate(pieces_to_template(pieces, tail), NAMES)
    assert set(template.missing(columns)) == {name for _, name in pieces} - columns


@given(st.text(max_size=60), st.integers(min_value=0, max_value=60))
def test_truncation_keeps_to_the_limit_and_leaves_short_texts_alone(text: str, limit: int) -> None:
    """The service would refuse a record with a field above the limit."""
    cut = truncate_text(text, limit)
    assert len(cut) <= limit
    assert cut == text or len(text) > limit


RULE_NAMES = st.text(alphabet='ab{},[]" ', min_size=1, max_size=6).map(str.strip).filter(bool)
SLOTTED = st.lists(st.tuples(SAFE_LITERALS, st.sampled_from([*NAMES, ROUTED_RULES])), max_size=6)


@given(SLOTTED, SAFE_LITERALS, ROWS, st.dictionaries(RULE_NAMES, VALUES, min_size=1, max_size=3), st.data())
def test_routed_rules_stand_as_they_are_written(
    pieces: list[tuple[str, str]],
    tail: str,
    row: dict[str, str | None],
    descriptions: dict[str, str],
    data: st.DataObject,
) -> None:
    """Braces in a rule would insert text of the row, or text of a row would insert rules that it does not name."""
    rules = [{"rule_name": name, "description": text} for name, text in descriptions.items()]
    names = data.draw(st.lists(st.sampled_from(sorted(descriptions)), unique=True))
    routed = json.dumps(names)
    assume(routed not in descriptions)  # the name of a rule comes before a list of names
    template = PromptTemplate(pieces_to_template(pieces, tail), NAMES, rules=RoutedRules(rules, "rules"))
    prompt = template.render({**row, "rules": routed})
    shown = "\n\n".join(f"### {name}\nDescription: {descriptions[name]}" for name in names) or NO_RULES
    values = {**{name: value or "" for name, value in row.items()}, ROUTED_RULES: shown}
    in_front = "" if any(name == ROUTED_RULES for _, name in pieces) else f"{shown}\n\n"
    assert prompt == in_front + "".join(literal + values[name] for literal, name in pieces) + tail


@given(st.none() | st.text(alphabet='ab,[]"\\ \n{}', max_size=30), st.sets(RULE_NAMES, max_size=3))
def test_any_cell_names_each_rule_once(cell: str | None, known: set[str]) -> None:
    """One unusual cell would end the run, or a rule would be shown twice."""
    names = selected_names(cell, known)
    assert len(set(names)) == len(names)
    assert all(name and name == name.strip() for name in names)
