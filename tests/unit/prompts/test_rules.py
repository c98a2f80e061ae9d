"""Rules: what is read of them, how each stands in a prompt, and the schema that they stand for."""

from __future__ import annotations

from typing import Any

import pytest

from bedrock_batch.answers.schema.response_schema import ResponseSchema
from bedrock_batch.errors import InputError
from bedrock_batch.prompts.rules import category_schema, read_rules, rule_block


def rule(**fields: Any) -> dict[str, Any]:
    return {"rule_name": "a", **fields}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        pytest.param(rule(), rule(), id="name-alone"),
        pytest.param({"name": " a "}, rule(), id="other-name"),
        pytest.param({"rule_name": " ", "name": "a"}, rule(), id="empty-name-and-other-name"),
        pytest.param(rule(exceptions=["x"], exclusions=["y"]), rule(exclusions=["y", "x"]), id="both-lists"),
        pytest.param(rule(key_indicators=["x"]), rule(key_elements=["x"]), id="indicators"),
        pytest.param(rule(conditions="x"), rule(conditions=["x"]), id="text-for-a-list"),
        pytest.param(rule(examples=[{"in": "ü"}, 3, None, " "]), rule(examples=['{"in": "ü"}', "3"]), id="structures"),
        pytest.param(rule(description=" ", conditions=[], examples=None, priority=""), rule(), id="empty-fields"),
        pytest.param(rule(priority=0), rule(priority=0), id="priority-zero"),
        pytest.param(rule(owner="team", generated_at="12:00"), rule(), id="unknown-keys"),
    ],
)
def test_a_rule_is_read(given: dict[str, Any], read: dict[str, Any]) -> None:
    """A field of a rule would be lost, or a time stamp in it would be paid for."""
    assert read_rules([given], "prompts.json") == [read]
    assert read_rules([read], "BEDROCK_RULES") == [read]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (None, "rules must be a list"),
        ({}, "rules must be a list"),
        ([], "at least one rule"),
        ([rule(), "b"], r"rules\[1\]: a rule must be"),
        ([{"rule_name": 3}], r"rules\[0\]: rule_name is missing"),
        ([rule(description=["x"])], "description must be a text"),
        ([rule(priority=True)], "priority must be a number or a text"),
        ([rule(priority=[1])], "priority must be a number or a text"),
        ([rule(examples=3)], "examples must be a list of texts"),
        ([rule(key_indicators={"a": 1})], "key_indicators must be a list of texts"),
        ([rule(), {"name": "a"}], r"rules\[0\] and rules\[1\] have the same"),
    ],
    ids=str,
)
def test_a_wrong_rule_is_named_with_its_fault(rules: Any, message: str) -> None:
    """The user would search a long file, or a record would be shown a rule with half of its text."""
    with pytest.raises(InputError, match=message) as caught:
        read_rules(rules, "prompts.json")
    assert str(caught.value).startswith("prompts.json: ")


def test_a_block_holds_the_fields_that_are_not_empty() -> None:
    """The model would be shown empty headings, or a rule without its conditions."""
    assert rule_block(rule()) == "### a"
    full = rule(key_indicators=["i", "two\nlines"], priority=2, description="d", conditions=["c"])
    assert rule_block(read_rules([full], "")[0]) == (
        "### a\nDescription: d\nConditions:\n- c\nKey elements:\n- i\n- two\nlines\nPriority: 2"
    )


def test_the_schema_of_rules_takes_one_of_their_names() -> None:
    """Answers would be columns of another schema than the one that the issue of rules describes."""
    schema = ResponseSchema(category_schema([rule(), {"rule_name": "b"}]))
    assert schema.fields == ("category", "confidence", "reasoning")
    assert schema.validate({"category": "b"})["category"] == "b"
    for wrong in ({"category": "c"}, {"confidence": 1}, {"category": "a", "confidence": 1.1}):
        with pytest.raises(ValueError):
            schema.validate(wrong)
