"""docs/tutorial.md works: every command and every Python block, in order."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local_bedrock import LocalBedrock

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
# The step that only a fresh clone has; here the interpreter of the tests stands first in the path.
ACTIVATION = ". .venv/bin/activate\n"


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Follow the whole page in an empty folder; return the folder and everything that was printed.

    Where the page goes to a real account, a local Bedrock with that bucket and role stands in its place.
    """
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "src").symlink_to(ROOT / "src")
    script = ["set -e"]
    for number, (kind, block) in enumerate(BLOCKS):
        if kind == "python":
            (folder / f"block-{number}.py").write_text(block, encoding="utf-8")
            script.append(f"python block-{number}.py")
        elif block != ACTIVATION:
            script.append(block)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    (folder / "bin" / "python").chmod(0o755)
    with LocalBedrock() as local:
        local.create_bucket("my-bucket")
        local.create_role("bedrock-batch")
        known = {name: value for name, value in os.environ.items() if not name.startswith(("BEDROCK_", "AWS_"))}
        environ = {**known, **local.environment, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)], cwd=folder, env=environ, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    return folder, done.stdout


def test_every_command_works(followed: tuple[Path, str]) -> None:
    """The tutorial would fail for a new user."""
    folder, _ = followed
    assert json.loads((folder / "plan.json").read_text(encoding="utf-8"))["rows"] == 4
    names = [path.name for path in (folder / "my-run" / "output" / "summary").iterdir()]
    assert any(name.endswith(".html") for name in names)


def test_the_page_says_what_is_seen(followed: tuple[Path, str]) -> None:
    """The tutorial would announce a hint that does not appear."""
    shown = " ".join(followed[1].split())
    assert "reviews.csv has no column 'review'" in shown
    assert "did you mean 'review_text'?" in shown
    assert "| Review: It boils in a minute" in shown
    assert " 0 with a problem" in shown
    assert "one call" in shown


def test_the_page_shows_the_rules_of_a_record(followed: tuple[Path, str]) -> None:
    """A user would not see what routing does, or get no answer column."""
    folder, shown = followed
    assert "| ### Late delivery" in shown
    assert "1 of 3 records name no rule in column 'selected_rule_names'" in " ".join(shown.split())
    lines = (folder / "my-rules/output/data/calibration_processed_data.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("id,text,selected_rule_names,llm_category,llm_confidence,llm_reasoning,")
    assert len(lines) == 4


def test_the_notebook_answers_a_frame(followed: tuple[Path, str]) -> None:
    """A notebook user would get no answer column, or another index."""
    _, shown = followed
    assert "llm_category" in shown
    assert re.search(r"0004 +(praise|complaint|question) +success", shown)
    assert "in batch: False, cost: 0.0" in shown


def test_the_page_uses_targets_that_exist() -> None:
    """The tutorial would name a make target that does not exist."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(f"\n{target}:" in makefile for target in re.findall(r"`make ([a-z-]+)`", TEXT))
    links = [link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if "://" not in link]
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
