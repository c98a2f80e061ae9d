"""Renders the status of a run as plain text for terminals and logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bedrock_batch.text import format_usd, shorten

_MANY = 25
_MESSAGE_CHARACTERS = 200
_STATES = {
    "not_begun": "not begun",
    "running": "batch jobs run",
    "incomplete": "not all records are submitted or answered",
    "ended": "all batch jobs have ended",
    "finished": "finished",
}


def render_status(status: Mapping[str, Any]) -> str:
    """Return a status as text."""
    return "\n".join([*_head(status), *_jobs(status), *_cost(status), *_next_start(status)])


def _head(status: Mapping[str, Any]) -> Iterator[str]:
    yield f"Run {status['run_id']}: {_STATES[status['state']]}"
    if status["ledger"]:
        yield f"  ledger   {status['ledger']}"
    reused = f", of these {status['reused_records']:,} answered by earlier runs" if status["reused_records"] else ""
    yield f"  rows     {status['rows']:,}{reused}"
    if status["has_owner"]:
        yield "  owner    a process works on the run, or was killed: a start waits for a lease to see which"


def _jobs(status: Mapping[str, Any]) -> Iterator[str]:
    jobs = status["jobs"]
    if not jobs:
        return
    yield f"\nJobs: {len(jobs)}, with {status['processed_records']:,} records processed"
    for job in jobs[:_MANY]:
        message = f"  {shorten(job['message'], _MESSAGE_CHARACTERS)}" if job["message"] else ""
        nested = "" if job["run_id"] == status["run_id"] else "  (asks again)"
        counts = f"{job['processed_records']:,} of {job['records']:,} records"
        yield f"  {job['name']}  {job['status']}, {counts}{nested}{message}"
    if len(jobs) > _MANY:
        yield f"  and {len(jobs) - _MANY} more"
    if status["waiting_records"]:
        yield f"  {status['waiting_records']:,} records are not submitted yet"


def _cost(status: Mapping[str, Any]) -> Iterator[str]:
    cost = status["cost"]
    if cost["so_far_usd"] is None:
        yield "\nCost so far: unknown, since the model has no price (BEDROCK_PRICES)"
        return
    estimated = f", of which {format_usd(cost['estimated_usd'])} estimated" if cost["estimated_usd"] else ""
    limit = "" if cost["limit_usd"] is None else f", of BEDROCK_MAX_COST_USD={cost['limit_usd']:g}"
    yield f"\nCost so far: {format_usd(cost['so_far_usd'])}{estimated}{limit}"


def _next_start(status: Mapping[str, Any]) -> Iterator[str]:
    following = status["next_start"]
    yield "\nA start now would"
    if status["state"] == "finished":
        yield "  write the outputs again and ask nothing"
        return
    if status["state"] == "not_begun":
        yield "  begin the run (--plan shows how)"
        return
    if following["reads_jobs"]:
        yield f"  read {following['reads_jobs']} jobs that have ended, with {following['reads_records']:,} records"
    if following["submits_records_at_most"]:
        slots, records = following["free_slots"], following["submits_records_at_most"]
        yield f"  submit jobs for {records:,} records, as far as {slots} free job slots hold them"
    if following["waits"]:
        yield "  wait until all jobs have ended, and write the outputs"
    elif following["ends_as"] == "submitted":
        yield f"  leave {following['running_jobs']} running jobs to a later start, and write no outputs"
    else:
        yield "  write the outputs"
