"""The step forked from a warm server, for tests that start and kill it hundreds of times, and its input.

`step_command` starts the step as SageMaker does instead.
"""

from __future__ import annotations

import csv
import itertools
import json
import multiprocessing
import os
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import uuid4

from local_bedrock.server import LocalBedrock

BUCKET = "pay-once"
SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": ["good", "bad", "unclear"]},
        "score": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["label", "score"],
}
TEMPLATE = {
    "system_prompt": "You judge reviews.",
    "user_prompt_template": "Judge this review: {review}",
    "input_placeholders": ["review"],
}

# The fork server has imported everything, including what the step imports at first use, so that a start is cheap; the
# SDK's descriptions of services take a third of a start. A kill still ends a whole process.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [
        "helpers.warm_sdk",
        "bedrock_batch.commands.run",
        "bedrock_batch_processing",
        "bedrock_batch.commands.preflight",
        "boto3.s3.transfer",
        "json_repair.json_repair",
        "pandas",
        "s3transfer.subscribers",
    ]
)


@dataclass(frozen=True)
class StepFolder:
    """A processing directory with its input, and the settings of its runs."""

    root: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def outputs(self) -> dict[str, bytes]:
        """The bytes of the output files by name."""
        folder = self.root / "output" / "data"
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.csv"))}

    @property
    def log(self) -> str:
        return (self.root / "log.txt").read_text(encoding="utf-8")

    def summary(self) -> dict[str, object]:
        """The newest summary."""
        path = max((self.root / "output" / "summary").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return json.loads(path.read_text(encoding="utf-8"))


def lay_out(root: Path, rows: int, settings: Mapping[str, str], name: str = "review", every: int = 1) -> StepFolder:
    """Write an input of `rows` rows, or of each `every`-th of them, in two splits, with template and schema."""
    for split, first, last in (("train", 0, rows * 2 // 3), ("test", rows * 2 // 3, rows)):
        path = root / "input" / "data" / split / f"{split}.csv"
        path.parent.mkdir(parents=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "review"])
            writer.writerows([f"{row:05d}", f"{name} number {row}, „schön“"] for row in range(first, last, every))
    (root / "input" / "templates").mkdir()
    (root / "input" / "schema").mkdir()
    (root / "input" / "templates" / "prompts.json").write_text(json.dumps(TEMPLATE), encoding="utf-8")
    (root / "input" / "schema" / "validation_schema_1.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    # The answers of one folder must not be found by the runs of another one.
    apart = {"BEDROCK_ANSWERS_S3_PATH": f"s3://{BUCKET}/{uuid4().hex}"}
    return StepFolder(root, {**apart, **settings})


def batch_settings(local: LocalBedrock, **more: str) -> dict[str, str]:
    """Return the settings of a batch run with several small jobs and its ledger in S3."""
    return {
        **local.environment,
        "BEDROCK_PRIMARY_MODEL_ID": "us.anthropic.claude-sonnet-4-20250514-v1:0",
        "BEDROCK_MAX_TOKENS": "512",
        "BEDROCK_BATCH_MODE": "batch",
        "BEDROCK_BATCH_ROLE_ARN": "arn:aws:iam::123456789012:role/batch",
        "BEDROCK_BATCH_INPUT_S3_PATH": f"s3://{BUCKET}/in",
        "BEDROCK_BATCH_OUTPUT_S3_PATH": f"s3://{BUCKET}/out",
        "BEDROCK_MIN_RECORDS_PER_JOB": "10",
        "BEDROCK_MAX_RECORDS_PER_JOB": "20",
        "BEDROCK_BATCH_POLL_INITIAL_SECONDS": "0.05",
        "BEDROCK_BATCH_POLL_MAX_SECONDS": "0.1",
        "BEDROCK_BATCH_LEASE_SECONDS": "0.4",
        "BEDROCK_RATE_LIMIT_PER_SECOND": "1000",
        "BEDROCK_CANARY_RECORDS": "0",
        **more,
    }


def realtime_settings(local: LocalBedrock, **more: str) -> dict[str, str]:
    """Return the settings of a real-time run with its ledger in S3."""
    return batch_settings(local, BEDROCK_BATCH_MODE="realtime", **more)


def start(folder: StepFolder) -> BaseProcess:
    """Start the step on a folder."""
    process = _PROCESSES.Process(target=_run, args=(str(folder.root), dict(folder.settings)))
    process.start()
    return process


def run_to_end(folder: StepFolder, timeout: float = 60.0) -> int:
    """Run the step and return its exit code."""
    process = start(folder)
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"the step did not end in {timeout} s:\n{folder.log[-3000:]}")
    return process.exitcode


def kill(process: BaseProcess) -> None:
    """Kill the process with SIGKILL, which it cannot handle."""
    process.kill()
    process.join()


def _damage_machine(settings: Mapping[str, str]) -> None:
    """Limit the size of files (`TEST_FILE_BYTES`) or make the clock jump by days (`TEST_CLOCK_JUMPS`)."""
    if "TEST_FILE_BYTES" in settings:
        limit = int(settings["TEST_FILE_BYTES"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if "TEST_CLOCK_JUMPS" in settings:
        real, days = time.time, itertools.cycle((0, -1, 1))
        time.time = lambda: real() + 86400 * next(days)


def _run(root: str, settings: dict[str, str]) -> None:
    import bedrock_batch_processing

    descriptor = os.open(Path(root) / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 2)
    os.environ.clear()
    os.environ.update(settings)
    _damage_machine(settings)
    bedrock_batch_processing.run_process(["--job_type", "training", "--processing-dir", root])
