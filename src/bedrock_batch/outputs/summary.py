"""The summary of a run: its figures, jobs, cost, versions and settings."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bedrock_batch import __version__
from bedrock_batch.atomic_write import atomic_write
from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor
from bedrock_batch.costs.max_tokens_advice import TokenUse, token_advice
from bedrock_batch.environment.packages import RUNTIME_PACKAGES
from bedrock_batch.histogram import Histogram
from bedrock_batch.outputs.distributions import describe_fields
from bedrock_batch.outputs.figures import SCHEMA_VERSION, Figures
from bedrock_batch.outputs.observers import Observers
from bedrock_batch.outputs.original_keys import describe_split, original_keys
from bedrock_batch.outputs.split_files import RunResult
from bedrock_batch.records import Source

MOST_REASONS = 3
_NO_HISTOGRAMS = {name: Histogram().as_dict() for name in ("input_tokens", "output_tokens", "latency_seconds")}
_DISTRIBUTIONS = tuple(requirement.partition(">=")[0] for requirement in RUNTIME_PACKAGES)


def summarize_run(
    job_type: str,
    processor: BedrockBatchProcessor,
    result: RunResult,
    started: datetime,
    seconds: float,
    observers: Observers,
    sample: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the summary of a run, or of a `sample`, as JSON values; RunError if its figures do not add up.

    A figure that cannot be computed is left empty and logged as a warning.
    """
    observe = observers.observe
    run = _add_up(result)
    return {
        "schema_version": SCHEMA_VERSION,
        **_identity(job_type, processor, result, sample),
        **_overall(run),
        **original_keys(processor, result, started),
        "batch_processing_used": processor.batch_used,
        "batch_job_info": _batch_job_info(processor, run),
        "cost": {**processor.spending.as_dict(), "estimate": _estimate(processor, observers)},
        "fields": observe("the figures of fields", lambda: _fields(result), []),
        "histograms": observe("the histograms", lambda: _histograms(result, processor), _NO_HISTOGRAMS),
        "model": processor.primary_model.report(),
        "service_tier": _service_tier(processor),
        "prompt_caching": _prompt_caching(processor),
        "max_tokens": observe("the advice on max_tokens", lambda: _max_tokens(processor, run), None),
        "shared_prompts": _shared_prompts(processor),
        "truncation_stats": processor.truncation_stats,
        "routed_rules": processor.template.rules.as_dict() if processor.template.rules else None,
        "splits_processed": [describe_split(split, processor) for split in result.splits],
        "rate_limit": asdict(processor.realtime.limiter.snapshot()),
        "started": started.isoformat(),
        "finished": processor.context.now().isoformat(),
        "duration_seconds": round(seconds, 3),
        "versions": _versions(),
        "settings": processor.settings.public(),
    }


