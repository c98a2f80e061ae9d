"""Everything that happens before a run begins: its settings, inputs and folders are read and checked."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor
from bedrock_batch.batch.mode import Decision
from bedrock_batch.commands.input_channels import load_texts
from bedrock_batch.commands.input_columns import check_columns
from bedrock_batch.dataset.sample import Sample, draw_sample
from bedrock_batch.dataset.splits import TRAINING_SPLITS, Split, find_splits
from bedrock_batch.environment.container.instances import Instance, read_instance
from bedrock_batch.environment.container.paths import check_apart, check_outputs, read_max_runtime
from bedrock_batch.environment.context import LOGGER_NAME, RunContext, make_clients
from bedrock_batch.environment.deadline import with_deadline
from bedrock_batch.environment.settings import Settings, alias_notes, load_settings
from bedrock_batch.errors import Problems
from bedrock_batch.progress import LineProgress, Progress
from bedrock_batch.realtime.bedrock_processor import STATE_FOLDER
from bedrock_batch.records import RESPONSE_FIELD
from bedrock_batch.text import format_duration


@dataclass(frozen=True, slots=True)
class StepRequest:
    """What the caller of a run provides: folders by their keys in the contract, environment and arguments.

    `processing_dir` is the root of the container contract, None outside a container. `make_context` replaces the
    context that the settings give. `terminal` says that a person watches the standard error. `set_by_local` names the
    variables of `environ` that `--local` has set.
    """

    input_paths: Mapping[str, str]
    output_paths: Mapping[str, str]
    environ: Mapping[str, str]
    job_type: str
    batch_size: int | None = None
    max_retries: int | None = None
    limit_records: int | None = None
    sample_records: int | None = None
    processing_dir: Path | None = None
    log: logging.Logger = field(default_factory=lambda: logging.getLogger(LOGGER_NAME))
    make_context: Callable[[Settings], RunContext] | None = None
    terminal: bool = False
    set_by_local: frozenset[str] = frozenset()

    @property
    def overrides(self) -> dict[str, Any]:
        """The settings that the command line gives; they take precedence over the environment."""
        names = ("batch_size", "max_retries", "limit_records", "sample_records")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run that has been read and checked but not begun; `warnings` are those about its settings.

    `sample` describes the sample if the run answers only some of the rows.
    """

    processor: BedrockBatchProcessor
    splits: tuple[Split, ...]
    decision: Decision
    warnings: tuple[str, ...]
    sample: Sample | None = None


def prepare_run(request: StepRequest) -> PreparedRun:
    """Read and check everything that a run needs; ConfigurationError names every problem at once."""
    problems = Problems()
    loaded = problems.attempt(lambda: load_settings(request.environ, request.overrides))
    instance = problems.attempt(lambda: _read_instance(request)) or Instance()
    settings = instance.share(loaded[0]) if loaded else None
    warnings = tuple(loaded[1]) if loaded else ()
    for note in alias_notes(request.environ):
        request.log.info("%s", note)
    for warning in warnings:
        request.log.warning("%s", warning)
    problems.attempt(lambda: _check_outputs(request))
    texts = load_texts(request.input_paths, settings, request.processing_dir, request.log, problems)
    splits = problems.attempt(lambda: _find_splits(request, instance))
    processor = decision = sample = None
    if settings is not None and texts is not None:
        processor = problems.attempt(lambda: _make_processor(request, replace(settings, **texts), instance))
    if processor is not None and splits is not None:
        problems.attempt(lambda: check_columns(splits, processor))
        sample = take_sample(splits, processor)
        asked = sample.splits if sample else splits
        decision = problems.attempt(lambda: _decide(processor, asked, instance))
    problems.raise_any()
    if processor is None or splits is None or decision is None:
        raise AssertionError("without a problem there is a processor, there are splits and a decision")
    return PreparedRun(processor, sample.splits if sample else splits, decision, warnings, sample)


