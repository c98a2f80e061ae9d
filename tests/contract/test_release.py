"""What a release says of itself: one version, one licence, everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import bedrock_batch

ROOT = Path(__file__).parents[2]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_version_is_the_same_everywhere() -> None:
    """A summary, an image label and a wheel of one release would name different versions."""
    (project,) = re.findall(r'^version = "(.+)"$', read("pyproject.toml"), re.MULTILINE)
    (label,) = re.findall(r'image\.version="(.+?)"', read("Dockerfile"))
    newest = re.findall(r"^## ([0-9.]+)", read("CHANGELOG.md"), re.MULTILINE)[0]
    assert project == label == newest == bedrock_batch.__version__


def test_the_licence_is_the_same_everywhere() -> None:
    """A legal department would find two licences."""
    assert 'license = "Apache-2.0"' in read("pyproject.toml")
    assert 'image.licenses="Apache-2.0"' in read("Dockerfile")
    assert "Apache License" in read("LICENSE")[:200]
