"""The command that starts the step as SageMaker does, for tests of the whole process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src"
ENTRY = SOURCES / "bedrock_batch_processing.py"
# The variables that a process needs; the step gets nothing else from the environment of the tests.
_KEPT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")


def step_command(processing: Path, *arguments: str, entry: Sequence[str] = (str(ENTRY),)) -> list[str]:
    """Return the command line of a step on a processing directory."""
    return [sys.executable, *entry, "--processing-dir", str(processing), *arguments]


def step_environ(*parts: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a step: the necessary variables and `parts`; later parts win."""
    environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environ["PYTHONWARNINGS"] = "error::ResourceWarning"
    for part in parts:
        environ |= part
    if path := environ.get("BEDROCK_BATCH_INPUT_S3_PATH"):
        # Local Bedrocks of one process share their buckets, and a test must not get the answers of another one.
        test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
        environ.setdefault("BEDROCK_ANSWERS_S3_PATH", f"{path}/{hashlib.sha256(test.encode()).hexdigest()[:16]}")
    return environ


def run_process(
    command: Sequence[str], environ: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, and return its exit code and output."""
    return subprocess.run(command, env=dict(environ), cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def output_files(processing: Path) -> dict[str, bytes]:
    """Return the bytes of every output data file by its relative path."""
    folder = processing / "output" / "data"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
