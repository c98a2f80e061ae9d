"""The step as a process of its own, as SageMaker starts it, against a local Bedrock of the test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src"
ENTRY = SOURCES / "bedrock_batch_processing.py"
# What a process needs of the machine; nothing else of the test's environment reaches the step.
_KEPT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")


def step_command(processing: Path, *arguments: str, entry: Sequence[str] = (str(ENTRY),)) -> list[str]:
    """The command line of a step on a processing directory."""
    return [sys.executable, *entry, "--processing-dir", str(processing), *arguments]


def step_environ(*parts: Mapping[str, str]) -> dict[str, str]:
    """The environment of a step: what a process needs here, and the given parts, the later ones over the earlier."""
    environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environ["PYTHONWARNINGS"] = "error::ResourceWarning"
    for part in parts:
        environ |= part
    return environ


def run_process(
    command: Sequence[str], environ: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return its exit code and what it wrote."""
    return subprocess.run(command, env=dict(environ), cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def output_files(processing: Path) -> dict[str, bytes]:
    """The content of every file below the output folder for data, by its path there."""
    folder = processing / "output" / "data"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
