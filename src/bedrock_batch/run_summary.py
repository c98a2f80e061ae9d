"""The summary of a run: its figures, its jobs, its cost, and under what it ran."""

from __future__ import annotations

import platform
from dataclasses import asdict
from datetime import datetime
from importlib import metadata
from typing import Any

from bedrock_batch import __version__
from bedrock_batch.batch_processor import BedrockBatchProcessor
from bedrock_batch.distributions import Histogram, describe_fields
from bedrock_batch.packages import RUNTIME_PACKAGES
from bedrock_batch.records import Source
from bedrock_batch.split_outputs import RunResult
from bedrock_batch.summary import SCHEMA_VERSION, Figures
from bedrock_batch.token_advice import TokenUse, token_advice

_DISTRIBUTIONS = tuple(requirement.partition(">=")[0] for requirement in RUNTIME_PACKAGES)


def summarize_run(
    job_type: str,
    processor: BedrockBatchProcessor,
    result: RunResult,
    started: datetime,
    seconds: float,
) -> dict[str, Any]:
    """Return the summary of a run as JSON values; RunError when its figures do not add up."""
    run = Figures()
    for split in result.splits:
        split.figures.check(f"split {split.name}")
        run.merge(split.figures)
    run.check("the run")
    figures = run.as_dict()
    rates = {f"overall_{name}": figures.pop(name) for name in ("success_rate", "validation_rate")}
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": result.run_id,
        "ledger": result.ledger,
        "job_type": job_type,
        "instance": processor.context.host.as_dict(),
        **figures,
        **rates,
        "batch_processing_used": processor.batch_used,
        "batch_job_info": {
            "decision": list(processor.decision.reasons) if processor.decision else [],
            "jobs": processor.jobs,
            "salvaged": run.salvage(),
        },
        "cost": _cost(processor),
        "fields": describe_fields({split.name: split.distributions for split in result.splits}),
        "histograms": _histograms(result, processor),
        "model": processor.model_report(),
        "max_tokens": _max_tokens(processor, run),
        "shared_prompts": _shared_prompts(processor),
        "truncation_stats": asdict(processor.template.truncation),
        "splits_processed": [split.as_dict() for split in result.splits],
        "rate_limit": asdict(processor.realtime.limiter.snapshot()),
        "started": started.isoformat(),
        "finished": processor.context.now().isoformat(),
        "duration_seconds": round(seconds, 3),
        "versions": _versions(),
        "settings": processor.settings.public(),
    }


def _histograms(result: RunResult, processor: BedrockBatchProcessor) -> dict[str, Any]:
    """Return the tokens of the run's records and the times of its real-time answers."""
    tokens = {"input_tokens": Histogram(), "output_tokens": Histogram()}
    for split in result.splits:
        for name, histogram in tokens.items():
            histogram.merge(getattr(split.distributions, name))
    shown = {**tokens, "latency_seconds": processor.realtime.latency}
    return {name: histogram.as_dict() for name, histogram in shown.items()}


def _cost(processor: BedrockBatchProcessor) -> dict[str, Any]:
    """Return what the run cost, and beside it what the same prompts were estimated to take."""
    estimate = processor.estimate(processor.prompt_meter)
    price = processor.spending.book.find(processor.effective_model_id)
    kinds: tuple[Source, ...] = ("batch", "realtime")
    usd = {kind: estimate.cost(price, kind).as_dict(4) for kind in kinds} if price else None
    return {**processor.spending.as_dict(), "estimate": {**estimate.as_dict(), "usd": usd}}


def _max_tokens(processor: BedrockBatchProcessor, run: Figures) -> dict[str, Any]:
    """Return what the limit of tokens costs in real time, with advice where it is far above what answers use."""
    use = TokenUse(
        run.realtime_answers,
        run.tokens["realtime_input_tokens"],
        run.tokens["realtime_output_tokens"],
        run.longest_answer,
        processor.ladder.capabilities.burndown,
    )
    told = token_advice(processor.model_input.max_tokens, use)
    if told["advice"]:
        processor.context.log.info("%s", told["advice"])
    return told


def _shared_prompts(processor: BedrockBatchProcessor) -> dict[str, int] | None:
    """Return how many rows there were and how many different prompts; None where every row is asked by itself."""
    shared = processor.shared
    return {"rows": shared.rows, "distinct": shared.distinct} if shared else None


def _versions() -> dict[str, str]:
    versions = {"bedrock_batch": __version__, "python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # a package may lie on the path without its metadata
            versions[name] = "unknown"
    return versions
