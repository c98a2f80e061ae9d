"""The rules of a rule set: read and checked, each shown as a block of a prompt, and the schema that they stand for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bedrock_batch.errors import InputError

Rule = dict[str, Any]
"""`rule_name`, and those of `description`, the lists of `_LISTS` and `priority` that are not empty; all texts but the
priority, which may be a number."""

# The lists of a rule and the other name that template steps give to each.
_LISTS = {
    "conditions": None,
    "exclusions": "exceptions",
    "key_elements": "key_indicators",
    "examples": None,
}


def read_rules(content: Any, source: str) -> list[Rule]:
    """Return rules under one name for each field, without the empty fields; InputError names `source` and the fault."""
    if not isinstance(content, list) or not content:
        raise InputError(f"{source}: rules must be a list of at least one rule")
    rules = [_read_rule(rule, f"{source}: rules[{index}]") for index, rule in enumerate(content)]
    places: dict[str, int] = {}
    for index, rule in enumerate(rules):
        first = places.setdefault(rule["rule_name"], index)
        if first != index:
            raise InputError(f"{source}: rules[{first}] and rules[{index}] have the same rule_name; rename one")
    return rules


def _read_rule(content: Any, place: str) -> Rule:
    if not isinstance(content, Mapping):
        raise InputError(f"{place}: a rule must be a JSON object with rule_name")
    names = (name.strip() for key in ("rule_name", "name") if isinstance(name := content.get(key), str))
    name = next(filter(None, names), None)
    if name is None:
        raise InputError(f"{place}: rule_name is missing or empty; the records name their rules by it")
    description, priority = content.get("description"), content.get("priority")
    if not isinstance(description, str | None):
        raise InputError(f"{place}: description must be a text")
    if not isinstance(priority, str | int | float | None) or isinstance(priority, bool):
        raise InputError(f"{place}: priority must be a number or a text")
    lists = {key: _read_list(content, key, other, place) for key, other in _LISTS.items()}
    fields = {"description": (description or "").strip(), **lists, "priority": priority}
    return {"rule_name": name, **{key: value for key, value in fields.items() if value not in ("", [], None)}}


def _read_list(content: Mapping[str, Any], key: str, other: str | None, place: str) -> list[str]:
    """Return the texts of a list, those under its other name included."""
    items: list[Any] = []
    for name in (key, other):
        value = content.get(name) if name else None
        if not isinstance(value, list | str | None):
            raise InputError(f"{place}: {name} must be a list of texts")
        items += value if isinstance(value, list) else [value]
    texts = (as_prompt_text(item).strip() for item in items if item is not None)
    return [text for text in texts if text]


def as_prompt_text(value: Any, indent: int | None = None) -> str:
    """Return a text as it is and any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=indent)


def rule_block(rule: Rule) -> str:
    """Return a rule as it stands in a prompt: a heading with its name, and its fields that are not empty."""
    lines = [f"### {rule['rule_name']}"]
    for key, value in rule.items():
        label = key.replace("_", " ").capitalize()
        if isinstance(value, list):
            lines += [f"{label}:", *(f"- {item}" for item in value)]
        elif key != "rule_name":
            lines.append(f"{label}: {value}")
    return "\n".join(lines)


def category_schema(rules: Sequence[Rule]) -> dict[str, Any]:
    """Return the schema of answers to a rule set that has none of its own: one rule as category, and why."""
    return {
        "type": "object",
        "properties": {
            "category": {
                "type": "string",
                "enum": [rule["rule_name"] for rule in rules],
                "description": "the name of the rule that fits best",
            },
            "confidence": {"type": "number", "minimum": 0, "maximum": 1, "description": "how sure that is, 0 to 1"},
            "reasoning": {"type": "string", "description": "why this category fits"},
        },
        "required": ["category"],
    }
