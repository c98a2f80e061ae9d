"""Renders the plan as plain text for terminals and logs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from bedrock_batch.text import format_duration, format_usd, human_bytes

WIDTH = 100
_MANY = 12


def render_plan(plan: Mapping[str, Any]) -> str:
    """Return a plan as text."""
    parts = (_head, _splits, _mode, _jobs, _prompts, _figures, _problems)
    return "\n".join(line for part in parts for line in part(plan))


def _head(plan: Mapping[str, Any]) -> Iterator[str]:
    model = plan["model"]
    yield f"Plan of a {plan['job_type']} job: nothing is asked, nothing is written"
    yield f"  model    {model['model_id']} in {model['region']}, at most {model['max_tokens']} tokens an answer"
    yield f"  request  {model['api']}, structured output by {model['structured_output']}"


def _splits(plan: Mapping[str, Any]) -> Iterator[str]:
    sample = f", a sample of {plan['sample']['of_records']:,}" if plan.get("sample") else ""
    yield f"\nData: {plan['rows']:,} rows{sample}"
    for split in plan["splits"]:
        yield f"  {split['split']}: {split['rows']:,} rows"
        for file in split["files"][:_MANY]:
            yield f"    {file['file']}  {file['rows']:,} rows, {human_bytes(file['bytes'])}"
        if len(split["files"]) > _MANY:
            yield f"    and {len(split['files']) - _MANY} more files"
    if (answers := plan.get("answer_store")) and answers["reused_records"]:
        yield f"  answered already: {answers['reused_records']:,} rows, by {answers['location']}"
        if answers["waiting_records"]:
            yield f"  of these, {answers['waiting_records']:,} are in batch jobs of unfinished runs, for which it waits"
        yield "  mode, jobs, tokens, cost and time below are those of the other rows"


def _mode(plan: Mapping[str, Any]) -> Iterator[str]:
    mode = plan["mode"]
    if mode["mode"] == "none":
        yield "\nMode: nothing is asked, since every row is answered already"
        return
    yield f"\nMode: {'batch inference' if mode['mode'] == 'batch' else 'real time'}"
    for condition in mode["conditions"]:
        if condition["met"]:
            yield f"  yes  {condition['condition']}"
        else:
            yield f"  NO   not so: {condition['condition']}. Set: {condition['to_meet_it']}"


def _jobs(plan: Mapping[str, Any]) -> Iterator[str]:
    jobs = plan["jobs"]
    if not jobs:
        return
    yield f"\nJobs: {len(jobs)}"
    for job in jobs[:_MANY]:
        yield f"  job {job['job']}: {job['records']:,} records, {human_bytes(job['bytes'])}"
    if len(jobs) > _MANY:
        yield f"  and {len(jobs) - _MANY} more"
    yield from _spread(plan["spread"])


def _spread(spread: Mapping[str, Any]) -> Iterator[str]:
    for name in ("full", "even"):
        jobs = spread[name]
        chosen = " (as set)" if name == spread["chosen"] else ""
        yield (
            f"  BEDROCK_BATCH_SPREAD={name}{chosen}: {jobs['jobs']} jobs of at most {jobs['most_records']:,} records, "
            f"{jobs['jobs_at_a_time']} at a time{_forecast(spread['seconds'][name])}"
        )


def _forecast(seconds: Mapping[str, int] | None) -> str:
    """Return in words how long jobs take, empty if past jobs do not show it."""
    if not seconds or "likely" not in seconds:
        return ""
    return f", {format_duration(seconds['low'])} to {format_duration(seconds['high'])}"


def _prompts(plan: Mapping[str, Any]) -> Iterator[str]:
    yield "\nPrompts" + ("" if any("prompt" in prompt for prompt in plan["prompts"]) else " (--show-rows prints them)")
    for prompt in plan["prompts"]:
        fields = [
            f"{name} {', '.join(prompt[key])}"
            for name, key in (("missing or empty:", "missing_fields"), ("truncated:", "truncated_fields"))
            if prompt[key]
        ]
        yield (
            f"  {prompt['why']}: {prompt['split']}/{prompt['file']} row {prompt['row']}, {prompt['characters']:,} "
            f"characters{'; ' + '; '.join(fields) if fields else ''}"
        )
        if "prompt" in prompt:
            yield textwrap.indent(prompt["prompt"], "    | ", lambda _: True)


def _figures(plan: Mapping[str, Any]) -> Iterator[str]:
    estimate, cost, time = plan["estimate"], plan["cost"], plan["time"]
    yield "\nEstimate                 low        likely          high"
    for label, interval in (("input tokens", estimate["input_tokens"]), ("output tokens", estimate["output_tokens"])):
        yield f"  {label:15}" + "".join(f"{interval[name]:>13,.0f}" for name in ("low", "likely", "high"))
    for label, key in (("batch", "batch_usd"), ("real time", "realtime_usd")):
        if cost[key]:
            yield f"  {label:15}" + "".join(f"{format_usd(cost[key][name]):>13}" for name in ("low", "likely", "high"))
    yield from _caching(plan["prompt_caching"])
    seconds = time["realtime_seconds"]
    yield "  time, real time" + "".join(f"{format_duration(seconds[name]):>13}" for name in ("low", "likely", "high"))
    if time["batch_seconds"]:
        batch = time["batch_seconds"]
        likely = format_duration(batch["likely"]) if "likely" in batch else ""
        yield f"  {'time, batch':15}{format_duration(batch['low']):>13}{likely:>13}{format_duration(batch['high']):>13}"
    yield from _wrapped(f"Tokens: {estimate['method']}.")
    price = cost["price"]
    if price:
        yield from _wrapped(
            f"Prices: {price['origin']}, per million tokens ${price['input']:g} in and ${price['output']:g} out in "
            f"real time, ${price['batch_input']:g} and ${price['batch_output']:g} in batch"
            f"{' (assumed: half)' if price['batch_assumed'] else ''}."
        )
    yield from _wrapped(f"Time: {time['note']}.")
    if plan["deadline"]:
        yield from _wrapped(_deadline(plan["deadline"]))


def _deadline(deadline: Mapping[str, Any]) -> str:
    """Return in words whether the deadline is met."""
    left, alone = format_duration(deadline["seconds_left"]), format_duration(deadline["realtime_seconds"])
    usd = deadline["costs_at_most_usd"]
    cost = f" The run then costs {format_usd(usd)} at most." if usd else ""
    if deadline["certain"]:
        return (
            f"Deadline: in {left}. It is met even if no job ends in time: real time takes {alone} at most for all rows."
            f"{cost}"
        )
    chance = "It is met if answers take as long as is likely" if deadline["likely"] else "It is met only by jobs"
    return (
        f"Deadline: in {left}. {chance}: real time may take {alone} for all rows. To be certain, raise "
        "BEDROCK_RATE_LIMIT_PER_SECOND and BEDROCK_MAX_CONCURRENT_WORKERS with BEDROCK_CONCURRENCY_MODE=concurrent, or "
        f"set a later deadline.{cost}"
    )


def _caching(caching: Mapping[str, Any]) -> Iterator[str]:
    """Yield the likely saving by a prompt cache, from the real-time cost above."""
    saved = caching["saved_usd"]
    if saved:
        tokens = f"{caching['shared_tokens']:,} tokens of each request"
        yield f"  {'saved by cache':15}{'':13}{format_usd(saved):>13}   real time, {tokens} are read from the cache"


def _problems(plan: Mapping[str, Any]) -> Iterator[str]:
    if not plan["problems"]:
        yield "\nNo problems found."
        return
    yield f"\nWorth a look: {len(plan['problems'])}"
    for problem in plan["problems"]:
        yield from textwrap.wrap(problem, WIDTH, initial_indent="  - ", subsequent_indent="    ")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")
