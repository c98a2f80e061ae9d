"""The page of the report: its headline and the order of its sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bedrock_batch.atomic_write import atomic_write
from bedrock_batch.outputs.report.answer_sections import (
    fields_section,
    funnel_section,
    row_counts,
    samples_section,
    tokens_section,
    usable_label,
)
from bedrock_batch.outputs.report.markup import Markup, element, join, section
from bedrock_batch.outputs.report.run_sections import (
    cost_section,
    failures_section,
    fallback_section,
    jobs_section,
    repairs_section,
    settings_section,
    truncated_section,
)
from bedrock_batch.outputs.report.style import CSS, SCRIPT
from bedrock_batch.outputs.sample_rows import SampleRow
from bedrock_batch.text import format_duration, format_usd

# The page loads nothing: it may lie in a bucket and be read without a network.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write_report(summary: Mapping[str, Any], path: Path, samples: Sequence[SampleRow] = ()) -> Path:
    """Write the report of a run as one HTML file and return its path; the file appears when it is complete."""
    page = render_report(summary, samples).encode()
    with atomic_write(path) as file:
        file.write(page)
    return path


def render_report(summary: Mapping[str, Any], samples: Sequence[SampleRow] = ()) -> str:
    """Return the page of a summary; it contains the text of rows only if samples are given."""
    title = _title(summary)
    body = join(
        [
            element("h1", title),
            _headline(summary),
            section("From row to valid answer", *funnel_section(summary)),
            section("Fields", *fields_section(summary)),
            section("Tokens and time", *tokens_section(summary)),
            section("Batch jobs", *jobs_section(summary)),
            section("Failures", failures_section(summary)),
            section("Repairs", repairs_section(summary)),
            section("Asked again in real time", fallback_section(summary)),
            section("Truncated fields", truncated_section(summary)),
            section("Samples", *samples_section(samples)),
            section("Cost", cost_section(summary)),
            section("Settings", settings_section(summary)),
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" '
        f'content="light dark">{element("title", title)}<style>{CSS}</style></head>'
        f"<body>{element('main', body)}<script>{SCRIPT}</script></body></html>\n"
    )


def _title(summary: Mapping[str, Any]) -> str:
    """Return the title of the page, which says so if the run answered a sample only."""
    rows, sample = f"{summary['total_records']:,}", summary.get("sample")
    words = f"a sample of {rows} of {sample['of_records']:,} records" if sample else f"{rows} records"
    return f"{summary['job_type']}: {words}"


def _reused_card(reused: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return a card for the answers of earlier runs, or none if the run used none."""
    if not reused["records"]:
        return []
    money = reused["usd_not_spent"]
    words = "from earlier runs" if money is None else f"{format_usd(money)} not spent again"
    return [("reused", f"{reused['records']:,}", words)]


def _mode_words(summary: Mapping[str, Any]) -> str:
    if summary["total_records"] and summary["reused_records"] == summary["total_records"]:
        return "nothing was asked"
    return "batch" if summary["batch_processing_used"] else "real time"


def _headline(summary: Mapping[str, Any]) -> Markup:
    cost, total = summary["cost"], summary["total_records"]
    money = format_usd(cost["total_usd"]) if not cost["unpriced_models"] else "not known"
    cards = [
        ("records", f"{total:,}", summary["job_type"]),
        ("answered", f"{summary['successful_records']:,}", _share(summary["successful_records"], total)),
        (usable_label(summary), f"{row_counts(summary)[2]:,}", _share(row_counts(summary)[2], total)),
        ("cost", money, f"prices of {cost['price_date']}"),
        ("saved by batch", format_usd(cost["saved_by_batch_usd"]), f"of {format_usd(cost['all_on_demand_usd'])}"),
        *_reused_card(cost["reused"]),
        ("time", format_duration(summary["duration_seconds"], exact=True), _mode_words(summary)),
    ]
    run = f"run {summary['run_id']}, begun {summary['started'][:19]}"
    return join(
        [
            element("p", run, class_="soft"),
            element("div", join(_card(*card) for card in cards), class_="grid"),
        ]
    )


def _card(label: str, value: str, note: str) -> Markup:
    return element(
        "div",
        join([element("span", label, class_="soft"), element("b", value), element("span", note, class_="soft")]),
        class_="card",
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "no rows"
