"""docs/models.md says of every family what the code's data say."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from bedrock_batch.environment.settings import load_settings
from bedrock_batch.families import FAMILIES, UNKNOWN, Capabilities, capabilities_of
from bedrock_batch.models.refusals import learn

DOCUMENT = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
ROWS = [*((row.names, row.accepts) for row in FAMILIES), (("every other model",), UNKNOWN)]
MEMBERS = tuple(field.name for field in dataclasses.fields(Capabilities))


def document_row(names: tuple[str, ...], able: Capabilities) -> str:
    """The table row of a family."""
    shown = ", ".join(f"`{name}`" if "." in name else name for name in names)
    cells = [f"`{able.family}`", shown, *(_word(getattr(able, name)) for name in MEMBERS if name != "family")]
    return f"| {' | '.join(cells)} |"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "?"
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize(("names", "able"), ROWS, ids=lambda each: getattr(each, "family", ""))
def test_the_document_has_the_row(names: tuple[str, ...], able: Capabilities) -> None:
    """A user would choose a model by what it does not accept."""
    assert document_row(names, able) in DOCUMENT.splitlines()


def test_the_table_has_no_other_rows_or_columns() -> None:
    """A user would read of a family that the code does not know."""
    table = re.findall(r"^\| `[a-z0-9-]+` \| .*$", DOCUMENT.split("## What may be overridden")[0], re.MULTILINE)
    assert table == [document_row(*row) for row in ROWS]
    header = next(line for line in DOCUMENT.splitlines() if line.startswith("| family |"))
    assert header == f"| family | models | {' | '.join(f'`{name}`' for name in MEMBERS if name != 'family')} |"


def test_every_member_that_may_be_overridden_is_explained() -> None:
    """A user could not find out how to correct the table."""
    section = DOCUMENT.split("## What may be overridden")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE)) == set(MEMBERS)


@pytest.mark.parametrize("example", re.findall(r"BEDROCK_MODEL_CAPABILITIES='([^']*)'", DOCUMENT))
def test_the_examples_are_accepted(example: str) -> None:
    """A user who copies an example would be refused."""
    settings = load_settings({"BEDROCK_PRIMARY_MODEL_ID": "a.b", "BEDROCK_MODEL_CAPABILITIES": example})[0]
    assert settings.model_capabilities == json.loads(example)


def test_the_texts_that_lower_a_run_are_known_to_the_code() -> None:
    """A user would count on a run going on after a refusal that ends it."""
    section = DOCUMENT.split("## When the service refuses")[1].split("\n## ")[0]
    texts = re.findall(r"^\| (.+?) \| .+ \|$", section, re.MULTILINE)[2:]
    able = Capabilities("x", prefill=True, forced_tool=True, json_schema=True, max_output_tokens=64000)
    assert len(texts) >= 8
    assert [text for text in texts if learn(able, text.replace("\\|", "|")) is None] == []


def test_ids_of_the_document_belong_to_rows() -> None:
    """An example would name a model that the table does not have."""
    ids = re.findall(r"`((?:us|eu|jp|global)\.[a-z]+\.[a-z0-9.:-]+)`", DOCUMENT)
    assert ids
    assert [each for each in ids if capabilities_of(each) is UNKNOWN] == []
