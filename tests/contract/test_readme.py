"""README: short, and its tables are the code's."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from bedrock_batch.environment.settings import VARIABLES

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_variables_is_that_of_the_code() -> None:
    """A user would set a variable that does not exist, or rely on a default that is not the code's."""
    table = README.split("<!-- variables: held equal to the code by tests/contract -->\n")[1].split("<!-- end")[0]
    rows = table.splitlines()[2:]
    shown = {row.split("`")[1] for row in rows}
    expected = []
    for variable in VARIABLES:
        default = "required" if variable.required else f"`{variable.default}`" if variable.default else "empty"
        if variable.name in shown or variable.required:
            expected.append(f"| `{variable.name}` | {default} | {variable.meaning} |")
    assert rows == expected
    assert len(rows) == 12


def test_the_readme_stays_short() -> None:
    """A newcomer would have to read a manual before the first try."""
    assert len(README.splitlines()) <= 150


def test_every_link_and_target_exists() -> None:
    """A user would follow a link or type a command that leads nowhere."""
    found = re.findall(r"\]\(([^)]+)\)", README) + re.findall(r'src(?:set)?="([^"]+)"', README)
    links = [link for link in found if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", README)) <= targets


def test_the_pictures_are_small_and_all_are_shown() -> None:
    """A clone would carry pictures that nobody sees, or that are too heavy to look at."""
    pictures = list(IMAGES.iterdir())
    assert {path.relative_to(ROOT).as_posix() for path in pictures} == set(re.findall(r"docs/images/[\w.-]+", README))
    assert sum(path.stat().st_size for path in pictures) < 300_000


def test_the_terminal_shows_the_bars_and_no_path() -> None:
    """A reader would see no progress, or the folders of the machine that drew the picture."""
    picture = (IMAGES / "terminal.svg").read_text(encoding="utf-8")
    texts = ElementTree.fromstring(picture).itertext()
    shown = "\n".join(texts).replace("\xa0", " ")
    assert re.search(r"all records .*━", shown, re.DOTALL)
    assert not re.search(r"(?<![\w/])/(?:home|root|tmp|work|Users|opt|var)/", shown)
    assert re.findall(r"https?://[^\"]+", picture) == ["http://www.w3.org/2000/svg"]
