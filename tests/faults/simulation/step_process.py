"""A start of the step as a simulated process: the real step with simulated clients and clocks."""

from __future__ import annotations

import csv
import fcntl
import importlib
import json
import logging
import os
import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3

from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor
from bedrock_batch.commands.preparation import StepRequest
from bedrock_batch.commands.run import run_step
from bedrock_batch.dataset.splits import find_splits
from bedrock_batch.environment.container.paths import make_output_folder
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import load_settings
from bedrock_batch.errors import BedrockBatchError, RunSubmitted
from bedrock_batch.outputs.split_files import process_splits
from bedrock_batch.progress import Progress
from bedrock_batch.realtime.bedrock_processor import STATE_FOLDER
from faults.simulation.model_answers import SCHEMA, TEMPLATE
from faults.simulation.primitives import WALL_START
from faults.simulation.scenario import Scenario
from faults.simulation.scheduler import Machine, Scheduler, current_task

TEXTS = {
    "BEDROCK_USER_PROMPT_TEMPLATE": TEMPLATE,
    "BEDROCK_SYSTEM_PROMPT": "You judge reviews.",
    "BEDROCK_INPUT_PLACEHOLDERS": '["review"]',
    "BEDROCK_VALIDATION_SCHEMA": json.dumps(SCHEMA),
}
_REAL_FLOCK = fcntl.flock
_META: dict[str, Any] = {}
# Imports that the step and its libraries delay: within a simulation, they would get simulated locks.
_IMPORTED_LATE = (
    "boto3.s3.transfer",
    "json_repair.json_repair",
    "numpy.random",
    "pandas",
    "pyarrow.acero",
    "pyarrow.dataset",
    "pyarrow.pandas_compat",
    "s3transfer.subscribers",
)


def prepare() -> None:
    """Import what must be imported before a simulation begins."""
    if not _META:
        for name in _IMPORTED_LATE:
            importlib.import_module(name)
        for service in ("bedrock", "bedrock-runtime", "s3"):
            service_meta(service)


def service_meta(service: str) -> Any:
    """Return botocore's model of a service, in which the step looks up whether an operation is supported."""
    if service not in _META:
        session = boto3.Session(aws_access_key_id="no", aws_secret_access_key="no", region_name="us-east-1")
        _META[service] = session.client(service).meta
    return _META[service]


