"""The sections of the report about the answers: valid answers by split, fields, tokens and samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bedrock_batch.outputs.report.charts import buckets, histograms, share_bars
from bedrock_batch.outputs.report.markup import Markup, element, join, table
from bedrock_batch.outputs.sample_rows import SampleRow

MOST_LABELS = 30


def row_counts(figures: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return the numbers of rows, of answers and of usable answers: valid ones or, without a schema, JSON objects."""
    usable = figures["validation_passed_records"] + figures["parse_status"].get("json_only", 0)
    return figures["total_records"], figures["successful_records"], usable


def usable_label(summary: Mapping[str, Any]) -> str:
    """Return what an answer must be to count as usable."""
    return "JSON" if "json_only" in summary["parse_status"] else "valid"


def funnel_section(summary: Mapping[str, Any]) -> Iterator[Markup]:
    """Yield how many rows of each split were answered and usable: as bars, unless all were, and as a table."""
    splits = {split["split_name"]: split for split in summary["splits_processed"]}
    labels = ["rows", "answered", usable_label(summary)]
    shares = {
        name: [count / (split["total_records"] or 1) for count in row_counts(split)] for name, split in splits.items()
    }
    if any(share < 1 for each in shares.values() for share in each):
        yield _key(list(splits))
        yield element("div", element("div", share_bars(labels, shares), class_="chart"), class_="charts")
    statuses = sorted({status for split in splits.values() for status in split["parse_status"]})
    rows = [
        [
            name,
            *row_counts(split),
            split["failed_records"],
            *(split["parse_status"].get(s, 0) for s in statuses),
        ]
        for name, split in splits.items()
    ]
    yield table(["split", *labels, "no answer", *statuses], rows)


def _key(splits: Sequence[str]) -> Markup:
    if len(splits) < 2:
        return Markup("")
    return element(
        "p", join(join([element("i", class_=f"c{i % 4}"), name]) for i, name in enumerate(splits)), class_="key"
    )


def fields_section(summary: Mapping[str, Any]) -> Iterator[Markup]:
    """Yield a chart for each field of the answers, with the splits side by side and drift marked."""
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
        means = [
            f"{split} {figures['mean']:.4g}"
            for split, figures in each["splits"].items()
            if figures.get("mean") is not None
        ]
        word = {"length": "mean characters", "items": "mean items"}.get(each["kind"], "mean")
        yield element("p", f"{word}: {', '.join(means)}", class_="soft")
    nulls = [f"{split} {figures['nulls']:,}" for split, figures in each["splits"].items() if figures["nulls"]]
    if nulls:
        yield element("p", f"without a value: {', '.join(nulls)}", class_="soft")


def tokens_section(summary: Mapping[str, Any]) -> Iterator[Markup]:
    """Yield histograms of tokens and of real-time latency, and the number of retries."""
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


def samples_section(samples: Sequence[SampleRow]) -> Iterator[Markup]:
    """Yield each sample row, folded: its input fields and its output columns."""
    for sample in samples:
        parts = [
            join([element("b", name), element("pre", text)])
            for name, text in {**sample.inputs, **sample.answer}.items()
        ]
        head = element("summary", f"{sample.split}/{sample.file} row {sample.row}: {sample.parse_status}")
        yield element("details", join([head, *parts]))
