"""Install the step in each supported way into an empty environment, and run it: `make package-test`.

It needs a package index. The local Bedrock runs in this process, and the step in the empty environments.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "packages"
SCHEMA = {"type": "object", "properties": {"label": {"enum": ["a", "b"]}, "score": {"type": "number"}}}
ROWS = 6
SETTINGS = {
    "BEDROCK_PRIMARY_MODEL_ID": "us.anthropic.claude-sonnet-4-20250514-v1:0",
    "BEDROCK_MAX_TOKENS": "256",
    "BEDROCK_BATCH_MODE": "realtime",
}


def main() -> int:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tools")]
    from local_bedrock import LocalBedrock

    with LocalBedrock(answers=SCHEMA) as local:
        environ = {**os.environ, **SETTINGS, **local.environment}
        check_one_file(environ)
        check_source_dir(environ)
        check_wheel(environ)
    return 0


def check_one_file(environ: dict[str, str]) -> None:
    """The single file installs missing packages, runs, and installs nothing at its second start."""
    from make_pyz import make_pyz

    pyz = make_pyz(WORK / "bedrock_batch_processing.pyz")
    python = bare_python("one-file")
    first = run_step([python, str(pyz)], environ, "one-file-1")
    expect("the first start installs", "installing packages=boto3" in first, True)
    second = run_step([python, str(pyz)], environ, "one-file-2")
    expect("the second start installs", "installing packages" in second, False)
    print("package-test: one file: installs its packages, runs, and installs them once", flush=True)


def check_source_dir(environ: dict[str, str]) -> None:
    """`src/` with its requirements runs as under runproc.sh of SageMaker, started from another folder."""
    folder = WORK / "source_dir"
    shutil.copytree(ROOT / "src", folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    python = bare_python("source-dir")
    pip(python, "install", "-r", str(folder / "requirements.txt"))
    log = run_step([python, str(folder / "bedrock_batch_processing.py")], environ, "source-dir")
    expect("the start installs", "installing packages" in log, False)
    print("package-test: source_dir: its requirements are all that it needs", flush=True)


def check_wheel(environ: dict[str, str]) -> None:
    """The wheel has sources, types, data and licence, and its console script runs."""
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # setuptools would pack the files of an earlier build
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(WORK), str(ROOT))
    (wheel,) = WORK.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = [path for package in ("bedrock_batch", "local_bedrock") for path in (ROOT / "src" / package).rglob("*")]
    sources = {
        path.relative_to(ROOT / "src").as_posix()
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }
    expect("files missing in the wheel", sorted(sources - names), [])
    expect("pictures in the wheel", [name for name in names if name.endswith((".png", ".svg"))], [])
    expect("a licence in the wheel", any(name.endswith("licenses/LICENSE") for name in names), True)
    python = bare_python("wheel")
    pip(python, "install", str(wheel))
    script = str(Path(python).with_name("bedrock-batch-processing"))
    run_step([script], environ, "wheel")
    print(f"package-test: wheel: {wheel.name} of {wheel.stat().st_size} bytes installs and runs", flush=True)


def bare_python(name: str) -> str:
    """Make an environment that contains only pip, and return its interpreter."""
    venv.create(WORK / f"venv-{name}", with_pip=True)
    return str(WORK / f"venv-{name}" / "bin" / "python")


def pip(python: str, *arguments: str) -> None:
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"package-test: failed: pip {' '.join(arguments)}\n{done.stderr}")


def run_step(command: list[str], environ: dict[str, str], name: str) -> str:
    """Run the step on a few rows from another folder, check its output, and return its log."""
    processing = WORK / "runs" / name / "processing"
    for folder in ("data", "templates", "schema"):
        (processing / "input" / folder).mkdir(parents=True)
    rows = "".join(f"{number:05d},text {number}\n" for number in range(ROWS))
    (processing / "input" / "data" / "rows.csv").write_text("id,text\n" + rows)
    (processing / "input" / "templates" / "prompts.json").write_text(
        json.dumps({"user_prompt_template": "Label {text}"})
    )
    (processing / "input" / "schema" / "validation_schema_1.json").write_text(json.dumps(SCHEMA))
    arguments = ["--job_type", "validation", "--processing-dir", str(processing)]
    done = subprocess.run(
        [*command, *arguments], env=environ, cwd=processing.parent, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"package-test: failed: {name} ended with {done.returncode}\n{done.stderr}")
    lines = (processing / "output" / "data" / "validation_processed_data.csv").read_text().splitlines()
    expect("the ids of the output", [line[:5] for line in lines[1:]], [f"{number:05d}" for number in range(ROWS)])
    return done.stderr


def expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise SystemExit(f"package-test: failed: {what}: {found!r}, not {wanted!r}")


if __name__ == "__main__":
    sys.exit(main())