def _identity(
    job_type: str, processor: BedrockBatchProcessor, result: RunResult, sample: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return which run, and which part of the rows, the summary is about, and how far the run has come."""
    return {
        "state": _state(processor, result),
        "submission": result.submission,
        "run_id": result.run_id,
        "ledger": result.ledger,
        "job_type": job_type,
        "sample": None if sample is None else dict(sample),
        "instance": processor.context.instance.as_dict(),
    }


def _service_tier(processor: BedrockBatchProcessor) -> dict[str, Any]:
    return {
        "asked_for": processor.settings.service_tier,
        "served": processor.spending.tiers,
        "notes": list(processor.realtime.tiers.notes),
    }


def _prompt_caching(processor: BedrockBatchProcessor) -> dict[str, Any]:
    return {
        "asked_for": processor.settings.prompt_caching,
        **processor.spending.cache_use(),
        "notes": list(processor.realtime.caching.notes),
    }


def _state(processor: BedrockBatchProcessor, result: RunResult) -> str:
    if result.submission is not None:
        return "submitted"
    return "finished" if processor.spending.stopped is None else "stopped"


def _add_up(result: RunResult) -> Figures:
    """Return the figures of the run; RunError if those of a split or of the run do not add up."""
    run = Figures()
    for split in result.splits:
        split.figures.check(f"split {split.name}")
        run.merge(split.figures)
    run.check("the run")
    return run


def _overall(run: Figures) -> dict[str, Any]:
    """Return the figures of the run, with the rates under the names that the specification gives them."""
    figures = run.as_dict()
    rates = {f"overall_{name}": figures.pop(name) for name in ("success_rate", "validation_rate")}
    return {**figures, **rates}


def _batch_job_info(processor: BedrockBatchProcessor, run: Figures) -> dict[str, Any]:
    return {
        "decision": list(processor.decision.reasons) if processor.decision else [],
        "canary": processor.canary,
        "jobs": processor.jobs,
        "attached": processor.attached_jobs,
        "salvaged": run.fallback_as_dict(),
    }


def closing_line(summary: Mapping[str, Any]) -> str:
    """Return the last log line of a run: its rows, valid and invalid answers, failures and their main reasons."""
    if summary["submission"]:
        return (
            f"state=submitted: {summary['submission']['left']}. To collect, start the step again with the same inputs"
        )
    total, failed, valid = (summary[f"{name}_records"] for name in ("total", "failed", "validation_passed"))
    valid += summary["parse_status"].get("json_only", 0)  # without a schema, any JSON object is a valid answer
    sample = "of_sample=true " if summary["sample"] else ""
    words = f"{sample}records={total} valid={valid} invalid={total - failed - valid} failed={failed}"
    reasons = [f"{kind}={found['records']}" for kind, found in summary["error_kinds"].items()][:MOST_REASONS]
    return f"{words} reasons: {', '.join(reasons)}" if reasons else words


def _fields(result: RunResult) -> list[dict[str, Any]]:
    return describe_fields({split.name: split.distributions for split in result.splits})


def _histograms(result: RunResult, processor: BedrockBatchProcessor) -> dict[str, Any]:
    """Return histograms of the tokens of all records and of the latency of real-time answers."""
    tokens = {"input_tokens": Histogram(), "output_tokens": Histogram()}
    for split in result.splits:
        for name, histogram in tokens.items():
            histogram.merge(getattr(split.distributions, name))
    shown = {**tokens, "latency_seconds": processor.realtime.latency}
    return {name: histogram.as_dict() for name, histogram in shown.items()}


def _estimate(processor: BedrockBatchProcessor, observers: Observers) -> dict[str, Any] | None:
    """Return the estimate that the prompts of the run give."""
    return observers.observe("the estimate", lambda: _estimated(processor), None)


def _estimated(processor: BedrockBatchProcessor) -> dict[str, Any]:
    estimate = processor.measured or processor.estimate(processor.prompt_size)
    price = processor.expected_price()
    kinds: tuple[Source, ...] = ("batch", "realtime")
    usd = {kind: estimate.cost(price, kind).as_dict(4) for kind in kinds} if price else None
    return {**estimate.as_dict(), "usd": usd}


def _max_tokens(processor: BedrockBatchProcessor, run: Figures) -> dict[str, Any]:
    """Return what `max_tokens` reserves in real time, with advice if answers use far less."""
    use = TokenUse(
        run.realtime_answers,
        run.tokens["realtime_input_tokens"],
        run.tokens["realtime_output_tokens"],
        run.longest_answer,
        processor.primary_model.capabilities.burndown,
    )
    report = token_advice(processor.model_input.max_tokens, use)
    if report["advice"]:
        processor.context.log.info("%s", report["advice"])
    return report


def _shared_prompts(processor: BedrockBatchProcessor) -> dict[str, int] | None:
    """Return the numbers of rows and of distinct prompts, or None if every row was asked by itself."""
    shared = processor.shared
    return {"rows": shared.rows, "distinct": shared.distinct} if shared else None


def _versions() -> dict[str, str]:
    versions = {"bedrock_batch": __version__, "python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # a package may be on the path without its metadata
            versions[name] = "unknown"
    return versions


def write_summary(summary: Mapping[str, Any], path: Path) -> Path:
    """Write a summary as JSON and return its path; the file appears when it is complete."""
    # A file name that is not UTF-8 holds lone surrogates: escaped with a backslash they are valid escapes of JSON.
    data = json.dumps(summary, ensure_ascii=False, indent=2).encode("utf-8", "backslashreplace")
    with atomic_write(path) as file:
        file.write(data)
    return path
