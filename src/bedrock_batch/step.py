"""The step: settings, template, schema and data in; answered splits and a summary out."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bedrock_batch.batch_processor import BedrockBatchProcessor
from bedrock_batch.config import Settings, load_settings
from bedrock_batch.container import check_folder, make_output_folder, read_max_runtime
from bedrock_batch.context import LOGGER_NAME, RunContext, make_clients
from bedrock_batch.doctor.examine import examine
from bedrock_batch.doctor.finding import Finding, Patient
from bedrock_batch.errors import Problems, RunError
from bedrock_batch.hosts import Host, read_host
from bedrock_batch.plan.build import build_plan
from bedrock_batch.processor import STATE_FOLDER
from bedrock_batch.progress import LineProgress, Progress
from bedrock_batch.prompts import load_prompt_templates
from bedrock_batch.report.page import write_report
from bedrock_batch.run_summary import summarize_run
from bedrock_batch.schema import load_validation_schema
from bedrock_batch.split_outputs import process_splits
from bedrock_batch.splits import TRAINING_SPLITS, Split, check_columns, find_splits, open_split
from bedrock_batch.summary import write_summary


@dataclass(frozen=True, slots=True)
class StepRequest:
    """What the caller of a run hands over: folders by their keys in the contract, environment and arguments.

    `processing_dir` is the root of the container contract where the run has one; `make_context` may replace the
    surroundings that follow from the settings. `terminal` says that a person watches the standard error.
    """

    input_paths: Mapping[str, str]
    output_paths: Mapping[str, str]
    environ: Mapping[str, str]
    job_type: str
    batch_size: int | None = None
    max_retries: int | None = None
    processing_dir: Path | None = None
    log: logging.Logger = field(default_factory=lambda: logging.getLogger(LOGGER_NAME))
    make_context: Callable[[Settings], RunContext] | None = None
    terminal: bool = False


def run_step(request: StepRequest) -> dict[str, Any]:
    """Run the step and return its summary.

    ConfigurationError names every problem of the configuration and the input before any call to AWS; RunError tells
    why a run that had begun failed.
    """
    begun = time.monotonic()
    processor, splits = _prepare(request)
    for folder in request.output_paths.values():
        make_output_folder(folder)
    context, settings = processor.context, processor.settings
    started = context.now()
    for note in processor.model_input.notes:
        context.log.info("model=%s %s", processor.effective_model_id, note)
    result = process_splits(splits, processor)
    summary = summarize_run(request.job_type, processor, result, started, time.monotonic() - begun)
    name = f"processing_summary_{request.job_type}_{started:%Y%m%d_%H%M%S}{context.host.suffix}.json"
    path = write_summary(summary, Path(request.output_paths["analysis_summary"]) / name)
    report = write_report(
        summary, path.with_name(name.replace("summary", "report")).with_suffix(".html"), result.samples
    )
    context.log.info("report=%s", report)
    context.log.info("summary=%s records=%d failed=%d", path, summary["total_records"], summary["failed_records"])
    _check_cost(summary["cost"])
    _check_error_rate(settings, summary)
    return summary


def plan_step(request: StepRequest, *, show_rows: bool = False) -> dict[str, Any]:
    """Return what a run would do and cost, as JSON values, having asked no model anything.

    ConfigurationError names every problem that would end the run before it begins.
    """
    processor, splits = _prepare(request)
    _, warnings = load_settings(request.environ)
    return build_plan(splits, processor, warnings, show_rows=show_rows)


def examine_step(request: StepRequest, *, call: bool = False) -> list[Finding]:
    """Return what the account, the role, the buckets and the model lack for runs under these settings.

    Data, template and schema are not needed. Nothing is paid for unless `call` asks for one tiny question.
    """
    settings, warnings = load_settings(request.environ)
    context = (request.make_context or (lambda known: RunContext(make_clients(known, request.environ))))(settings)
    opt_ml = request.processing_dir.parent if request.processing_dir else None
    return examine(Patient(settings, context, opt_ml, call, warnings))


def process_split_directory(
    split_name: str,
    split_input_path: str | Path,
    split_output_path: str | Path,
    processor: BedrockBatchProcessor,
    config: Mapping[str, Any] | None = None,  # noqa: ARG001 - of the specification; the processor has its settings
    log: logging.Logger | None = None,
) -> dict[str, Any]:
    """Answer the rows of one folder, write its output and return its figures."""
    log = log or processor.context.log
    split = open_split(split_name, Path(split_input_path), Path(split_output_path), log)
    check_columns([split], processor)
    (result,) = process_splits((split,), processor).splits
    return result.as_dict() | {"batch_processing_used": processor.batch_used}


def _prepare(request: StepRequest) -> tuple[BedrockBatchProcessor, tuple[Split, ...]]:
    """Return the processor and the splits of a run, everything read and checked, or raise all problems at once."""
    problems = Problems()
    overrides = {"batch_size": request.batch_size, "max_retries": request.max_retries}
    loaded = problems.attempt(lambda: load_settings(request.environ, overrides))
    host = problems.attempt(lambda: _read_host(request)) or Host()
    settings = host.share(loaded[0]) if loaded else None
    for warning in loaded[1] if loaded else ():
        request.log.warning("%s", warning)
    texts = _load_texts(request, settings, problems)
    splits = problems.attempt(
        lambda: find_splits(
            Path(request.input_paths["input_data"]),
            Path(request.output_paths["processed_data"]),
            request.job_type,
            request.log,
            host,
            request.processing_dir,
        )
    )
    processor = None
    if settings is not None and texts is not None:
        processor = problems.attempt(lambda: _make_processor(request, replace(settings, **texts), host))
    if processor is not None and splits is not None:
        problems.attempt(lambda: check_columns(splits, processor))
        count = sum(split.count for split in splits)
        if count or host.count == 1:  # a host without rows has no mode that could be wrong
            problems.attempt(lambda: processor.check_mode(count))
    problems.raise_any()
    if processor is None or splits is None:
        raise AssertionError("without a problem there is a processor and there are splits")
    return processor, splits


def _load_texts(request: StepRequest, settings: Settings | None, problems: Problems) -> dict[str, Any] | None:
    """Return template and schema as the settings hold them, from the input channels or else from the settings."""
    templates_path = Path(request.input_paths["prompt_templates"])
    schema_path = Path(request.input_paths["validation_schema"])
    before = len(problems.texts)
    for folder in (templates_path, schema_path):
        problems.attempt(lambda folder=folder: check_folder(request.processing_dir or folder, folder))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    if len(problems.texts) > before:
        return None
    texts: dict[str, Any] = {}
    if settings is None or not settings.user_prompt_template or _has_files(templates_path):
        templates = problems.attempt(lambda: load_prompt_templates(templates_path, request.log))
        if templates is not None:
            texts = {
                "user_prompt_template": templates["user_prompt_template"],
                "system_prompt": templates["system_prompt"],
                "input_placeholders": json.dumps(templates["input_placeholders"]),
            }
    if settings is None or not settings.validation_schema or _has_files(schema_path):
        schema = problems.attempt(lambda: load_validation_schema(schema_path, request.log))
        texts |= {"validation_schema": json.dumps(schema)} if schema is not None else {}
    return texts if len(problems.texts) == before else None


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("*.json"))


def _read_host(request: StepRequest) -> Host:
    """Return this process's place among the instances of the job; without a processing directory it is alone."""
    return read_host(request.processing_dir.parent, TRAINING_SPLITS) if request.processing_dir else Host()


