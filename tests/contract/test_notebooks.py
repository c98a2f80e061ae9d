"""docs/notebooks.md and the contracts say what callers of the original script find."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor
from bedrock_batch.environment.settings import BY_KEY
from bedrock_batch.realtime.bedrock_processor import BedrockProcessor

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
MARK = "For callers of the original script: "
NOT_SETTINGS = {"config", "context"}


def read_only_attributes(processor: type) -> set[str]:
    """The properties that refuse to be assigned with a message of their own."""
    return {name for name, each in inspect.getmembers(processor, lambda each: isinstance(each, property)) if each.fset}


def test_the_table_of_attributes_is_that_of_the_classes() -> None:
    """A caller would look for an attribute that does not exist, or not learn of one that does."""
    rows = dict(re.findall(r"^\| `(\w+)` \| (both|batch) \|", PAGE, re.MULTILINE))
    assert {name for name, place in rows.items() if place == "both"} == read_only_attributes(BedrockProcessor)
    assert set(rows) == read_only_attributes(BedrockBatchProcessor)


def test_the_page_names_settings_that_exist() -> None:
    """A caller would be told to change a setting that the processor refuses."""
    cells = re.findall(r"^\| `\w+` \| (?:both|batch) \|.*\| ([^|]+) \|$", PAGE, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell) if not name.startswith("AWS_")}
    assert named - NOT_SETTINGS <= set(BY_KEY)


def test_the_table_of_folders_is_that_of_the_contract() -> None:
    """A caller would look a folder up under a key that does not exist."""
    paths = json.loads((ROOT / "contracts" / "paths.json").read_text(encoding="utf-8"))
    described = [(each["original_key"], each["name"]) for each in [*paths["inputs"], *paths["outputs"]]]
    assert re.findall(r"^\| `(\w+_DIR)` \| `(\w+)` \|$", PAGE, re.MULTILINE) == described


def test_the_contract_marks_the_keys_that_are_there_for_compatibility() -> None:
    """A new consumer could not tell which of two keys to read."""
    schema = json.loads((ROOT / "contracts" / "summary.schema.json").read_text(encoding="utf-8"))
    assert set(marked(schema)) == {
        "total_files",
        "files_processed",
        "effective_model_id",
        "model_info",
        "template_integration",
        "processing_timestamp",
        "truncation_stats.truncation_enabled",
        "truncation_stats.max_input_field_length",
        "truncation_stats.truncated_records",
        "truncation_stats.truncated_fields",
        "truncation_stats.total_truncations",
        "truncation_stats.total_characters_removed",
        "splits_processed.batch_processing_used",
    }


def marked(schema: dict[str, Any], place: str = "") -> Iterator[str]:
    """Yield the paths of the keys whose description begins with the mark."""
    for name, part in {**schema.get("items", {}), **schema}.get("properties", {}).items():
        if part.get("description", "").startswith(MARK):
            yield place + name
        yield from marked(part, f"{place}{name}.")
