"""The step run in this process against a local Bedrock, on a fast clock, and what both sides record of the run."""

from __future__ import annotations

import json
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import botocore.loaders
import botocore.session

from bedrock_batch.aws.clients import ClientFactory
from bedrock_batch.commands.preparation import StepRequest
from bedrock_batch.commands.run import run_step
from bedrock_batch.environment.container.paths import container_paths
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import Settings
from helpers.table_files import make_rows, read_outputs, write_table
from local_bedrock import Behaviour, LocalBedrock, prompt_hash
from local_bedrock.batch.jobs import Job
from local_bedrock.journal import CallInfo

_LOADER = botocore.loaders.create_loader()
BUCKET = "batch-runs"
MODEL = "us.anthropic.claude-sonnet-4-20250514-v1:0"
NOVA = "us.amazon.nova-lite-v1:0"
ROLE = "arn:aws:iam::123456789012:role/batch"
SYSTEM = "Answer with JSON."
TEMPLATE = "Which category has this message? {text}"
SCHEMA = {
    "type": "object",
    "properties": {
        "category": {"type": "string", "enum": ["praise", "complaint", "question"]},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "reason": {"type": "string"},
    },
    "required": ["category", "confidence"],
}
ENVIRON = {
    "BEDROCK_PRIMARY_MODEL_ID": MODEL,
    "BEDROCK_MAX_TOKENS": "512",
    "BEDROCK_BATCH_ROLE_ARN": ROLE,
    "BEDROCK_BATCH_INPUT_S3_PATH": f"s3://{BUCKET}/input",
    "BEDROCK_BATCH_OUTPUT_S3_PATH": f"s3://{BUCKET}/output",
    "BEDROCK_BATCH_THRESHOLD": "10",
    "BEDROCK_MIN_RECORDS_PER_JOB": "5",
    "BEDROCK_MAX_RECORDS_PER_JOB": "20",
    "BEDROCK_CONCURRENCY_MODE": "concurrent",
    "BEDROCK_RATE_LIMIT_PER_SECOND": "100",
    "BEDROCK_OUTPUT_METADATA": "true",
    "BEDROCK_CANARY_RECORDS": "0",
}
# Four files in three formats, two of them in one split: 60 rows, which make 3 jobs.
FILES: Mapping[str, int] = {"train/a.csv": 15, "train/b.csv": 10, "val/c.tsv": 15, "test/d.parquet": 20}


class FastTime:
    """A clock and a sleep that run `speed` times as fast as the wall clock."""

    def __init__(self, speed: float = 1000.0) -> None:
        self._speed = speed

    def clock(self) -> float:
        return time.monotonic() * self._speed

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds) / self._speed)


@dataclass
class StepRun:
    """One run of the step: its outputs by split, its summary or its error, and its log."""

    world: World
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    error: BaseException | None = None
    log: list[str] = field(default_factory=list)

    @property
    def all_rows(self) -> list[dict[str, Any]]:
        """The rows of all splits, in the order of the run."""
        return [row for split in ("train", "val", "test", "training") for row in self.rows.get(split, [])]

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The jobs of the summary."""
        return list(self.summary["batch_job_info"]["jobs"])

    @property
    def salvaged(self) -> dict[str, int]:
        """The number of records that fell back to real time, by cause."""
        return {cause: each["records"] for cause, each in self.summary["batch_job_info"]["salvaged"].items()}

    def logged(self, part: str) -> bool:
        return any(part in line for line in self.log)


class World:
    """A processing directory, a local Bedrock with a behaviour, and runs of the step on both."""

    def __init__(
        self,
        root: Path,
        behaviour: Behaviour,
        files: Mapping[str, int] = FILES,
        schema: Mapping[str, Any] = SCHEMA,
        **environ: str,
    ) -> None:
        self.processing = root / "ml" / "processing"
        self.files = files
        # Local Bedrocks of one process share their buckets, and a test must not get the answers of another one.
        self.environ = {**ENVIRON, "BEDROCK_ANSWERS_S3_PATH": f"s3://{BUCKET}/{uuid4().hex}", **environ}
        self.local = LocalBedrock(behaviour, answers=schema, speed=4.0).start()
        self.local.create_bucket(BUCKET)
        self.inputs = write_inputs(self.processing / "input", files, schema)

    def close(self) -> None:
        self.local.stop()

    def run(
        self,
        *,
        speed: float = 1000.0,
        seconds_left: float | None = None,
        adapt: Callable[[RunContext], RunContext] = lambda context: context,
        **environ: str,
    ) -> StepRun:
        """Run the step. `seconds_left` is the time until the container is killed, on the step's clock."""
        run = StepRun(self)
        # On the fast clock the default lease would expire during a single write of the ledger.
        lease = {"BEDROCK_BATCH_LEASE_SECONDS": str(3 * speed)}
        everything = {**lease, **self.environ, **self.local.environment, **environ}
        fast = FastTime(speed)
        log = _listening_logger(run.log)

        def make_context(settings: Settings) -> RunContext:
            state = self.processing / ".bedrock-batch"
            state.mkdir(parents=True, exist_ok=True)
            return adapt(
                RunContext(
                    quick_clients(settings, everything),
                    state_folder=state,
                    job_type="training",
                    log=log,
                    clock=fast.clock,
                    sleep=fast.sleep,
                    uniform=random.Random(7).uniform,
                    deadline=None if seconds_left is None else fast.clock() + seconds_left,
                )
            )

        paths = container_paths(self.processing)
        try:
            run.summary = run_step(StepRequest(*paths, everything, "training", log=log, make_context=make_context))
        except (Exception, KeyboardInterrupt) as error:
            run.error = error
        run.rows = read_outputs(Path(paths[1]["processed_data"]))
        return run

    def answer(self, speed: float = 1000.0, **environ: str) -> StepRun:
        """Run the step, and raise its error if it fails."""
        run = self.run(speed=speed, **environ)
        if run.error is not None:
            raise run.error
        return run

    def run_short_of_time(self, when: Callable[[], bool]) -> StepRun:
        """Run the step in a container whose time drops to six minutes at the first poll after `when()` holds."""
        seconds_left, passed = 80_000.0, [0.0]

        def let_time_pass(call: CallInfo) -> None:
            if call.operation == "GetModelInvocationJob" and call.when == "after" and not passed[0] and when():
                passed[0] = seconds_left - 360.0

        def shift(context: RunContext) -> RunContext:
            return replace(context, clock=lambda: context.clock() + passed[0])

        self.local.on_call(let_time_pass)
        return self.run(speed=50.0, seconds_left=seconds_left, adapt=shift)

    @property
    def charges(self) -> Counter[str]:
        """How often each row, by id, was charged."""
        ids = {prompt_hash(TEMPLATE.replace("{text}", row["text"]), SYSTEM): row["id"] for row in self.inputs}
        return Counter({ids[prompt]: count for prompt, count in self.local.charges.items()})

    @property
    def realtime_ids(self) -> set[str]:
        """The ids of the rows that were answered in real time."""
        answered = self.local.realtime_answers
        return {row["id"] for row in self.inputs if prompt_hash(prompt_of(row), SYSTEM) in answered}


