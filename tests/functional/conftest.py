"""Fixtures of the functional tests: worlds to run the step in, and what a run without any fault answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from batch_runs import FILES, World, answers_of, small

from local_bedrock import Behaviour


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Build worlds that end with the test: a processing directory and a local Bedrock with the given behaviour."""
    worlds: list[World] = []

    def make(behaviour: Behaviour | None = None, files: Mapping[str, int] = FILES, **environ: str) -> World:
        world = World(tmp_path / f"world-{len(worlds)}", behaviour or small(), files, **environ)
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.close()


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, ...]]:
    """The answers, by row id, to the rows of `FILES` in a world in which nothing goes wrong."""
    world = World(tmp_path_factory.mktemp("reference"), small())
    try:
        return answers_of(world.answer().all_rows)
    finally:
        world.close()
