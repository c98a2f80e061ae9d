"""Builds the plan as data: what a run would do, and at what cost."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor
from bedrock_batch.batch.job_files.plan import JobPlan, job_limits, plan_jobs
from bedrock_batch.batch.jobs.cutover import CLOSING_SECONDS, RESERVE, STOPPING_SECONDS
from bedrock_batch.batch.mode import Decision
from bedrock_batch.commands.plan.batch_time import BatchTime, estimate_times
from bedrock_batch.commands.plan.caching import describe_caching
from bedrock_batch.commands.plan.counting import refine
from bedrock_batch.commands.plan.lint import find_cost_problems, find_model_problems, find_problems
from bedrock_batch.commands.plan.reading import Reading, ShownPrompt, read_prompts
from bedrock_batch.commands.preparation import PreparedRun, StepRequest, prepare_run
from bedrock_batch.costs.durations import answer_seconds
from bedrock_batch.costs.estimate import Estimate, Interval
from bedrock_batch.dataset.splits import Split, SplitRows
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import Settings
from bedrock_batch.environment.variables.batch import BatchSpread
from bedrock_batch.errors import RunError
from bedrock_batch.ledger.run import RunOptions
from bedrock_batch.realtime.reuse.answer_lookup import KnownQuestions, find_known
from bedrock_batch.records import Source

PLAN_VERSION = 1


def build_plan(prepared: PreparedRun, *, show_rows: bool = False, set_by_local: Collection[str] = ()) -> dict[str, Any]:
    """Read every row and the answer store, and return the plan as JSON values.

    The service counts tokens and describes the models, no more. The plan contains the text of rows only with
    `show_rows`. `set_by_local` names the variables that `--local` has set and the user has not.
    """
    processor, splits, settings = prepared.processor, prepared.splits, prepared.processor.settings
    stored, obstacles = _look_up(processor, splits)
    reading = read_prompts(splits, processor, stored.mask if stored else None)
    count = len(reading.line_sizes) if reading.reused_rows else reading.rows
    decision = _decide(prepared, reading, count)
    spread = _describe_spread(settings, reading.line_sizes, count) if decision.use_batch else None
    times = estimate_times(processor, spread) if spread else {}
    jobs = _plan_jobs(settings, settings.batch_spread, reading.line_sizes, count)
    estimate = refine(processor.estimate(reading.prompt_size), reading.sample, processor)
    cost = _describe_cost(processor, estimate)
    set_aside = len(jobs.set_aside) if decision.use_batch else 0
    problems = find_model_problems(processor) + find_problems(reading, processor, set_aside)
    problems += find_cost_problems(processor, estimate, decision.use_batch)
    conditions = describe_conditions(settings, count, processor.model_obstacles(), set_by_local)
    return {
        "plan_version": PLAN_VERSION,
        "job_type": processor.context.job_type,
        "model": _describe_model(processor),
        "rows": reading.rows,
        "sample": prepared.sample and prepared.sample.as_dict(),
        "splits": _describe_splits(splits, reading),
        "answer_store": stored and _describe_answers(stored, reading),
        "mode": {**_describe_mode(decision, count, reading), "conditions": conditions},
        "jobs": _describe_jobs(jobs, reading.line_sizes) if decision.use_batch else [],
        "spread": spread and {**spread, "seconds": {name: time.seconds for name, time in times.items()}},
        "records_outside_jobs": set_aside,
        "prompts": [_describe_prompt(prompt, show_rows) for prompt in reading.shown],
        "estimate": estimate.as_dict(),
        "cost": cost,
        "prompt_caching": describe_caching(processor, estimate.records),
        "time": _describe_time(settings, estimate, times[settings.batch_spread] if times else None),
        "deadline": describe_deadline(processor.context, _realtime_seconds(settings, estimate), cost["realtime_usd"]),
        "problems": [*prepared.warnings, *obstacles, *problems],
    }


def _look_up(processor: BedrockBatchProcessor, splits: tuple[Split, ...]) -> tuple[KnownQuestions | None, list[str]]:
    """Return what the answer store knows of the rows, and why it cannot be read."""
    options = RunOptions(state_folder=processor.context.state_folder)
    try:
        return find_known(processor, SplitRows(splits), options), []
    except RunError as error:
        return None, [f"the plan is made without the answers of earlier runs, and the run would end: {error}"]


def _decide(prepared: PreparedRun, reading: Reading, count: int) -> Decision:
    """Return the mode for the rows that are asked, as the run decides it."""
    if not reading.reused_rows:
        return prepared.decision
    if not count:
        return Decision(False, ("the answer store answers every row",))
    return prepared.processor.check_mode(count)


def _describe_mode(decision: Decision, count: int, reading: Reading) -> dict[str, Any]:
    mode = "batch" if decision.use_batch else "realtime"
    return {"mode": "none" if reading.reused_rows and not count else mode, "reasons": list(decision.reasons)}


def _describe_answers(stored: KnownQuestions, reading: Reading) -> dict[str, Any]:
    return {
        "location": stored.location,
        "reused_records": reading.reused_rows,
        "waiting_records": stored.waiting,
        "asked_records": len(reading.line_sizes),
    }


def describe_conditions(
    settings: Settings, count: int, of_model: Sequence[str] = (), set_by_local: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return the conditions of batch inference: for each if it is met, its text, and what to set if it is not.

    `of_model` lists the obstacles in the model. `set_by_local` names the variables that only `--local` has set.
    """
    needed = (
        ("BEDROCK_BATCH_ROLE_ARN", settings.batch_role_arn, "the ARN of the jobs' service role"),
        ("BEDROCK_BATCH_INPUT_S3_PATH", settings.batch_input_s3_path, "s3://BUCKET/PATH"),
        ("BEDROCK_BATCH_OUTPUT_S3_PATH", settings.batch_output_s3_path, "s3://BUCKET/PATH"),
    )
    conditions = [
        (settings.batch_mode != "realtime", f"BEDROCK_BATCH_MODE is {settings.batch_mode}", "auto or batch"),
        *((bool(value), _is_set(name, set_by_local), remedy) for name, value, remedy in needed),
        *((False, "the model can be asked by batch inference", obstacle) for obstacle in of_model),
        (
            count >= settings.min_records_per_job,
            f"{count} records reach BEDROCK_MIN_RECORDS_PER_JOB={settings.min_records_per_job}",
            "AWS accepts no smaller job: add records",
        ),
    ]
    if settings.batch_mode == "auto":
        is_run = not settings.takes_sample
        conditions.append((is_run, "all rows are asked and no sample", "BEDROCK_BATCH_MODE=batch"))
        conditions.append(
            (
                count >= settings.batch_threshold,
                f"{count} records reach BEDROCK_BATCH_THRESHOLD={settings.batch_threshold}",
                f"BEDROCK_BATCH_THRESHOLD={max(count, 1)} or less, or BEDROCK_BATCH_MODE=batch",
            )
        )
    return [{"met": met, "condition": text, "to_meet_it": None if met else remedy} for met, text, remedy in conditions]