def quick_clients(settings: Settings, environ: Mapping[str, str]) -> ClientFactory:
    """Return clients that share parsed service models, which halves the time of a short run."""
    core = botocore.session.Session()
    core.register_component("data_loader", _LOADER)
    keys = {name.lower(): environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    services = ("bedrock", "bedrock-runtime", "s3")
    return ClientFactory(
        boto3.Session(botocore_session=core, region_name=settings.region_name, **keys),
        region_name=settings.region_name,
        endpoint_urls={name: environ[f"AWS_ENDPOINT_URL_{name.upper().replace('-', '_')}"] for name in services},
        read_timeout=settings.read_timeout_seconds,
        max_pool_connections=settings.max_concurrent_workers,
    )


def prompt_of(row: Mapping[str, str]) -> str:
    return TEMPLATE.replace("{text}", row["text"])


def write_inputs(folder: Path, files: Mapping[str, int], schema: Mapping[str, Any] = SCHEMA) -> list[dict[str, str]]:
    """Write the template, the schema and the data files with their numbers of rows; return all rows in order."""
    (folder / "templates").mkdir(parents=True)
    prompts = {"system_prompt": SYSTEM, "user_prompt_template": TEMPLATE, "input_placeholders": ["text"]}
    (folder / "templates" / "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")
    (folder / "schema").mkdir()
    (folder / "schema" / "validation_schema_20261124_120000.json").write_text(json.dumps(schema), encoding="utf-8")
    rows: list[dict[str, str]] = []
    for name, count in files.items():
        part = make_rows(count, len(rows))
        write_table(folder / "data" / name, part)
        rows += part
    return rows


def ids_in(world: World, job: Job, outcome: str | None = None) -> set[str]:
    """Return the row ids of a job's records: all of them, or those with one outcome."""
    if outcome is not None:
        return {_row_id(world, record_id) for record_id in job.ids_by_outcome.get(outcome, [])}
    return {_row_id(world, record_id) for record_id in sent_ids(world, job)}


def sent_ids(world: World, job: Job) -> list[str]:
    """Return the record ids in a job's input file in S3."""
    return [line["recordId"] for line in sent_lines(world, job)]


def sent_lines(world: World, job: Job) -> list[dict[str, Any]]:
    key = input_uri(job).removeprefix(f"s3://{BUCKET}/")
    data = world.local.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return [json.loads(line) for line in data.split(b"\n") if line]


def jobs_in_order(world: World) -> list[Job]:
    """Return the jobs in the order of their rows. Jobs are created in the order in which their uploads end."""
    return sorted(world.local.jobs, key=lambda job: job.name)


def input_uri(job: Job) -> str:
    return str(job.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])


def _row_id(world: World, record_id: str) -> str:
    return world.inputs[int(record_id[1:])]["id"]


def small(**more: Any) -> Behaviour:
    """Return a behaviour that accepts the small jobs of these tests."""
    return replace(Behaviour(min_records_per_job=5), **more)


def _listening_logger(lines: list[str]) -> logging.Logger:
    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.levelname} {record.getMessage()}")

    log = logging.Logger("batch-run", logging.INFO)  # not in the registry of loggers, so that runs do not share it
    log.addHandler(Keep())
    return log
