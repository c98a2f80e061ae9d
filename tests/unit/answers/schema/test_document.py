"""References in a schema document, and null for optional properties."""

from __future__ import annotations

from typing import Any

import pytest

from bedrock_batch.answers.schema.document import allow_null_for_optional, refuse_external_references, resolve
from bedrock_batch.errors import InputError

ROOT: dict[str, Any] = {"$defs": {"a/b": {"type": "string"}, "c": {"$ref": "#/$defs/a~1b"}, "d": {"$ref": "#/$defs/d"}}}


def test_a_chain_of_references_is_followed_and_own_keywords_win() -> None:
    """Descriptions and limits next to a reference would be lost."""
    node, trail = resolve({"$ref": "#/$defs/c", "title": "t"}, ROOT, ())
    assert node == {"type": "string", "title": "t"}
    assert trail == ("#/$defs/c", "#/$defs/a~1b")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("#/$defs/d", "recursive"),
        ("#", "recursive"),
        ("#/$defs/x", "points to nothing"),
        ("#/$defs/c/x", "points to nothing"),
        ("#name", "not supported"),
    ],
)
def test_a_reference_without_an_end_is_an_input_error(reference: str, message: str) -> None:
    """The run would hang or end with a traceback."""
    with pytest.raises(InputError, match=message):
        resolve({"$ref": reference}, ROOT, ())


def test_references_out_of_the_document_are_refused_wherever_they_stand() -> None:
    """The validator would fetch the reference from the network."""
    with pytest.raises(InputError, match="refers out"):
        refuse_external_references({"not": {"anyOf": [{"$ref": "other.json"}]}})
    with pytest.raises(InputError, match="dynamicRef"):
        refuse_external_references({"$dynamicRef": "https://x.invalid"})


def test_a_field_or_a_value_called_ref_is_no_reference() -> None:
    """A schema with a field called `$ref` would be refused."""
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
    """A row would fail because models write null for a missing optional field."""
    schema = {"properties": {"o": part, "r": part}, "required": ["r"]}
    expected = {"properties": {"o": relaxed, "r": part}, "required": ["r"]}
    assert allow_null_for_optional(schema) == expected
    assert allow_null_for_optional({"items": schema, "$defs": {"k": schema}, "anyOf": [schema]}) == {
        "items": expected,
        "$defs": {"k": expected},
        "anyOf": [expected],
    }
