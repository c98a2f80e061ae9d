"""Laws of rendering: one pass, nothing but placeholders touched, no text from a row read as a template."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bedrock_batch.prompts import PromptTemplate, truncate_text

NAMES = ["a", "b", "a b", "x.y"]
LITERALS = st.text(alphabet='xyz \n"%$\\\ud800{}:1', max_size=12)
VALUES = st.text(alphabet="ab{} \n%s{a}$\\", max_size=12)
ROWS = st.fixed_dictionaries({name: st.none() | VALUES for name in NAMES})


def pieces_to_template(pieces: list[tuple[str, str]], tail: str) -> str:
    return "".join(literal + "{" + name + "}" for literal, name in pieces) + tail


# Literals that cannot form a placeholder with their neighbours: no braces.
SAFE_LITERALS = st.text(alphabet='xyz \n"%$\\:1', max_size=12)
PIECES = st.lists(st.tuples(SAFE_LITERALS, st.sampled_from(NAMES)), max_size=6)


@given(PIECES, SAFE_LITERALS, ROWS)
def test_a_prompt_is_its_literals_with_the_values_between(
    pieces: list[tuple[str, str]], tail: str, row: dict[str, str | None]
) -> None:
    """A value with braces in it would be expanded again: one row's text could pull in another field."""
    prompt = PromptTemplate(pieces_to_template(pieces, tail), NAMES).render(row)
    assert prompt == "".join(literal + (row[name] or "") for literal, name in pieces) + tail


@given(LITERALS)
def test_text_without_the_given_placeholders_is_untouched(template: str) -> None:
    """JSON examples in a template would be damaged."""
    assert PromptTemplate(template, ["never"]).render({"never": "X", "x": "Y"}) == template


@given(PIECES, SAFE_LITERALS, st.lists(ROWS, max_size=5))
def test_many_rows_are_rendered_as_each_one_alone(
    pieces: list[tuple[str, str]], tail: str, rows: list[dict[str, str | None]]
) -> None:
    """Batch and real time would ask the same row differently."""
    template = PromptTemplate(pieces_to_template(pieces, tail), NAMES, max_field_length=9)
    columns = {name: [row[name] for row in rows] for name in NAMES}
    assert template.render_rows(columns, len(rows)) == [template.render(row) for row in rows]


@given(PIECES, SAFE_LITERALS, st.sets(st.sampled_from(NAMES)))
def test_missing_columns_are_exactly_the_unmet_placeholders(
    pieces: list[tuple[str, str]], tail: str, columns: set[str]
) -> None:
    """A warning about a column would be wrong or absent."""
    template = PromptTemplate(pieces_to_template(pieces, tail), NAMES)
    assert set(template.missing(columns)) == {name for _, name in pieces} - columns


@given(st.text(max_size=60), st.integers(min_value=0, max_value=60))
def test_truncation_keeps_to_the_limit_and_leaves_short_texts_alone(text: str, limit: int) -> None:
    """A field above the limit makes the service refuse the record."""
    cut = truncate_text(text, limit)
    assert len(cut) <= limit
    assert cut == text or len(text) > limit