def take_sample(splits: Sequence[Split], processor: BedrockBatchProcessor) -> Sample | None:
    """Return the sample of the rows that the settings ask for, None if they ask for all rows."""
    settings, columns = processor.settings, processor.template.columns
    if settings.limit_records is not None:
        sample = draw_sample(splits, settings.limit_records, columns, "first")
    elif settings.sample_records is not None:
        sample = draw_sample(splits, settings.sample_records, columns, "hash")
    else:
        return None
    processor.context.log.info("sample=%d of=%d rows way=%s", sample.records, sample.of_records, sample.way)
    return sample


def _find_splits(request: StepRequest, instance: Instance) -> tuple[Split, ...]:
    return find_splits(
        Path(request.input_paths["input_data"]),
        Path(request.output_paths["processed_data"]),
        request.job_type,
        request.log,
        instance,
        request.processing_dir,
    )


def _decide(processor: BedrockBatchProcessor, splits: Sequence[Split], instance: Instance) -> Decision:
    """Return the mode of the run; ConfigurationError if the settings demand a mode that is impossible."""
    count = sum(split.count for split in splits)
    if not count and instance.count > 1:  # an instance without rows needs no mode: the others have the rows
        return processor.decide_for(count)
    return processor.check_mode(count)


def _check_outputs(request: StepRequest) -> None:
    """Raise InputError if an output would be outside the folders of the step or among its inputs."""
    root = request.processing_dir
    outputs: list[str | Path] = [*request.output_paths.values(), *_with_splits(request.output_paths["processed_data"])]
    if root is not None:
        check_outputs(root, [*outputs, root / STATE_FOLDER])
    inputs: list[str | Path] = [*request.input_paths.values(), *_with_splits(request.input_paths["input_data"])]
    check_apart(inputs, outputs)


def _with_splits(folder: str) -> list[Path]:
    return [Path(folder) / name for name in ("", *TRAINING_SPLITS)]


def _read_instance(request: StepRequest) -> Instance:
    """Return this process's place among the instances of the job; without a processing directory it is alone."""
    return read_instance(request.processing_dir.parent, TRAINING_SPLITS) if request.processing_dir else Instance()


def _make_processor(request: StepRequest, settings: Settings, instance: Instance) -> BedrockBatchProcessor:
    make_context = request.make_context or (lambda known: _make_context(request, known, instance))
    processor = BedrockBatchProcessor(settings, with_deadline(make_context(settings), settings))
    if (due := processor.context.due) is not None:
        request.log.info("deadline=in %s", format_duration(due - processor.context.clock()))
    if processor.schema is None:
        request.log.warning(
            "no validation schema: answers are not checked, and each becomes JSON text in the column %s",
            processor.columns.column_of(RESPONSE_FIELD),
        )
    return processor


def _make_context(request: StepRequest, settings: Settings, instance: Instance) -> RunContext:
    """Return the context of a run in its container, or outside of one."""
    state_folder = None
    deadline = None
    if request.processing_dir is not None:
        state_folder = request.processing_dir / STATE_FOLDER
        runtime = read_max_runtime(request.processing_dir.parent)
        deadline = None if runtime is None else time.monotonic() + runtime
    return RunContext(
        make_clients(settings, request.environ),
        state_folder=state_folder,
        processing_dir=request.processing_dir,
        job_type=request.job_type,
        instance=instance,
        log=request.log,
        deadline=deadline,
        progress=_make_progress(request, settings),
    )


def make_bare_context(request: StepRequest, settings: Settings) -> RunContext:
    """Return the context of a command that reads no data and asks no model: clients and the state folder."""
    if request.make_context is not None:
        return request.make_context(settings)
    state_folder = request.processing_dir / STATE_FOLDER if request.processing_dir else None
    return RunContext(make_clients(settings, request.environ), state_folder=state_folder)


def _make_progress(request: StepRequest, settings: Settings) -> Progress:
    """Return bars if a person watches and rich is installed, otherwise lines for a log."""
    if request.terminal:
        try:
            from bedrock_batch.progress_bars import BarProgress
        except ImportError:
            request.log.info(
                "progress bars need rich: pip install 'bedrock-batch-processing[terminal]'; logging lines instead"
            )
        else:
            return BarProgress()
    return LineProgress(request.log, metrics=settings.metrics_namespace, job_type=request.job_type)
