"""The run command: answers the rows of all splits and writes output files, summary and report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor
from bedrock_batch.commands.input_columns import check_columns
from bedrock_batch.commands.preparation import PreparedRun, StepRequest, prepare_run, take_sample
from bedrock_batch.dataset.splits import open_split
from bedrock_batch.environment.callable_log import Log, as_logger
from bedrock_batch.environment.container.paths import (
    check_apart,
    make_output_folder,
)
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import RunError, RunSubmitted
from bedrock_batch.outputs.observers import Observers
from bedrock_batch.outputs.original_keys import describe_split
from bedrock_batch.outputs.report.page import write_report
from bedrock_batch.outputs.split_files import RunResult, process_splits
from bedrock_batch.outputs.summary import closing_line, summarize_run, write_summary
from bedrock_batch.text import format_duration


def run_step(request: StepRequest) -> dict[str, Any]:
    """Run the step and return its summary.

    A run that does not wait for its batch jobs (`batch_wait`) has a summary with the state `submitted`, and no outputs.
    ConfigurationError names every problem of the configuration and the input before any model is asked. RunError says
    why a run failed after it had begun.
    """
    begun = time.monotonic()
    prepared = prepare_run(request)
    processor = prepared.processor
    for folder in request.output_paths.values():
        make_output_folder(folder)
    context, settings = processor.context, processor.settings
    started = context.now()
    for note in processor.model_input.notes:
        context.log.info("model=%s %s", processor.effective_model_id, note)
    result = _process(prepared)
    observers = Observers(context.log)
    sample = prepared.sample.as_dict() if prepared.sample else None
    seconds = time.monotonic() - begun
    summary = summarize_run(request.job_type, processor, result, started, seconds, observers, sample)
    kind = "sample_summary" if prepared.sample else "summary"  # nobody takes it for the summary of the run
    name = f"processing_{kind}_{request.job_type}_{started:%Y%m%d_%H%M%S}{context.instance.suffix}.json"
    path = write_summary(summary, Path(request.output_paths["analysis_summary"]) / name)
    if not settings.batch_wait:
        _write_state(summary, path, request.job_type + context.instance.suffix)
    if result.submission is not None:
        context.log.info("summary=%s %s", path, closing_line(summary))
        return summary
    report = path.with_name(name.replace("summary", "report")).with_suffix(".html")
    if observers.observe("the report", lambda: write_report(summary, report, result.samples), None):
        context.log.info("report=%s", report)
    context.log.info("summary=%s %s", path, closing_line(summary))
    if context.due is not None and context.clock() > context.due:
        context.log.warning("deadline=missed by %s", format_duration(context.clock() - context.due))
    _check_cost(summary["cost"])
    _check_error_rate(settings, summary)
    return summary


def _process(prepared: PreparedRun) -> RunResult:
    """Answer the rows of the splits; a run that does not wait has no splits if it leaves jobs to a later start."""
    try:
        return process_splits(prepared.splits, prepared.processor)
    except RunSubmitted as error:
        if not error.is_over:
            submission = {"left": str(error), **error.figures}
            return RunResult(error.run_id, error.ledger, [], submission=submission)
    prepared.processor.context.log.info("all batch jobs have ended meanwhile: their answers are collected")
    return _process(prepared)


def _write_state(summary: Mapping[str, Any], path: Path, name: str) -> None:
    """Write the state of a run beside its summary, under a name that a pipeline can know before the run."""
    state = {"state": summary["state"], "run_id": summary["run_id"], "summary": path.name}
    write_summary(state, path.with_name(f"processing_state_{name}.json"))


def process_split_directory(
    split_name: str,
    split_input_path: str | Path,
    split_output_path: str | Path,
    processor: BedrockBatchProcessor,
    config: Mapping[str, Any] | None = None,  # noqa: ARG001 - the specification names it; the processor has its settings
    log: Log | None = None,
) -> dict[str, Any]:
    """Answer the rows of one split, write its output files and return its figures."""
    logger = as_logger(log) or processor.context.log
    check_apart([split_input_path], [split_output_path])
    split = open_split(split_name, Path(split_input_path), Path(split_output_path), logger)
    check_columns([split], processor)
    sample = take_sample([split], processor)
    (result,) = process_splits(sample.splits if sample else (split,), processor).splits
    return describe_split(result, processor)


def _check_cost(cost: Mapping[str, Any]) -> None:
    if cost["limit_reached"]:
        raise RunError(
            f"{cost['limit_reached']}: no further record was asked. The outputs are written; start the step again with "
            "a higher limit to continue, without paying for an answered record twice"
        )


def _check_error_rate(settings: Settings, summary: Mapping[str, Any]) -> None:
    total, failed = summary["total_records"], summary["failed_records"]
    if total and failed and failed / total >= settings.max_error_rate:
        raise RunError(
            f"{failed} of {total} records have no answer, which reaches BEDROCK_MAX_ERROR_RATE="
            f"{settings.max_error_rate:g}; the outputs are written, and the summary lists the reasons"
        )
