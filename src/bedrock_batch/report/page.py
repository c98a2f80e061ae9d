"""The page: headline, funnel, fields, tokens, jobs, failures, settings; no text of a row unless it is given samples."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bedrock_batch.report.actions import next_action
from bedrock_batch.report.charts import buckets, duration, histograms, share_bars, timeline
from bedrock_batch.report.markup import Cell, Markup, element, join, section, table
from bedrock_batch.report.style import CSS, SCRIPT
from bedrock_batch.samples import SampleRow
from bedrock_batch.spending import format_usd
from bedrock_batch.text import human_bytes, printable

MOST_LABELS = 30
# Nothing may be loaded: the page can lie in a bucket and be read without a network.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write_report(summary: Mapping[str, Any], path: Path, samples: Sequence[SampleRow] = ()) -> Path:
    """Write the report of a run as one HTML file under a temporary name, then rename it, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    with temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(render_report(summary, samples))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return path


def render_report(summary: Mapping[str, Any], samples: Sequence[SampleRow] = ()) -> str:
    """Return the page of a summary; the text of rows is in it only where there are samples."""
    title = f"{summary['job_type']}: {summary['total_records']:,} records"
    body = join(
        [
            element("h1", title),
            _headline(summary),
            section("From row to valid answer", *_funnel(summary)),
            section("Fields", *_fields(summary)),
            section("Tokens and time", *_histograms(summary)),
            section("Batch jobs", *_jobs(summary)),
            section("Failures", _failures(summary)),
            section("Repairs", _counted(summary["repairs"], "repair")),
            section("Asked again in real time", _salvaged(summary)),
            section("Truncated fields", _truncated(summary)),
            section("Samples", *_samples(samples)),
            section("Cost", _cost(summary)),
            section("Settings", _settings(summary)),
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" '
        f'content="light dark">{element("title", title)}<style>{CSS}</style></head>'
        f"<body>{element('main', body)}<script>{SCRIPT}</script></body></html>\n"
    )


def _headline(summary: Mapping[str, Any]) -> Markup:
    cost, total = summary["cost"], summary["total_records"]
    money = format_usd(cost["total_usd"]) if not cost["unpriced_models"] else "not known"
    cards = [
        ("records", f"{total:,}", summary["job_type"]),
        ("answered", f"{summary['successful_records']:,}", _share(summary["successful_records"], total)),
        ("valid", f"{summary['validation_passed_records']:,}", _share(summary["validation_passed_records"], total)),
        ("cost", money, f"prices of {cost['price_date']}"),
        ("saved by batch", format_usd(cost["saved_by_batch_usd"]), f"of {format_usd(cost['all_on_demand_usd'])}"),
        ("time", duration(summary["duration_seconds"]), "batch" if summary["batch_processing_used"] else "real time"),
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


_STEPS = (
    ("rows", "total_records"),
    ("answered", "successful_records"),
    ("valid", "validation_passed_records"),
)


def _funnel(summary: Mapping[str, Any]) -> Iterator[Markup]:
    splits = {split["split_name"]: split for split in summary["splits_processed"]}
    shares = {name: [split[key] / (split["total_records"] or 1) for _, key in _STEPS] for name, split in splits.items()}
    yield _key(list(splits))
    yield element(
        "div", element("div", share_bars([label for label, _ in _STEPS], shares), class_="chart"), class_="charts"
    )
    statuses = sorted({status for split in splits.values() for status in split["parse_status"]})
    rows = [
        [
            name,
            *(split[key] for _, key in _STEPS),
            split["failed_records"],
            *(split["parse_status"].get(s, 0) for s in statuses),
        ]
        for name, split in splits.items()
    ]
    yield table(["split", *(label for label, _ in _STEPS), "no answer", *statuses], rows)


def _key(splits: Sequence[str]) -> Markup:
    if len(splits) < 2:
        return Markup("")
    return element(
        "p", join(join([element("i", class_=f"c{i % 4}"), name]) for i, name in enumerate(splits)), class_="key"
    )


def _fields(summary: Mapping[str, Any]) -> Iterator[Markup]:
    fields = summary["fields"]
    if not fields:
        return
    yield element("p", "Over the rows with a valid answer, as shares of their split.", class_="soft")
    yield _key([split["split_name"] for split in summary["splits_processed"]])
    yield element("div", join(element("div", join(_field(each)), class_="chart") for each in fields), class_="charts")


def _field(each: Mapping[str, Any]) -> Iterator[Markup]:
    marks = [
        element("span", f"drift in {split}: {drift['distance']:.2f}", class_="mark")
        for split, drift in each["drift"].items()
        if drift["drift"]
    ]
    yield element("h3", join([each["field"], *marks], " "))
    counts = {split: figures["counts"] for split, figures in each["splits"].items() if "counts" in figures}
    if each["kind"] == "labels":
        labels = each["labels"][:MOST_LABELS]
        shares = {split: [count / (sum(values) or 1) for count in values] for split, values in counts.items()}
        yield share_bars(labels, shares)
        if len(each["labels"]) > MOST_LABELS:
            yield element("p", f"and {len(each['labels']) - MOST_LABELS} more labels", class_="soft")
    else:
        yield histograms(each["edges"], counts)
        means = [f"{split} {figures['mean']:.4g}" for split, figures in each["splits"].items() if "mean" in figures]
        word = {"length": "mean characters", "items": "mean items"}.get(each["kind"], "mean")
        yield element("p", f"{word}: {', '.join(means)}", class_="soft")
    nulls = [f"{split} {figures['nulls']}" for split, figures in each["splits"].items() if figures["nulls"]]
    if nulls:
        yield element("p", f"without a value: {', '.join(nulls)}", class_="soft")


def _histograms(summary: Mapping[str, Any]) -> Iterator[Markup]:
    shown = (
        ("input_tokens", "Input tokens of a record", ""),
        ("output_tokens", "Output tokens of a record", ""),
        ("latency_seconds", "Seconds of a real-time answer", " s"),
    )
    charts = []
    for name, title, unit in shown:
        histogram = summary["histograms"][name]
        if histogram["count"]:
            mean = f"mean {histogram['mean']:,.4g}{unit}, at most {histogram['greatest']:,.4g}{unit}"
            parts = [element("h3", title), buckets(histogram, unit), element("p", mean, class_="soft")]
            charts.append(element("div", join(parts), class_="chart"))
    if charts:
        yield element("div", join(charts), class_="charts")
    if summary["retries"]:
        yield element("p", f"{summary['retries']:,} retries in real time.")


def _jobs(summary: Mapping[str, Any]) -> Iterator[Markup]:
    jobs = sorted(summary["batch_job_info"]["jobs"], key=lambda job: job["name"])
    spans = [
        (job["name"], _seconds(job["submit_time"]), _seconds(job["end_time"]), job["status"] == "Completed")
        for job in jobs
        if job["submit_time"] and job["end_time"]
    ]
    chart = timeline(spans)
    if chart.text:
        yield element("div", element("div", chart, class_="chart"), class_="charts")
    rows = [
        [
            job["name"],
            job["status"],
            job["records"],
            Cell(human_bytes(job["bytes"]), job["bytes"]),
            *(job["results"][name] for name in ("missing", "repeated", "unknown", "unreadable")),
            printable(job["message"] or ""),
        ]
        for job in jobs
    ]
    heads = ["job", "status", "records", "size", "missing", "repeated", "unknown", "unreadable", "message"]
    yield table(heads, rows)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _failures(summary: Mapping[str, Any]) -> Markup:
    rows = []
    for kind, found in summary["error_kinds"].items():
        example = found["example"] or {}
        where = f"{example.get('file', '')} row {example.get('row', '')}" if example else ""
        rows.append([kind, found["records"], next_action(kind), where, printable(example.get("message", ""))])
    return table(["kind", "records", "what to do", "first at", "message"], rows)


def _counted(counts: Mapping[str, int], name: str) -> Markup:
    return table([name, "records"], [[kind, count] for kind, count in counts.items()])


def _salvaged(summary: Mapping[str, Any]) -> Markup:
    rows = [
        [cause, each["records"], each["input_tokens"], each["output_tokens"]]
        for cause, each in summary["batch_job_info"]["salvaged"].items()
    ]
    return table(["cause", "records", "input tokens", "output tokens"], rows)


def _truncated(summary: Mapping[str, Any]) -> Markup:
    rows = [
        [name, each["records"], each["characters_removed"], each["longest"]]
        for name, each in summary["truncation_stats"]["fields"].items()
    ]
    return table(["field", "records", "characters removed", "longest"], rows)


def _cost(summary: Mapping[str, Any]) -> Markup:
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
    usd = cost["estimate"]["usd"]
    if usd:
        interval = usd["batch" if summary["batch_processing_used"] else "realtime"]
        words = " to ".join(format_usd(interval[name]) for name in ("low", "high"))
        note = element("p", f"Estimated before: {format_usd(interval['likely'])} ({words}).", class_="soft")
    else:
        note = Markup("")
    return join([table(["model", "mode", "answers", "input tokens", "output tokens", "cost"], rows), note])


def _samples(samples: Sequence[SampleRow]) -> Iterator[Markup]:
    for sample in samples:
        parts = [
            join([element("b", name), element("pre", text)])
            for name, text in {**sample.inputs, **sample.answer}.items()
        ]
        head = element("summary", f"{sample.split}/{sample.file} row {sample.row}: {sample.parse_status}")
        yield element("details", join([head, *parts]))


def _settings(summary: Mapping[str, Any]) -> Markup:
    rows = [[name, _setting(value)] for name, value in summary["settings"].items() if value not in ("", [], {}, None)]
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    decision = "; ".join(summary["batch_job_info"]["decision"])
    lines = [element("p", f"Mode: {decision}.", class_="soft"), element("p", versions, class_="soft")]
    return join(
        [*lines, element("details", join([element("summary", "All settings"), table(["setting", "value"], rows)]))]
    )


def _setting(value: Any) -> str:
    return printable(str(value).lower() if isinstance(value, bool) else str(value))
