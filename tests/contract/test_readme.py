"""README: short, and its tables are the code's."""

from __future__ import annotations

import re
from pathlib import Path

from bedrock_batch.variables import VARIABLES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_variables_is_that_of_the_code() -> None:
    """A user would set a variable that does not exist, or rely on a default that is not the code's."""
    table = README.split("<!-- variables: held equal to the code by tests/contract -->\n")[1].split("<!-- end")[0]
    expected = []
    for variable in VARIABLES:
        default = "required" if variable.required else f"`{variable.default}`" if variable.default else ""
        expected.append(f"| `{variable.name}` | {default} |".replace("|  |", "| |"))
    assert table.splitlines()[2:] == expected


def test_the_readme_stays_short() -> None:
    """A newcomer would have to read a manual before the first try."""
    assert len(README.splitlines()) <= 150


def test_every_link_and_target_exists() -> None:
    """A user would follow a link or type a command that leads nowhere."""
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", README)) <= targets
