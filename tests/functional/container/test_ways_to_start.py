"""The three forms in which the step is delivered: a folder, one file, and a source_dir."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from bedrock_batch.environment.packages import RUNTIME_PACKAGES
from helpers.batch_runs import BUCKET, ENVIRON, SCHEMA, small, write_inputs
from helpers.step_command import ROOT, SOURCES, output_files, run_process, step_command, step_environ
from local_bedrock import LocalBedrock

ROWS = {"rows.csv": 12}


@pytest.fixture(scope="module")
def local() -> Iterator[LocalBedrock]:
    with LocalBedrock(small(), answers=SCHEMA) as local:
        local.create_bucket(BUCKET)
        yield local


@pytest.fixture(scope="module")
def make_pyz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_pyz", ROOT / "tools" / "make_pyz.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def source_dir(folder: Path) -> list[str]:
    """Copy `src/` as SageMaker unpacks a source_dir, and return what starts the step there from anywhere."""
    shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return [str(folder / "bedrock_batch_processing.py")]


def test_every_way_of_starting_gives_the_same_outputs(
    local: LocalBedrock, make_pyz: ModuleType, tmp_path: Path
) -> None:
    """A step that works from a checkout would fail, or answer otherwise, as one file or as a source_dir."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ways = {
        "module": (["-m", "bedrock_batch_processing"], {"PYTHONPATH": str(SOURCES)}),
        "pyz": ([str(make_pyz.make_pyz(tmp_path / "step.pyz"))], {}),
        "source_dir": (source_dir(tmp_path / "source_dir"), {}),
    }
    outputs = {}
    for way, (entry, variables) in ways.items():
        processing = tmp_path / way / "processing"
        write_inputs(processing / "input", ROWS)
        # Each way asks the model itself instead of taking over what the one before it was answered.
        own = {
            "BEDROCK_BATCH_RESUME": "false",
            "BEDROCK_BATCH_POLL_INITIAL_SECONDS": "0.05",
            "BEDROCK_BATCH_POLL_MAX_SECONDS": "0.2",
        }
        environ = step_environ(ENVIRON, own, variables, local.environment)
        done = run_process(step_command(processing, "--job_type", "testing", entry=entry), environ, elsewhere)
        assert done.returncode == 0, done.stderr
        outputs[way] = output_files(processing)
    assert outputs["module"].keys() == {"testing_processed_data.csv"}
    assert outputs["pyz"] == outputs["source_dir"] == outputs["module"]
    assert set(local.charges.values()) == {len(ways)}


def test_the_one_file_holds_every_source_and_is_the_same_each_time(make_pyz: ModuleType, tmp_path: Path) -> None:
    """A missing file would be noticed only in SageMaker; other bytes would miss the cache of a step."""
    first, second = (make_pyz.make_pyz(tmp_path / name) for name in ("a.pyz", "b.pyz"))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        held = set(archive.namelist())
    packages = ("bedrock_batch", "local_bedrock")
    files = [path for package in packages for path in (SOURCES / package).rglob("*") if path.is_file()]
    sources = {path.relative_to(SOURCES).as_posix() for path in files if "__pycache__" not in path.parts}
    assert held == sources | {"__main__.py", "bedrock_batch_processing.py"}


def test_the_one_file_answers_help_without_any_package(make_pyz: ModuleType, tmp_path: Path) -> None:
    """A user who asks a fresh machine for help would wait for an installation, or get a traceback."""
    path = make_pyz.make_pyz(tmp_path / "step.pyz")
    done = run_process([sys.executable, "-S", "-E", str(path), "--help"], step_environ(), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--job_type" in done.stdout


def requirements() -> list[str]:
    lines = (SOURCES / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_all_lists_of_dependencies_are_one() -> None:
    """A dependency that is added in one place only would be missing in an image, a source_dir or a bare container."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (block,) = re.findall(r"^dependencies = \[\n(.*?)^\]", project, re.DOTALL | re.MULTILINE)
    declared = re.findall(r'"([^"]+)"', block)
    assert requirements() == declared == list(RUNTIME_PACKAGES)


def test_the_constraints_pin_every_dependency_and_name_no_place() -> None:
    """An image built next month would hold other versions than those that were tested."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)] == []
    named = {_normal(pin.split("==")[0]) for pin in pins}
    assert {_normal(line.split(">=")[0]) for line in requirements()} <= named


def _normal(name: str) -> str:
    return name.replace("_", "-").lower()