def _is_set(name: str, set_by_local: Collection[str]) -> str:
    return f"{name} is set by --local: set it yourself for a run on AWS" if name in set_by_local else f"{name} is set"


def _plan_jobs(settings: Settings, spread: BatchSpread, sizes: array[int], count: int) -> JobPlan:
    """Return the jobs of one spread; `count` is what the run knows of its records before it renders them."""
    return plan_jobs(sizes, job_limits(replace(settings, batch_spread=spread), count))


def _describe_model(processor: BedrockBatchProcessor) -> dict[str, Any]:
    model_input, settings = processor.model_input, processor.settings
    return {
        "model_id": processor.effective_model_id,
        "fallback_model_id": settings.fallback_model_id or None,
        "region": settings.region_name,
        "api": model_input.api,
        "structured_output": model_input.output_mode,
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


def _describe_spread(settings: Settings, sizes: array[int], count: int) -> dict[str, Any]:
    """Return how both ways to divide the rows into jobs differ; memory holds one plan at a time."""
    described: dict[str, Any] = {"chosen": settings.batch_spread}
    for spread in get_args(BatchSpread):
        lengths = [len(job) for job in _plan_jobs(settings, spread, sizes, count).jobs]
        described[spread] = {
            "jobs": len(lengths),
            "jobs_at_a_time": min(len(lengths), settings.max_concurrent_batch_jobs),
            "most_records": max(lengths, default=0),
        }
    return described


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
    price = processor.expected_price()
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


def _describe_time(settings: Settings, estimate: Estimate, batch: BatchTime | None) -> dict[str, Any]:
    note = "real time: 1 s and then 30 to 100 tokens per second for each answer, without throttling"
    return {
        "realtime_seconds": _realtime_seconds(settings, estimate).as_dict(),
        "batch_seconds": batch and batch.seconds,
        "past_jobs": batch and batch.past_jobs,
        "note": f"{note}; batch: {batch.note}" if batch else note,
    }


def describe_deadline(
    context: RunContext, realtime: Interval, realtime_usd: Mapping[str, float] | None
) -> dict[str, Any] | None:
    """Return whether the deadline is met even if no job ends in time, and what that costs; None without a deadline.

    `realtime` is how many seconds it takes to ask everything in real time.
    """
    if context.due is None:
        return None
    left = context.due - context.clock()
    room = left - CLOSING_SECONDS - STOPPING_SECONDS
    return {
        "seconds_left": round(left),
        "realtime_seconds": round(RESERVE * realtime.high),
        "certain": RESERVE * realtime.high <= room,
        "likely": RESERVE * realtime.likely <= room,
        "costs_at_most_usd": realtime_usd and realtime_usd["high"],
    }


def _realtime_seconds(settings: Settings, estimate: Estimate) -> Interval:
    workers = 1 if settings.concurrency_mode == "sequential" else settings.max_concurrent_workers
    seconds = answer_seconds(estimate.output_tokens.times(1 / max(1, estimate.records)))
    per_second = (
        min(settings.rate_limit_per_second, workers / each) for each in (seconds.low, seconds.likely, seconds.high)
    )
    return Interval(*(estimate.records / rate for rate in per_second))


def plan_step(request: StepRequest, *, show_rows: bool = False) -> dict[str, Any]:
    """Return what a run would do and cost, as JSON values, without asking a model.

    ConfigurationError names every problem that would stop the run before it begins.
    """
    return build_plan(prepare_run(request), show_rows=show_rows, set_by_local=request.set_by_local)