class _Log(logging.Handler):
    """Keeps the log lines of a process, for debugging."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._scheduler = scheduler

    def createLock(self) -> None:
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        self.lines.append(f"{self._scheduler.now:9.2f} {record.levelname} {record.getMessage()}")
        return True


class StepProcess:
    """One start; its exit code is None while it runs, and if it was killed."""

    def __init__(
        self, scheduler: Scheduler, scenario: Scenario, clients: SimpleNamespace, number: int, folders: StepFolders
    ) -> None:
        draw = scheduler.random
        self.machine = Machine(f"process-{number}", draw.uniform(1e3, 1e6), draw.uniform(-300.0, 300.0))
        self.exit_code: int | None = None
        self.error: BaseException | None = None
        self.defect: str | None = None
        self.overran: float | None = None
        self.left_jobs = False
        self.folders = folders
        self._scheduler = scheduler
        self._scenario = scenario
        self._environ = scenario.later_environ if number else scenario.environ
        self._clients = clients
        self._log = _Log(scheduler)
        self._locks: list[tuple[int, tuple[int, int]]] = []
        self.machine.when_dead.append(self._release_locks)
        self.machine.lock_file = self._lock_file  # type: ignore[attr-defined]

    @property
    def log(self) -> list[str]:
        return self._log.lines

    @property
    def is_over(self) -> bool:
        return self.exit_code is not None or not self.machine.alive

    @property
    def has_done_its_work(self) -> bool:
        """Whether it wrote its outputs, even with exit code 1 because more rows failed than the settings accept."""
        return self.exit_code == 0 or "BEDROCK_MAX_ERROR_RATE" in str(self.error)

    def start(self) -> None:
        self._scheduler.start(self.machine, "main", self._main)

    def _main(self) -> None:
        try:
            self.left_jobs = self._leaves_jobs()
            self.exit_code = None if self.left_jobs else 0
        except Exception as error:
            self.error = error
            self.exit_code = getattr(error, "exit_code", 1)
            if not isinstance(error, BedrockBatchError) or "defect" in str(error):
                self.defect = traceback.format_exc()
        # The process ends here, and with it the daemon threads that still wait for a response.
        self._scheduler.kill(self.machine)

    def _leaves_jobs(self) -> bool:
        """Run the step once and return whether it leaves jobs to a later start, as its settings may say."""
        if self._scenario.whole_step:
            return bool(run_step(self._request())["state"] == "submitted")
        try:
            self._run_data_path()
        except RunSubmitted:
            return True
        return False

    def _run_data_path(self) -> None:
        settings, _ = load_settings(self._environ | TEXTS)
        log, folders = self._logger(), self.folders
        processor = BedrockBatchProcessor(settings, self._context(log)(settings))
        make_output_folder(folders.outputs)
        process_splits(find_splits(folders.inputs, folders.outputs, "training", log), processor)

    def _logger(self) -> logging.Logger:
        log = logging.Logger("simulated")
        log.addHandler(self._log)
        return log

    def _request(self) -> StepRequest:
        folders, log = self.folders, self._logger()
        inputs = {
            "input_data": str(folders.inputs),
            "prompt_templates": str(folders.inputs.parent / "templates"),
            "validation_schema": str(folders.inputs.parent / "schema"),
        }
        outputs = {"processed_data": str(folders.outputs), "analysis_summary": str(folders.root / "summary")}
        return StepRequest(inputs, outputs, self._environ, "training", log=log, make_context=self._context(log))

    def _context(self, log: logging.Logger) -> Any:
        limit = self._scenario.runtime_limit
        deadline = None if limit is None else self._clock() + limit
        if limit is not None:  # SageMaker kills a container whose time is up
            self._scheduler.after(limit, lambda: self._end_in_time(limit))

        def make(settings: Any) -> RunContext:
            return RunContext(
                self._clients,  # type: ignore[arg-type]  # the shape of a ClientFactory
                state_folder=self.folders.root / STATE_FOLDER,
                log=log,
                clock=self._clock,
                sleep=self._scheduler.sleep,
                now=self._now,
                uniform=self._scheduler.random.uniform,
                deadline=deadline,
                progress=Progress(self._clock),
            )

        return make

    def _end_in_time(self, limit: float) -> None:
        if not self.is_over:
            self.overran = limit
            self._scheduler.kill(self.machine)

    def _clock(self) -> float:
        return self._scheduler.now + self.machine.monotonic_start

    def _now(self) -> datetime:
        return datetime.fromtimestamp(WALL_START + self._scheduler.now + self.machine.wall_skew, timezone.utc)

    def _lock_file(self, descriptor: int, operation: int) -> None:
        _REAL_FLOCK(descriptor, operation)
        status = os.fstat(descriptor)
        self._locks.append((descriptor, (status.st_dev, status.st_ino)))

    def _release_locks(self) -> None:
        """Release the file locks of a killed process, as the kernel would: its files stay open here."""
        for descriptor, identity in self._locks:
            try:
                status = os.fstat(descriptor)
            except OSError:
                continue
            if (status.st_dev, status.st_ino) == identity:
                _REAL_FLOCK(descriptor, fcntl.LOCK_UN)


class StepFolders:
    """The folders of a process: `root` is its disk, and all processes share the inputs."""

    def __init__(self, root: Path, inputs: Path) -> None:
        self.root = root
        self.inputs = inputs
        self.outputs = root / "output"

    def tables(self) -> list[Path]:
        """Return all files in the output folder."""
        return sorted(path for path in self.outputs.rglob("*") if path.is_file()) if self.outputs.is_dir() else []


@contextmanager
def file_locks() -> Iterator[None]:
    """Make the file locks of simulated processes end with them, until the end of the block."""

    def flock(descriptor: Any, operation: int) -> None:
        task = current_task()
        if task is None:
            _REAL_FLOCK(descriptor, operation)
        else:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            task.machine.lock_file(number, operation)

    fcntl.flock = flock  # type: ignore[assignment]
    random_state = random.getstate()
    try:
        yield
    finally:
        fcntl.flock = _REAL_FLOCK
        random.setstate(random_state)


def lay_out_inputs(folder: Path, texts: list[str], files: int) -> Path:
    """Write the input folders of a run, with one split in this many files, and return the data folder."""
    inputs = folder / "data"
    if inputs.is_dir():
        return inputs
    inputs.mkdir(parents=True)
    for number in range(files):
        rows = range(len(texts) * number // files, len(texts) * (number + 1) // files)
        with (inputs / f"{number}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "review"])
            writer.writerows([f"{row:05d}", texts[row]] for row in rows)
    prompts = {
        "system_prompt": TEXTS["BEDROCK_SYSTEM_PROMPT"],
        "user_prompt_template": TEMPLATE,
        "input_placeholders": ["review"],
    }
    for name, content in (("templates/prompts", prompts), ("schema/validation_schema_1", SCHEMA)):
        path = folder / f"{name}.json"
        path.parent.mkdir()
        path.write_text(json.dumps(content), encoding="utf-8")
    return inputs
