"""Builders of HTML elements; every text from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

LONG_TEXT = 60


@dataclass(frozen=True, slots=True)
class Markup:
    """Text that is HTML already."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Cell:
    """A table cell that shows one value and sorts by another."""

    shown: Any
    value: float


def to_html(value: Any) -> str:
    """Return a value as HTML: markup as it is, everything else escaped."""
    return value.text if isinstance(value, Markup) else escape(str(value))


def element(tag: str, content: Any = "", **attributes: Any) -> Markup:
    """Return an element. Write the attribute `class` as `class_`, and a hyphen in a name as an underscore."""
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for name, value in attributes.items()
    )
    return Markup(f"<{tag}{given}>{to_html(content)}</{tag}>")


def join(parts: Iterable[Any], separator: str = "") -> Markup:
    """Return the parts as HTML, one behind the other."""
    return Markup(separator.join(to_html(part) for part in parts))


def section(title: str, *content: Any) -> Markup:
    """Return a section with its heading, or nothing if it has no content."""
    body = join(part for part in content if str(part))
    if not body.text:
        return Markup("")
    return element("section", join([element("h2", title), body]))


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markup:
    """Return a table that sorts by a click on a heading; numbers are aligned to the right."""
    listed = [list(row) for row in rows]
    first = listed[0] if listed else [""] * len(heads)
    head = join(
        element(
            "th", element("button", name, type="button"), scope="col", **({"class_": "n"} if _is_number(value) else {})
        )
        for name, value in zip(heads, first, strict=True)
    )
    body = join(element("tr", join(_cell(value) for value in row)) for row in listed)
    if not body.text:
        return Markup("")
    whole = element("table", join([element("thead", element("tr", head)), element("tbody", body)]))
    return element("div", whole, class_="scroll", tabindex="0")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, Cell)) and not isinstance(value, bool)


def _cell(value: Any) -> Markup:
    if isinstance(value, Cell):
        return element("td", value.shown, data_v=value.value, class_="n")
    if not _is_number(value):
        is_long = isinstance(value, str) and len(value) > LONG_TEXT
        return element("td", "" if value is None else value, **({"class_": "t"} if is_long else {}))
    shown = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
    return element("td", shown, data_v=value, class_="n")
