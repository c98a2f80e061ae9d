"""The plan as data: what a run would do, and at what cost."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

from bedrock_batch.batch_processor import BedrockBatchProcessor
from bedrock_batch.config import Settings
from bedrock_batch.decision import decide_mode
from bedrock_batch.estimate import Estimate, Interval
from bedrock_batch.jsonl import JobLimits, JobPlan, plan_jobs
from bedrock_batch.plan.counting import refine
from bedrock_batch.plan.lint import find_problems
from bedrock_batch.plan.reading import Reading, ShownPrompt, read_prompts
from bedrock_batch.records import Source
from bedrock_batch.splits import Split

PLAN_VERSION = 1
# What an answer in real time takes: a second until its first token, then 30 to 100 tokens a second (a likely 60).
FIRST_TOKEN_SECONDS = 1.0
TOKENS_PER_SECOND = (100.0, 60.0, 30.0)
# Jobs of 100 records were seen to take 10 to 15 minutes; AWS promises no time but the timeout.
SHORTEST_JOB_SECONDS = 600.0


def build_plan(
    splits: Sequence[Split], processor: BedrockBatchProcessor, warnings: Sequence[str] = (), *, show_rows: bool = False
) -> dict[str, Any]:
    """Read every row and return the plan as JSON values; the service is asked for token counts and nothing else.

    The text of rows is in it only with `show_rows`.
    """
    settings, reading = processor.settings, read_prompts(splits, processor)
    decision = decide_mode(settings, reading.rows)
    jobs = _plan_jobs(settings, reading.line_sizes)
    estimate = refine(processor.estimate(reading.meter), reading.sample, processor)
    unbatchable = len(jobs.unbatchable) if decision.use_batch else 0
    return {
        "plan_version": PLAN_VERSION,
        "job_type": processor.context.job_type,
        "model": _describe_model(processor),
        "rows": reading.rows,
        "splits": _describe_splits(splits, reading),
        "mode": {
            "mode": "batch" if decision.use_batch else "realtime",
            "reasons": list(decision.reasons),
            "conditions": describe_conditions(settings, reading.rows),
        },
        "jobs": _describe_jobs(jobs, reading.line_sizes) if decision.use_batch else [],
        "records_outside_jobs": unbatchable,
        "prompts": [_describe_prompt(prompt, show_rows) for prompt in reading.shown],
        "estimate": estimate.as_dict(),
        "cost": _describe_cost(processor, estimate),
        "time": _describe_time(settings, estimate, len(jobs.jobs)),
        "problems": [
            *warnings,
            *find_problems(reading, processor, unbatchable),
            *_cost_problems(processor, estimate, decision.use_batch),
        ],
    }


def describe_conditions(settings: Settings, count: int) -> list[dict[str, Any]]:
    """Return each condition of batch inference: whether it is met, in words, and what to set where it is not."""
    conditions = [
        (settings.batch_mode != "realtime", f"BEDROCK_BATCH_MODE is {settings.batch_mode}", "auto or batch"),
        (bool(settings.batch_role_arn), "BEDROCK_BATCH_ROLE_ARN is set", "the ARN of the jobs' service role"),
        (bool(settings.batch_input_s3_path), "BEDROCK_BATCH_INPUT_S3_PATH is set", "s3://BUCKET/PATH"),
        (bool(settings.batch_output_s3_path), "BEDROCK_BATCH_OUTPUT_S3_PATH is set", "s3://BUCKET/PATH"),
        (
            count >= settings.min_records_per_job,
            f"{count} records reach BEDROCK_MIN_RECORDS_PER_JOB={settings.min_records_per_job}",
            "AWS starts no smaller job: more records",
        ),
    ]
    if settings.batch_mode == "auto":
        conditions.append(
            (
                count >= settings.batch_threshold,
                f"{count} records reach BEDROCK_BATCH_THRESHOLD={settings.batch_threshold}",
                f"BEDROCK_BATCH_THRESHOLD={max(count, 1)} or less, or BEDROCK_BATCH_MODE=batch",
            )
        )
    return [{"met": met, "condition": text, "to_meet_it": None if met else remedy} for met, text, remedy in conditions]


def _plan_jobs(settings: Settings, sizes: array[int]) -> JobPlan:
    limits = JobLimits(settings.min_records_per_job, settings.max_records_per_job, settings.max_job_file_bytes)
    return plan_jobs(sizes, limits)


def _describe_model(processor: BedrockBatchProcessor) -> dict[str, Any]:
    model_input, settings = processor.model_input, processor.settings
    return {
        "model_id": processor.effective_model_id,
        "fallback_model_id": settings.fallback_model_id or None,
        "region": settings.region_name,
        "api": model_input.api,
        "structured_output": model_input.structure,
        "max_tokens": model_input.max_tokens,
    }


def _describe_splits(splits: Sequence[Split], reading: Reading) -> list[dict[str, Any]]:
    return [
        {
            "split": split.name,
            "rows": sum(file.rows for file in reading.files if file.split == split.name),
            "files": [
                {
                    "file": file.path.name,
                    "format": file.format,
                    "rows": file.rows,
                    "bytes": file.path.stat().st_size,
                    "missing_columns": list(file.missing),
                }
                for file in reading.files
                if file.split == split.name
            ],
        }
        for split in splits
    ]


def _describe_jobs(plan: JobPlan, sizes: array[int]) -> list[dict[str, int]]:
    return [
        {"job": index, "records": len(job), "bytes": sum(sizes[position] for position in job)}
        for index, job in enumerate(plan.jobs, 1)
    ]


def _describe_prompt(shown: ShownPrompt, show_rows: bool) -> dict[str, Any]:
    described = {
        "why": shown.why,
        "split": shown.split,
        "file": shown.file,
        "row": shown.row,
        "characters": len(shown.prompt),
        "missing_fields": list(shown.missing),
        "truncated_fields": list(shown.truncated),
    }
    return {**described, "prompt": shown.prompt} if show_rows else described


def _describe_cost(processor: BedrockBatchProcessor, estimate: Estimate) -> dict[str, Any]:
    book = processor.spending.book
    price = book.find(processor.effective_model_id)
    kinds: tuple[Source, ...] = ("batch", "realtime")
    costs = {f"{kind}_usd": estimate.cost(price, kind).as_dict(6) for kind in kinds} if price else {}
    return {
        "currency": "USD",
        "price_date": book.date,
        "price": price.as_dict() if price else None,
        "batch_usd": costs.get("batch_usd"),
        "realtime_usd": costs.get("realtime_usd"),
        "limit_usd": processor.settings.max_cost_usd,
    }


def _describe_time(settings: Settings, estimate: Estimate, jobs: int) -> dict[str, Any]:
    rounds = math.ceil(jobs / settings.max_concurrent_batch_jobs)
    return {
        "realtime_seconds": _realtime_seconds(settings, estimate).as_dict(),
        "batch_seconds": {
            "low": round(rounds * SHORTEST_JOB_SECONDS),
            "high": round(rounds * settings.batch_timeout_hours * 3600),
        }
        if jobs
        else None,
        "note": "real time: 1 s and then 30 to 100 tokens a second for each answer, without throttling; batch: AWS "
        "promises no time but the job's timeout",
    }


def _realtime_seconds(settings: Settings, estimate: Estimate) -> Interval:
    workers = 1 if settings.concurrency_mode == "sequential" else settings.max_concurrent_workers
    records = max(1, estimate.records)
    output = estimate.output_tokens
    seconds = (
        FIRST_TOKEN_SECONDS + tokens / records / speed
        for tokens, speed in zip((output.low, output.likely, output.high), TOKENS_PER_SECOND, strict=True)
    )
    per_second = (min(settings.rate_limit_per_second, workers / each) for each in seconds)
    return Interval(*(estimate.records / rate for rate in per_second))


def _cost_problems(processor: BedrockBatchProcessor, estimate: Estimate, use_batch: bool) -> list[str]:
    price = processor.spending.book.find(processor.effective_model_id)
    limit = processor.settings.max_cost_usd
    if price is None:
        return [
            f"no price is known for {processor.effective_model_id}: the plan has tokens only; give its price in "
            "BEDROCK_PRICES"
        ]
    problems = []
    if price.batch_assumed and use_batch:
        problems.append("the batch price of this model is not listed: half of its on-demand price is assumed")
    cost = estimate.cost(price, "batch" if use_batch else "realtime")
    if limit is not None and cost.likely > limit:
        problems.append(f"the likely cost is above BEDROCK_MAX_COST_USD={limit:g}: the run would be refused")
    elif limit is not None and cost.high > limit:
        problems.append(
            f"the highest cost is above BEDROCK_MAX_COST_USD={limit:g}: the run may stop before all records are asked"
        )
    return problems
