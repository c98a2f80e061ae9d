"""The step run in-process against the local Bedrock, in fast time, and what both sides can tell about it afterwards."""

from __future__ import annotations

import gzip
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import botocore.loaders
import botocore.session
import pyarrow as pa
import pyarrow.parquet as pq

from bedrock_batch.aws.clients import ClientFactory
from bedrock_batch.config import Settings
from bedrock_batch.container import container_paths
from bedrock_batch.context import RunContext
from bedrock_batch.step import StepRequest, run_step
from bedrock_batch.tables.formats import detect_file_format
from bedrock_batch.tables.reader import open_table
from local_bedrock import Behaviour, LocalBedrock, prompt_hash
from local_bedrock.jobs import Job
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
}
# Text that every layer between a cell and an answer has to carry: line separators, quotes, braces, other scripts.
_AWKWARD = ("plain", 'with "quotes", commas', "a\u2028b\u0085c", "{text} and {id}", "line\nbreak", "Grüße 東京")


def make_rows(count: int, start: int = 0) -> list[dict[str, str]]:
    """Rows with an id that no number type would keep and a text of their own."""
    return [
        {"id": f"{number:06d}", "text": f"message {number}: {_AWKWARD[number % len(_AWKWARD)]}"}
        for number in range(start, start + count)
    ]


# Four files, two of them in one split, in every format: 60 rows, which make 3 jobs.
FILES: Mapping[str, int] = {"train/a.csv": 15, "train/b.csv": 10, "val/c.tsv": 15, "test/d.parquet": 20}


class FastTime:
    """A clock and a sleep for the step, both `speed` times as fast as the wall clock."""

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
        """The jobs as the summary tells them."""
        return list(self.summary["batch_job_info"]["jobs"])

    @property
    def salvaged(self) -> dict[str, int]:
        """How many records each cause sent from batch to real time."""
        return {cause: each["records"] for cause, each in self.summary["batch_job_info"]["salvaged"].items()}

    def logged(self, part: str) -> bool:
        return any(part in line for line in self.log)


class World:
    """A processing directory, a local Bedrock with a behaviour, and the step between them."""

    def __init__(self, root: Path, behaviour: Behaviour, files: Mapping[str, int] = FILES, **environ: str) -> None:
        self.processing = root / "ml" / "processing"
        self.files = files
        self.environ = {**ENVIRON, **environ}
        self.local = LocalBedrock(behaviour, answers=SCHEMA, speed=4.0).start()
        self.local.create_bucket(BUCKET)
        self.inputs = write_inputs(self.processing / "input", files)

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
        """Run the step; `seconds_left` is the time until the container is killed, on the step's own clock."""
        run = StepRun(self)
        everything = {**self.environ, **self.local.environment, **environ}
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
        """Run the step; an error of the step is one of the test."""
        run = self.run(speed=speed, **environ)
        if run.error is not None:
            raise run.error
        return run

    def run_short_of_time(self, when: Callable[[], bool]) -> StepRun:
        """Run the step in a container whose time is up but for six minutes at the first look at which `when` holds."""
        seconds_left, passed = 80_000.0, [0.0]

        def let_time_pass(call: CallInfo) -> None:
            if call.operation == "GetModelInvocationJob" and call.when == "after" and not passed[0] and when():
                passed[0] = seconds_left - 360.0

        def shift(context: RunContext) -> RunContext:
            return replace(context, clock=lambda: context.clock() + passed[0])

        self.local.on_call(let_time_pass)
        return self.run(speed=200.0, seconds_left=seconds_left, adapt=shift)

    @property
    def charges(self) -> Counter[str]:
        """How often each row, by its id, was paid for."""
        ids = {prompt_hash(TEMPLATE.replace("{text}", row["text"]), SYSTEM): row["id"] for row in self.inputs}
        return Counter({ids[prompt]: count for prompt, count in self.local.charges.items()})

    @property
    def realtime_ids(self) -> set[str]:
        """The ids of the rows that were answered in real time."""
        answered = self.local.realtime_answers
        return {row["id"] for row in self.inputs if prompt_hash(prompt_of(row), SYSTEM) in answered}


def quick_clients(settings: Settings, environ: Mapping[str, str]) -> ClientFactory:
    """The clients of a run, over service models that are parsed once for all tests: half of a short run's time."""
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


