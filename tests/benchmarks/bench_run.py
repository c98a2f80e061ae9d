"""A whole run: CPU time, memory and duration of the step, with the local Bedrock in another process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_data import MODEL, PLACEHOLDERS, SCHEMA, SYSTEM, TEMPLATE

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "benchmark"


@dataclass(frozen=True)
class RunFigures:
    """Seconds, CPU seconds and peak memory of a run, and its summary."""

    rows: int
    seconds: float
    cpu_seconds: float
    peak_mib: float
    jobs: int


@contextmanager
def local_bedrock(folder: Path, latency: float = 0.0, schema: Mapping[str, Any] = SCHEMA) -> Iterator[dict[str, str]]:
    """Run a local Bedrock in another process, and yield the environment that points to it."""
    folder.mkdir(parents=True, exist_ok=True)
    schema_path = folder / "schema.json"
    schema_path.write_text(json.dumps(schema), encoding="utf-8")
    command = [sys.executable, "-m", "local_bedrock", "--bucket", BUCKET, "--schema", str(schema_path)]
    command += ["--latency", str(latency)] if latency else []
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        exports: dict[str, str] = {}
        while "AWS_SECRET_ACCESS_KEY" not in exports or "AWS_DEFAULT_REGION" not in exports or len(exports) < 7:
            name, _, value = process.stdout.readline().strip().removeprefix("export ").partition("=")
            exports[name] = value.strip("'\"")
        yield exports
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def run_floor(root: Path, environ: Mapping[str, str]) -> dict[str, float]:
    """Return the CPU seconds of bare libraries for the files of the last run (`bench_floor`)."""
    (output,) = (root / "output").rglob("*.parquet")
    command = [sys.executable, str(Path(__file__).with_name("bench_floor.py")), BUCKET, str(output)]
    done = subprocess.run(command, env={**os.environ, **environ}, stdout=subprocess.PIPE, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def lay_out(root: Path, schema: Mapping[str, Any] = SCHEMA) -> None:
    """Write the template and the schema of a processing directory; keep an existing schema."""
    prompts = {"system_prompt": SYSTEM, "user_prompt_template": TEMPLATE, "input_placeholders": PLACEHOLDERS}
    for name, content in (("templates/prompts.json", prompts), ("schema/validation_schema_1.json", schema)):
        path = root / "input" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(json.dumps(content), encoding="utf-8")


def run_step(root: Path, environ: Mapping[str, str], **settings: str) -> RunFigures:
    """Run the step on a processing directory, and return its figures."""
    lay_out(root)
    environment = {
        **os.environ,
        **environ,
        "BEDROCK_PRIMARY_MODEL_ID": MODEL,
        "BEDROCK_MAX_TOKENS": "1024",
        "BEDROCK_BATCH_ROLE_ARN": "arn:aws:iam::123456789012:role/benchmark",
        "BEDROCK_BATCH_INPUT_S3_PATH": f"s3://{BUCKET}/in",
        "BEDROCK_BATCH_OUTPUT_S3_PATH": f"s3://{BUCKET}/out",
        "BEDROCK_BATCH_POLL_INITIAL_SECONDS": "0.5",
        "BEDROCK_BATCH_POLL_MAX_SECONDS": "1",
        "BEDROCK_BATCH_RESUME": "false",
        "BEDROCK_CANARY_RECORDS": "0",
        **settings,
    }
    command = [sys.executable, str(ROOT / "src" / "bedrock_batch_processing.py"), "--job_type", "training"]
    log = root / "log.txt"
    begun = time.monotonic()
    with log.open("w") as file:
        child = [
            sys.executable,
            str(Path(__file__).with_name("bench_child.py")),
            *command,
            "--processing-dir",
            str(root),
        ]
        done = subprocess.run(child, env=environment, stdout=subprocess.PIPE, stderr=file, check=True)
    seconds = time.monotonic() - begun
    status, cpu_seconds, peak = json.loads(done.stdout.splitlines()[-1])
    if status:
        raise RuntimeError(f"the step failed:\n{log.read_text()[-2000:]}")
    (summary,) = (root / "output" / "summary").glob("*.json")
    figures = json.loads(summary.read_text(encoding="utf-8"))
    assert figures["successful_records"] == figures["total_records"]
    return RunFigures(
        figures["total_records"],
        seconds,
        cpu_seconds,
        peak / 1024,
        len(figures["batch_job_info"]["jobs"]),
    )