def _make_processor(request: StepRequest, settings: Settings, host: Host) -> BedrockBatchProcessor:
    if request.make_context is not None:
        return BedrockBatchProcessor(settings, request.make_context(settings))
    state_folder = None
    deadline = None
    if request.processing_dir is not None:
        state_folder = request.processing_dir / STATE_FOLDER
        runtime = read_max_runtime(request.processing_dir.parent)
        deadline = None if runtime is None else time.monotonic() + runtime
    context = RunContext(
        make_clients(settings, request.environ),
        state_folder=state_folder,
        processing_dir=request.processing_dir,
        job_type=request.job_type,
        host=host,
        log=request.log,
        deadline=deadline,
        progress=_make_progress(request, settings),
    )
    return BedrockBatchProcessor(settings, context)


def _make_progress(request: StepRequest, settings: Settings) -> Progress:
    """Return bars where a person watches and the extra `terminal` is installed, else lines for a log."""
    if request.terminal:
        try:
            from bedrock_batch.bars import BarProgress
        except ImportError:
            request.log.info("bars need rich: pip install 'bedrock-batch-processing[terminal]'; lines come instead")
        else:
            return BarProgress()
    return LineProgress(request.log, metrics=settings.metrics_namespace, job_type=request.job_type)


def _check_cost(cost: Mapping[str, Any]) -> None:
    if cost["limit_reached"]:
        raise RunError(
            f"{cost['limit_reached']}: no further record was asked. The outputs are written; start the step again with "
            "a higher limit to go on, without paying for an answered record twice"
        )


def _check_error_rate(settings: Settings, summary: Mapping[str, Any]) -> None:
    total, failed = summary["total_records"], summary["failed_records"]
    if total and failed and failed / total >= settings.max_error_rate:
        raise RunError(
            f"{failed} of {total} records have no answer, which reaches BEDROCK_MAX_ERROR_RATE="
            f"{settings.max_error_rate:g}; the outputs are written, and the summary tells the reasons"
        )
