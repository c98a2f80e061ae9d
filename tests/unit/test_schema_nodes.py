"""References and the place of null in a schema document."""

from __future__ import annotations

from typing import Any

import pytest

from bedrock_batch.errors import InputError
from bedrock_batch.schema_nodes import allow_null_for_optional, refuse_external_references, resolve

ROOT: dict[str, Any] = {"$defs": {"a/b": {"type": "string"}, "c": {"$ref": "#/$defs/a~1b"}, "d": {"$ref": "#/$defs/d"}}}


def test_a_chain_of_references_is_followed_and_own_keywords_win() -> None:
    """Descriptions and limits beside a reference would be lost."""
    node, trail = resolve({"$ref": "#/$defs/c", "title": "t"}, ROOT, ())
    assert node == {"type": "string", "title": "t"}
    assert trail == ("#/$defs/c", "#/$defs/a~1b")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("#/$defs/d", "recursive"),
        ("#", "recursive"),
        ("#/$defs/x", "leads nowhere"),
        ("#/$defs/c/x", "leads nowhere"),
        ("#name", "not supported"),
    ],
)
def test_a_reference_without_an_end_is_an_input_error(reference: str, message: str) -> None:
    """The start of the run would hang or end in a traceback."""
    with pytest.raises(InputError, match=message):
        resolve({"$ref": reference}, ROOT, ())


def test_references_out_of_the_document_are_refused_wherever_they_stand() -> None:
    """The referee of an old version would fetch them from the network."""
    with pytest.raises(InputError, match="leads out"):
        refuse_external_references({"not": {"anyOf": [{"$ref": "other.json"}]}})
    with pytest.raises(InputError, match="dynamicRef"):
        refuse_external_references({"$dynamicRef": "https://x.invalid"})


def test_a_field_or_a_value_called_ref_is_no_reference() -> None:
    """A field of that name would make the schema unusable."""
    refuse_external_references(
        {"properties": {"$ref": {"type": "string"}}, "enum": [{"$ref": "x"}], "const": {"$ref": "x"}}
    )


@pytest.mark.parametrize(
    ("part", "relaxed"),
    [
        ({"type": "string", "minLength": 1}, {"type": ["string", "null"], "minLength": 1}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"enum": ["x"]}, {"enum": ["x", None]}),
        ({"const": 1}, {"enum": [1, None]}),
        ({"$ref": "#/x"}, {"anyOf": [{"$ref": "#/x"}, {"type": "null"}]}),
        ({"not": {}}, {"anyOf": [{"not": {}}, {"type": "null"}]}),
        (True, True),
    ],
)
def test_optional_properties_accept_null_at_every_depth(part: Any, relaxed: Any) -> None:
    """Models write null for what they leave out; the row would be refused for it."""
    schema = {"properties": {"o": part, "r": part}, "required": ["r"]}
    expected = {"properties": {"o": relaxed, "r": part}, "required": ["r"]}
    assert allow_null_for_optional(schema) == expected
    assert allow_null_for_optional({"items": schema, "$defs": {"k": schema}, "anyOf": [schema]}) == {
        "items": expected,
        "$defs": {"k": expected},
        "anyOf": [expected],
    }
