"""The sections of the report about the run: jobs, failures, repairs, real-time fallback, cost and settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from bedrock_batch.outputs.report.actions import next_action
from bedrock_batch.outputs.report.charts import timeline
from bedrock_batch.outputs.report.markup import Cell, Markup, element, join, table
from bedrock_batch.text import format_usd, human_bytes, printable


def jobs_section(summary: Mapping[str, Any]) -> Iterator[Markup]:
    """Yield a timeline of the batch jobs and a table with what their results lack."""
    jobs = sorted(summary["batch_job_info"]["jobs"], key=lambda job: job["name"])
    spans = [
        (job["name"], _seconds(job["submit_time"]), _seconds(job["end_time"]), job["status"] == "Completed")
        for job in jobs
        if job["submit_time"] and job["end_time"]
    ]
    chart = timeline(spans)
    if chart.text:
        yield element("div", element("div", chart, class_="chart"), class_="charts")
    has_message = any(job["message"] for job in jobs)
    rows = [
        [
            job["name"],
            job["status"],
            job["records"],
            Cell(human_bytes(job["bytes"]), job["bytes"]),
            *(job["results"][name] for name in ("missing", "repeated", "unknown", "unreadable")),
            *([printable(job["message"] or "")] if has_message else []),
        ]
        for job in jobs
    ]
    heads = ["job", "status", "records", "size", "missing", "repeated", "unknown", "unreadable"]
    yield table(heads + ["message"] * has_message, rows)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def failures_section(summary: Mapping[str, Any]) -> Markup:
    """Return a table of the failures by kind, with what to do about each and where one is."""
    rows = []
    for kind, found in summary["error_kinds"].items():
        example = found["example"] or {}
        where = f"{example.get('file', '')} row {example.get('row', '')}" if example else ""
        rows.append([kind, found["records"], next_action(kind), where, printable(example.get("message", ""))])
    return table(["kind", "records", "what to do", "first at", "message"], rows)


def repairs_section(summary: Mapping[str, Any]) -> Markup:
    """Return how many answers needed which repair, or nothing if no answer needed one."""
    if summary["repairs"].keys() <= {"none"}:
        return Markup("")
    return table(["repair", "records"], [[kind, count] for kind, count in summary["repairs"].items()])


def fallback_section(summary: Mapping[str, Any]) -> Markup:
    """Return what the real-time fallback of a batch run cost, by the cause that sent records there."""
    rows = [
        [cause, each["records"], each["input_tokens"], each["output_tokens"]]
        for cause, each in summary["batch_job_info"]["salvaged"].items()
    ]
    return table(["cause", "records", "input tokens", "output tokens"], rows)


def truncated_section(summary: Mapping[str, Any]) -> Markup:
    """Return how much was cut off which input fields."""
    rows = [
        [name, each["records"], each["characters_removed"], each["longest"]]
        for name, each in summary["truncation_stats"]["fields"].items()
    ]
    return table(["field", "records", "characters removed", "longest"], rows)


def cost_section(summary: Mapping[str, Any]) -> Markup:
    """Return the tokens and cost by model and mode, with what was estimated before the run."""
    cost = summary["cost"]
    rows = [
        [
            each["model_id"],
            each["source"],
            each["records"],
            each["input_tokens"],
            each["output_tokens"],
            "no known price" if each["usd"] is None else Cell(format_usd(each["usd"]), each["usd"]),
        ]
        for each in cost["usage"]
    ]
    usd = (cost["estimate"] or {}).get("usd")
    if usd:
        interval = usd["batch" if summary["batch_processing_used"] else "realtime"]
        words = " to ".join(format_usd(interval[name]) for name in ("low", "high"))
        note = element("p", f"Estimated before: {format_usd(interval['likely'])} ({words}).", class_="soft")
    else:
        note = Markup("")
    return join([table(["model", "mode", "answers", "input tokens", "output tokens", "cost"], rows), note])


def settings_section(summary: Mapping[str, Any]) -> Markup:
    """Return why the mode was chosen, the versions, and every setting with a value."""
    rows = [[name, _setting(value)] for name, value in summary["settings"].items() if value not in ("", [], {}, None)]
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    decision = "; ".join(summary["batch_job_info"]["decision"])
    lines = [element("p", f"Mode: {decision}.", class_="soft"), element("p", versions, class_="soft")]
    return join(
        [*lines, element("details", join([element("summary", "All settings"), table(["setting", "value"], rows)]))]
    )


def _setting(value: Any) -> str:
    return printable(str(value).lower() if isinstance(value, bool) else str(value))
