"""Reading and checking `prompts.json` in its two forms: a template, or a rule set with its rules."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bedrock_batch.environment.callable_log import Log, as_logger
from bedrock_batch.environment.container.paths import read_json_file
from bedrock_batch.errors import InputError
from bedrock_batch.prompts.rules import as_prompt_text, read_rules
from bedrock_batch.prompts.template import made_template

PROMPTS_FILE = "prompts.json"
_SECTIONS = ("analysis_instructions", "classification_guidelines")


def load_prompt_templates(templates_path: str | Path, log: Log | None = None) -> dict[str, Any]:
    """Return `system_prompt`, `user_prompt_template` and `input_placeholders` of a folder's `prompts.json`.

    A file in the form of a rule set gives these three, too, and `rules` and `output_schema` (None if it has none).
    InputError names the file and what is wrong with it.
    """
    folder = Path(templates_path)
    path = folder if folder.is_file() else folder / PROMPTS_FILE
    if not path.is_file():
        found = sorted(entry.name for entry in folder.iterdir())[:10] if folder.is_dir() else ["no such folder"]
        raise InputError(f"no {PROMPTS_FILE} in {folder} (found: {', '.join(found) or 'nothing'})")
    templates = check_prompt_templates(read_json_file(path), str(path))
    if logger := as_logger(log):
        _log_loaded(path.name, templates, logger)
    return templates


def _log_loaded(name: str, templates: Mapping[str, Any], log: logging.Logger) -> None:
    placeholders = len(templates["input_placeholders"])
    if "rules" not in templates:
        log.info("Loaded %s with %d input placeholders", name, placeholders)
        return
    log.info("Loaded %s with %d rules and %d input placeholders", name, len(templates["rules"]), placeholders)
    if templates["user_prompt_template"] == made_template(()):
        log.warning(
            "%s: ruleset has neither user_prompt_template nor input_placeholders: the prompts hold rules and no field "
            "of the row; name the columns in input_placeholders",
            name,
        )


def check_prompt_templates(content: Any, source: str) -> dict[str, Any]:
    """Return what `load_prompt_templates` does, of parsed JSON; InputError names `source` and the field.

    A file with `user_prompt_template` at its top is a template, whatever else it holds.
    """
    if not isinstance(content, dict):
        raise InputError(f"{source}: expected a JSON object with user_prompt_template")
    if content.get("user_prompt_template") is None and content.keys() & {"ruleset", "rules"}:
        return _check_ruleset(content, source)
    user = content.get("user_prompt_template")
    if not isinstance(user, str) or not user.strip():
        raise InputError(f"{source}: user_prompt_template is missing or empty; it must be a text with {{placeholder}}s")
    return {
        "system_prompt": _system_prompt(content, source),
        "user_prompt_template": user,
        "input_placeholders": _placeholders(content, source),
    }


def _check_ruleset(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    ruleset = content.get("ruleset")
    if not isinstance(ruleset, dict):
        raise InputError(f"{source}: ruleset must be a JSON object; it stands beside rules and may be empty")
    place = f"{source}: ruleset"
    rules = read_rules(content.get("rules"), source)
    user, placeholders = ruleset.get("user_prompt_template"), _placeholders(ruleset, place)
    if not isinstance(user, str | None):
        raise InputError(f"{place}: user_prompt_template must be a text")
    schema = ruleset.get("output_schema")
    if not isinstance(schema, dict | None):
        raise InputError(f"{place}: output_schema must be a JSON Schema")
    system = [_system_prompt(ruleset, place), *_sections(ruleset)]
    return {
        "system_prompt": "\n\n".join(filter(None, system)),
        "user_prompt_template": user if user and user.strip() else made_template(placeholders),
        "input_placeholders": placeholders,
        "rules": rules,
        "output_schema": schema or None,
    }


def _system_prompt(content: Mapping[str, Any], source: str) -> str:
    system = content.get("system_prompt") or ""
    if not isinstance(system, str):
        raise InputError(f"{source}: system_prompt must be a text")
    return system


def _placeholders(content: Mapping[str, Any], source: str) -> list[str]:
    names = content.get("input_placeholders") or []
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{source}: input_placeholders must be a list of column names")
    return names


def _sections(ruleset: Mapping[str, Any]) -> Iterator[str]:
    """Yield the instructions and guidelines of a rule set, each under a heading of its name."""
    for key in _SECTIONS:
        value = ruleset.get(key)
        text = "" if value is None or value == {} or value == [] else as_prompt_text(value, indent=2)
        if text.strip():
            yield f"## {key.replace('_', ' ').capitalize()}\n\n{text}"
