"""docs/models.md has the dates of the code, and what the documents tell users to type is not retired."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from bedrock_batch.families import UNKNOWN, capabilities_of, model_name
from bedrock_batch.models.lifecycles import CHECKED, RETIREMENTS, Retirement, lifecycle_of

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
PAGES = sorted(
    [ROOT / "README.md", *(path for path in (ROOT / "docs").rglob("*") if path.suffix in (".md", ".py", ".json"))]
)
MODEL_ID = re.compile(
    r"(?<![\w./-])(?:[a-z-]+\.)?(?:anthropic|amazon|meta|mistral|deepseek|openai|qwen|xai)\.[a-z][a-z0-9.:-]*[a-z0-9]"
)


def document_row(row: Retirement) -> str:
    """The table row of a retirement, without its source."""
    dates = (row.lifecycle.legacy, row.lifecycle.extended_access, row.lifecycle.end_of_life)
    cells = [
        ", ".join(f"`{name}`" for name in row.names),
        *("" if day is None else day.isoformat() for day in dates),
        f"`{row.successor}`" if row.successor else "",
    ]
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def table() -> list[str]:
    """The rows of the document's table."""
    lines = DOCUMENT.split("<!-- retirements")[1].split("\n\n")[0].splitlines()
    return lines[3:]


def documented_ids() -> list[tuple[str, str]]:
    """Page and model id of every id outside of tables, which also list what is retired."""
    found = []
    for path in PAGES:
        text = re.sub(r"^\|.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found += [(path.relative_to(ROOT).as_posix(), each) for each in sorted(set(MODEL_ID.findall(text)))]
    return found


def test_the_document_has_the_dates_of_the_code() -> None:
    """A user would plan a migration by another date than the one that the run names."""
    assert [line.rpartition(" | ")[0] + " |" for line in table()] == [document_row(row) for row in RETIREMENTS]
    assert f"compared with its sources on {CHECKED}" in DOCUMENT


def test_every_date_has_a_source() -> None:
    """A user could not tell a date of AWS from a guess."""
    sources = DOCUMENT.split("## Sources")[1]
    for line in table():
        names = line.rstrip(" |").rpartition("| ")[2].split(", ")
        assert names
        assert [name for name in names if f"*{name}*" not in sources] == []


def test_the_documents_show_models() -> None:
    """The test below would pass because it finds nothing."""
    pages = {page for page, _ in documented_ids()}
    assert {"README.md", "docs/tutorial.md", "docs/configuration.md", "docs/examples/demo.py"} <= pages


@pytest.mark.parametrize(("page", "model_id"), documented_ids())
def test_what_the_documents_name_is_active(page: str, model_id: str) -> None:
    """A user who copies an example would be refused by AWS.

    The day is that of the table, so that the test fails by a change of the table and not by the passing of a day.
    """
    assert capabilities_of(model_id) is not UNKNOWN, f"{page} names a model that no family has"
    assert lifecycle_of(model_id).state(CHECKED) == "active", f"{page} names a retired model"


def test_the_table_is_in_order() -> None:
    """A successor would be retired without a further one, or a model would have two rows."""
    names = [name for row in RETIREMENTS for name in row.names]
    assert len(names) == len(set(names))
    assert [name for name in names if model_name(name) != name or capabilities_of(name) is UNKNOWN] == []
    for row in RETIREMENTS:
        dates = (row.lifecycle.legacy, row.lifecycle.extended_access, row.lifecycle.end_of_life)
        days = [day for day in dates if day is not None]
        assert days == sorted(days)
        assert row.lifecycle.state(date.max) == "ended"
        assert row.successor is None or capabilities_of(row.successor) is not UNKNOWN
