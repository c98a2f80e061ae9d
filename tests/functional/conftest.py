"""Fixtures of the functional tests: worlds to run the step in, and the answers of a run without faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from helpers.batch_runs import FILES, SCHEMA, World, small
from helpers.run_checks import answers_of
from local_bedrock import Behaviour


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Return a function that makes a world, which is closed at the end of the test."""
    worlds: list[World] = []

    def make(
        behaviour: Behaviour | None = None,
        files: Mapping[str, int] = FILES,
        schema: Mapping[str, Any] = SCHEMA,
        **environ: str,
    ) -> World:
        world = World(tmp_path / f"world-{len(worlds)}", behaviour or small(), files, schema, **environ)
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.close()


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, ...]]:
    """The answers to the rows of `FILES` by row id, from a run without faults."""
    world = World(tmp_path_factory.mktemp("reference"), small())
    try:
        return answers_of(world.answer().all_rows)
    finally:
        world.close()
