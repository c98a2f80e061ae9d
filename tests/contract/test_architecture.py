"""The page on the architecture names the packages, layers and functions that exist."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "bedrock_batch"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DIAGRAM = PAGE.split("```mermaid\n")[1].split("```")[0]


def drawn_layers() -> list[set[str]]:
    """The names in each layer of the diagram, from top to bottom."""
    parts = re.findall(r"subgraph L\d+.*?\n(.*?)\n    end", DIAGRAM, re.DOTALL)
    return [set(re.findall(r"^\s+(\w+)\[", part, re.MULTILINE)) for part in parts]


def test_the_diagram_shows_every_package_and_module() -> None:
    """A newcomer would look for a package that does not exist, or never learn of one that does."""
    present = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert set().union(*drawn_layers()) == present - {"__init__"}


def test_the_diagram_shows_the_layers_that_the_linter_enforces() -> None:
    """A change that follows the diagram would be refused by the layer check."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (each["layers"] for each in contracts if each["name"] == "Imports point down")
    assert drawn_layers() == [{name.strip(" ()") for name in layer.split("|")} for layer in layers]


def test_each_link_leads_to_what_it_names() -> None:
    """A reader would open a file in which the function is not."""
    links = re.findall(r"\[`(\w+)`\]\(\.\./(src/[\w/]+\.py)\)", PAGE)
    assert len(links) > 15
    for name, path in links:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^(?:class|def) {name}\b", source, re.MULTILINE), f"{name} is not in {path}"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md", "SECURITY.md"])
def test_paths_of_a_page_exist(page: str) -> None:
    """A newcomer would look for a file that was moved."""
    text = (ROOT / page).read_text(encoding="utf-8")
    here = (ROOT / page).parent
    named = re.findall(r"`((?:src|tests|docs|contracts|tools)/[\w./-]+)`", text)
    linked = [link for link in re.findall(r"\]\(([\w./-]+)\)", text) if "://" not in link]
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert [link for link in linked if not (here / link).exists()] == []


def test_ci_and_package_name_the_same_python_versions() -> None:
    """A Python version would be promised that nobody tests."""
    project = PROJECT["project"]
    promised = [found[1] for each in project["classifiers"] if (found := re.search(r":: (3\.\d+)$", each))]
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert re.findall(r'"(3\.\d+)"', workflow) == promised
    assert project["requires-python"] == f">={promised[0]}"
