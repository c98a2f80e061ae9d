"""Small charts as inline SVG: bars, histograms and a timeline. The colours are CSS variables of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from bedrock_batch.outputs.report.markup import Markup
from bedrock_batch.text import format_duration, shorten

WIDTH = 320
_LINE = 17
_LABEL = 108
_VALUE = 44


def share_bars(labels: Sequence[str], shares: Mapping[str, Sequence[float]]) -> Markup:
    """Return horizontal bars: for each label one bar per split, whose length is the label's share of the split."""
    most = max((share for each in shares.values() for share in each), default=0.0) or 1.0
    room, parts, y = WIDTH - _LABEL - _VALUE, [], 0.0
    for index, label in enumerate(labels):
        parts.append(_text(0, y + 12, shorten(label, 16), label))
        for number, (split, each) in enumerate(shares.items()):
            share, length = each[index], room * each[index] / most
            parts.append(_bar(_LABEL, y + 2, length, 12, number, f"{label}, {split}: {share:.1%}"))
            parts.append(_text(_LABEL + length + 4, y + 12, f"{share:.0%}"))
            y += _LINE
        y += 5
    return _svg("".join(parts), y, f"shares of {len(labels)} labels")


def histograms(edges: Sequence[float], counts: Mapping[str, Sequence[int]]) -> Markup:
    """Return columns over equal bins, the splits side by side; a column shows the bin's share of its split."""
    totals = {split: sum(each) or 1 for split, each in counts.items()}
    shares = {split: [count / totals[split] for count in each] for split, each in counts.items()}
    labels = [f"{_short(one)} to {_short(two)}" for one, two in pairwise(edges)]
    return _columns(labels, shares, _short(edges[0]) if len(edges) else "", _short(edges[-1]) if len(edges) else "")


def buckets(histogram: Mapping[str, Any], unit: str = "") -> Markup:
    """Return columns over the buckets of a histogram, whose edges are 1, 2, 5, 10, 20 and so on."""
    rows = histogram.get("buckets", [])
    if not rows:
        return Markup("")
    total = histogram["count"]
    labels = [f"from {_short(row['from'])}{unit}" for row in rows]
    shares = {"": [row["count"] / total for row in rows]}
    return _columns(labels, shares, f"{_short(rows[0]['from'])}{unit}", f"{_short(rows[-1]['from'])}{unit} and more")


def _columns(labels: Sequence[str], shares: Mapping[str, Sequence[float]], left: str, right: str) -> Markup:
    height, count = 84.0, max(1, len(labels))
    most = max((share for each in shares.values() for share in each), default=0.0) or 1.0
    width = WIDTH / count
    bar = (width - 2) / max(1, len(shares))
    parts = []
    for number, (split, each) in enumerate(shares.items()):
        for index, share in enumerate(each):
            tall = height * share / most
            title = f"{labels[index]}{', ' + split if split else ''}: {share:.1%}"
            parts.append(_bar(index * width + 1 + number * bar, 4 + height - tall, bar, tall, number, title))
    parts.append(f'<line x1="0" y1="{height + 4}" x2="{WIDTH}" y2="{height + 4}" class="axis"/>')
    parts.append(_text(0, height + 18, left))
    parts.append(_text(WIDTH, height + 18, right, anchor="end"))
    return _svg("".join(parts), height + 22, f"histogram from {left} to {right}")


def timeline(jobs: Sequence[tuple[str, float, float, bool]]) -> Markup:
    """Return one bar per job on a common time axis; a job is (name, begin, end, is_complete), in seconds."""
    if not jobs:
        return Markup("")
    begin = min(job[1] for job in jobs)
    span = max(job[2] for job in jobs) - begin or 1.0
    room, parts = WIDTH - 36, []
    for index, (name, start, end, is_complete) in enumerate(jobs):
        y = index * _LINE
        x, length = 36 + room * (start - begin) / span, max(2.0, room * (end - start) / span)
        parts.append(_text(0, y + 12, name[-4:], name))
        parts.append(
            _bar(
                min(x, WIDTH - 2.0),
                y + 2,
                length,
                12,
                0 if is_complete else 3,
                f"{name}: {format_duration(end - start, exact=True)}",
            )
        )
    height = len(jobs) * _LINE
    parts.append(_text(36, height + 13, "0"))
    parts.append(_text(WIDTH, height + 13, format_duration(span, exact=True), anchor="end"))
    return _svg("".join(parts), height + 18, f"{len(jobs)} jobs over {format_duration(span, exact=True)}")


def _svg(content: str, height: float, title: str) -> Markup:
    size = f'viewBox="0 0 {WIDTH} {math.ceil(height)}" width="{WIDTH}" height="{math.ceil(height)}"'
    return Markup(f'<svg {size} role="img" aria-label="{escape(title)}">{content}</svg>')


def _bar(x: float, y: float, width: float, height: float, color: int, title: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}"'
    return f'<rect {place} class="c{color % 4}"><title>{escape(title)}</title></rect>'


def _text(x: float, y: float, text: str, title: str = "", anchor: str = "start") -> str:
    inner = f"<title>{escape(title)}</title>" if title and title != text else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}{inner}</text>'


def _short(value: float) -> str:
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1000:g}k" if value >= 10_000 else f"{value:.4g}"
