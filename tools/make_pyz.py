"""Make `bedrock_batch_processing.pyz`: the step as one file, for `ScriptProcessor(code=...)`.

The same sources give the same bytes, so that a pipeline's cache is not lost by building again.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src"
ENTRY = "bedrock_batch_processing.py"
PACKAGES = ("bedrock_batch", "local_bedrock")
SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = "from bedrock_batch_processing import run_process\n\nrun_process()\n"
MOMENT = (1980, 1, 1, 0, 0, 0)


def make_pyz(target: Path) -> Path:
    """Write the archive, under a temporary name first, and return its path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".partial")
    with temporary.open("wb") as file:
        file.write(SHEBANG)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            _add(archive, "__main__.py", MAIN.encode("ascii"))
            for path in _source_files():
                _add(archive, path.relative_to(SOURCES).as_posix(), path.read_bytes())
    temporary.chmod(0o755)
    return temporary.replace(target)


def _source_files() -> list[Path]:
    """Return the entry script and every file of the packages, data files included."""
    files = [path for package in PACKAGES for path in (SOURCES / package).rglob("*") if path.is_file()]
    return [SOURCES / ENTRY, *sorted(path for path in files if "__pycache__" not in path.parts)]


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, MOMENT)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    archive.writestr(info, data)


if __name__ == "__main__":
    made = make_pyz(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist" / "bedrock_batch_processing.pyz")
    print(f"{made} {made.stat().st_size} bytes")