def write_inputs(folder: Path, files: Mapping[str, int]) -> list[dict[str, str]]:
    """Write template, schema and data files, each with its number of rows; returns all rows in order."""
    (folder / "templates").mkdir(parents=True)
    prompts = {"system_prompt": SYSTEM, "user_prompt_template": TEMPLATE, "input_placeholders": ["text"]}
    (folder / "templates" / "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")
    (folder / "schema").mkdir()
    (folder / "schema" / "validation_schema_20261124_120000.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    rows: list[dict[str, str]] = []
    for name, count in files.items():
        part = make_rows(count, len(rows))
        write_table(folder / "data" / name, part)
        rows += part
    return rows


def write_table(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = detect_file_format(path)
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
        return
    delimiter = "\t" if kind == "tsv" else ","
    lines = [delimiter.join(rows[0]), *(delimiter.join(_quoted(cell) for cell in row.values()) for row in rows)]
    data = ("\n".join(lines) + "\n").encode("utf-8")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def read_outputs(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of every split's output files, by split, as text where the format knows nothing else."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.rglob("*_processed_data*.*")):
        split = path.name.split("_processed_data")[0]
        for batch in open_table(path).batches():
            rows.setdefault(split, []).extend(
                {name: None if value is None else str(value) for name, value in row.items()}
                for row in batch.to_pylist()
            )
    return rows


def answers_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """What the model said for each row, by id, for rows that have an answer; blind to how it was got."""
    return {
        row["id"]: tuple(row[f"llm_{name}"] for name in ("category", "confidence", "reason", "parse_status"))
        for row in rows
        if row["llm_status"] == "success"
    }


def check_complete(run: StepRun, reference: Mapping[str, tuple[Any, ...]], *, unanswered: Iterable[str] = ()) -> None:
    """Every row once, in its place, with the answer of an undisturbed run; `unanswered` rows have an error instead."""
    inputs = run.world.inputs
    assert [row["id"] for row in run.all_rows] == [row["id"] for row in inputs]
    assert [row["text"] for row in run.all_rows] == [row["text"] for row in inputs]
    without = set(unanswered)
    assert {row["id"] for row in run.all_rows if row["llm_status"] == "error"} == without
    answers = answers_of(run.all_rows)
    assert [key for key, value in reference.items() if key not in without and answers.get(key) != value] == []
    figures = run.summary
    assert figures["total_records"] == len(inputs) == figures["successful_records"] + figures["failed_records"]
    assert figures["failed_records"] == len(without)
    assert sum(split["total_records"] for split in figures["splits_processed"]) == len(inputs)


def check_paid_once(run: StepRun, *, twice: Iterable[str] = (), never: Iterable[str] = ()) -> None:
    """Each row was charged once; `twice` names rows whose first, paid answer could not be used."""
    expected = Counter({row["id"]: 1 for row in run.world.inputs})
    expected.update(twice)
    for row_id in never:
        del expected[row_id]
    charges = run.world.charges
    assert {key: charges[key] for key in charges | expected if charges[key] != expected[key]} == {}, "rows and payments"


def ids_in(world: World, job: Job, outcome: str | None = None) -> set[str]:
    """The row ids of a job's records: all that were sent to it, or those with one outcome."""
    if outcome is not None:
        return {_row_id(world, record_id) for record_id in job.ids_by_outcome.get(outcome, [])}
    return {_row_id(world, record_id) for record_id in sent_ids(world, job)}


def sent_ids(world: World, job: Job) -> list[str]:
    """The record ids in the input file of a job, as they lie in S3."""
    return [line["recordId"] for line in sent_lines(world, job)]


def sent_lines(world: World, job: Job) -> list[dict[str, Any]]:
    key = input_uri(job).removeprefix(f"s3://{BUCKET}/")
    data = world.local.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return [json.loads(line) for line in data.split(b"\n") if line]


def jobs_in_order(world: World) -> list[Job]:
    """The jobs in the order of their rows; they are created in the order in which their uploads end."""
    return sorted(world.local.jobs, key=lambda job: job.name)


def input_uri(job: Job) -> str:
    return str(job.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])


def _row_id(world: World, record_id: str) -> str:
    return world.inputs[int(record_id[1:])]["id"]


def small(**more: Any) -> Behaviour:
    """A behaviour that takes the small jobs of these tests."""
    return replace(Behaviour(min_records_per_job=5), **more)


def _listening_logger(lines: list[str]) -> logging.Logger:
    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.levelname} {record.getMessage()}")

    log = logging.Logger("batch-run", logging.INFO)  # of this run alone: not in the registry of names
    log.addHandler(Keep())
    return log
