"""The picture of a terminal, from what a terminal receives."""

from __future__ import annotations

import importlib.util
import io
import re
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).parents[3] / "tools" / "make_pictures.py"


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    pytest.importorskip("rich")
    spec = importlib.util.spec_from_file_location("make_pictures", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn_by_a_run() -> str:
    """What the bars of a run of two splits write to a terminal, with a log line in between."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, legacy_windows=False)
    columns = (TextColumn("{task.description}"), BarColumn(16), MofNCompleteColumn(), TextColumn("note"))
    with Progress(*columns, console=console, auto_refresh=False) as bars:
        tasks = [bars.add_task(name, total=total) for name, total in (("all", 100), ("train", 60), ("test", 40))]
        for done in ((0, 0, 0), (70, 60, 10), (100, 60, 40)):
            for task, count in zip(tasks, done, strict=True):
                bars.update(task, completed=count)
            bars.refresh()
            console.print(f"{done[0]} answered")
    return out.getvalue()


def test_the_screen_with_most_work_in_progress_is_shown(pictures: ModuleType) -> None:
    """The README would show a run that has not begun, or one that is over."""
    text = pictures.COLOURS.sub("", "\n".join(pictures.best_screen(drawn_by_a_run())))
    assert re.findall(r"(\w+) +━.*?(\d+/\d+)", text) == [
        ("all", "70/100"),
        ("train", "60/60"),
        ("test", "10/40"),
    ]


def test_the_last_screen_is_what_stays(pictures: ModuleType) -> None:
    """A bar of an earlier moment would be shown twice."""
    *_, last = pictures.screens(drawn_by_a_run())
    text = pictures.COLOURS.sub("", "\n".join(last))
    assert [text.count(part) for part in ("70 answered", "100/100", "60/60", "40/40", "━" * 16)] == [1, 1, 1, 1, 3]


def test_long_lines_break_at_the_edge(pictures: ModuleType) -> None:
    """The end of a log line would be missing in the picture."""
    picture = pictures.draw_terminal(["x" * 80 + "<end>"], "title")
    assert "x" * 80 in picture
    assert "&lt;end&gt;" in picture
