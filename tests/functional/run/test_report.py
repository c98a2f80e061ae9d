"""The report of a run: complete, safe, and working in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.outputs.report.actions import next_action
from bedrock_batch.outputs.report.page import render_report
from helpers.batch_runs import World
from helpers.table_files import make_rows, write_table
from local_bedrock import Behaviour
from local_bedrock.behaviour import AnswerFaults, RecordFaults

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FAULTS = Behaviour(
    min_records_per_job=5,
    answers=AnswerFaults(truncated=0.1, refused=0.1, fenced=0.2),
    records=RecordFaults(error=0.1, missing=0.1),
)
EVIL = '<script>alert("row")</script>&<b>'


def reported(world: World, **environ: str) -> tuple[str, dict[str, Any]]:
    """Run the step and return the page and the summary."""
    run = world.answer(**environ)
    (path,) = (world.processing / "output" / "summary").glob("processing_report_training_*.html")
    return path.read_text(encoding="utf-8"), run.summary


class Reader(HTMLParser):
    """Reads a page: its texts, the elements that are not closed, and every address in it."""

    VOID = frozenset({"meta"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: Any) -> None: ...

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_shows_what_the_summary_says(make_world: Callable[..., World]) -> None:
    """The report would show other figures than the summary."""
    page, summary = reported(make_world(FAULTS))
    reader = Reader(page)
    text = " ".join(reader.texts)
    assert reader.open == []
    for value in ("total_records", "successful_records", "validation_passed_records"):
        assert f"{summary[value]:,}" in reader.texts
    for kind in summary["error_kinds"]:
        assert kind in reader.texts
        assert next_action(kind) in reader.texts
    for job in summary["batch_job_info"]["jobs"]:
        assert job["name"] in reader.texts
    for part in ("category", "confidence", "Output tokens", "Settings", "All settings", "Repairs", "Cost"):
        assert part in text


def test_what_says_nothing_is_left_out(make_world: Callable[..., World]) -> None:
    """A reader of a run without faults would look through charts of full bars and columns of nothing."""
    page, summary = reported(make_world())
    texts = Reader(page).texts
    assert summary["failed_records"] == 0
    assert {"From row to valid answer", "Fields", "Batch jobs"} <= set(texts)
    assert not {"Repairs", "Failures", "message"} & set(texts)
    assert not re.search(r"answered, \w+: 100.0%", page)


def test_the_page_loads_nothing_and_holds_no_row(make_world: Callable[..., World]) -> None:
    """A report that is passed on would leak rows, or let its viewers be tracked."""
    page, summary = reported(make_world(FAULTS))
    assert Reader(page).addresses == []
    assert not re.search(r"https?://|url\(|@import", page)
    assert "message 1" not in page
    assert "message 1" not in json.dumps(summary)


def test_samples_are_shown_when_asked_for_and_escaped(make_world: Callable[..., World]) -> None:
    """The browser would run a cell of the data as a script."""
    world = make_world(files={"train/a.csv": 20})
    rows = [{"id": "0", "text": EVIL}, *make_rows(19, 1)]
    write_table(world.processing / "input" / "data" / "train" / "a.csv", rows)
    page, _ = reported(world, BEDROCK_REPORT_SAMPLES="3")
    assert page.count("<details>") == 3 + 1
    assert EVIL not in page
    assert EVIL in "".join(Reader(page).texts)


def test_hostile_text_in_a_summary_stays_text(make_world: Callable[..., World]) -> None:
    """The browser would run a file name, a field name or a message of the service as a script."""
    _, summary = reported(make_world(FAULTS))
    text = json.dumps(summary).replace("category", EVIL.replace('"', "'")).replace("a.csv", EVIL.replace('"', "'"))
    page = render_report(json.loads(text))
    assert page.count("<script>") == 1
    assert Reader(page).open == []


def test_a_run_without_rows_or_schema_has_a_page(make_world: Callable[..., World]) -> None:
    """A run would fail at its end, after everything was paid for."""
    world = make_world(files={"train/a.csv": 10}, BEDROCK_BATCH_MODE="realtime")
    _, summary = reported(world)
    empty = {**summary, "fields": [], "total_records": 0, "splits_processed": [], "error_kinds": {}}
    assert Reader(render_report(empty)).open == []


# In a real browser

PROBE = """
<script>
window.addEventListener('load', function () {
  var table = document.querySelectorAll('table')[0], head = table.querySelectorAll('th button')[1];
  function cell(row) { return row.children[1].textContent; }
  function column() { return Array.from(table.tBodies[0].rows).map(cell); }
  head.click(); var up = column(); head.click(); var down = column();
  var result = {up: up, down: down, sort: table.querySelectorAll('th')[1].getAttribute('aria-sort'),
    width: document.documentElement.scrollWidth, inner: window.innerWidth,
    paper: getComputedStyle(document.body).backgroundColor, charts: document.querySelectorAll('svg rect').length};
  var pre = document.createElement('pre'); pre.id = 'probe'; pre.textContent = JSON.stringify(result);
  document.body.appendChild(pre);
});
</script>
"""


def browse(page: Path, folder: Path, *options: str) -> tuple[dict[str, Any], str]:
    """Open a page; return what the probe found and the messages of the browser's console."""
    command = [
        str(CHROMIUM),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder}",
        "--enable-logging=stderr",
        "--virtual-time-budget=3000",
        *options,
        "--dump-dom",
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout)
    assert found, done.stderr[-2000:]
    return json.loads(found[1]), "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")
def test_the_page_works_in_a_browser(make_world: Callable[..., World], tmp_path: Path) -> None:
    """The page would not sort, be too wide for a telephone, or ignore dark mode."""
    text, _ = reported(make_world(FAULTS))
    page = tmp_path / "page.html"
    page.write_text(text.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    narrow, complaints = browse(page, tmp_path / "narrow", "--window-size=375,800")
    assert complaints == ""
    assert narrow["width"] <= narrow["inner"] <= 500
    assert narrow["up"] == sorted(narrow["up"], key=int)
    assert narrow["down"] == narrow["up"][::-1]
    assert narrow["sort"] == "descending"
    assert narrow["charts"] > 10
    wide, complaints = browse(
        page, tmp_path / "wide", "--window-size=1440,900", "--blink-settings=preferredColorScheme=0"
    )
    assert complaints == ""
    assert wide["width"] <= wide["inner"] == 1440
    assert {narrow["paper"], wide["paper"]} == {"rgb(255, 255, 255)", "rgb(20, 24, 30)"}


def test_the_report_says_what_earlier_runs_have_paid(make_world: Callable[..., World]) -> None:
    """A user would wonder why a run took no time and cost nothing."""
    world = make_world(BEDROCK_BATCH_MODE="realtime")
    world.answer()
    again = world.answer(BEDROCK_VALIDATION_RETRIES="1")  # another run, which asks the same questions
    (page,) = [Path(line.partition("report=")[2]) for line in again.log if "report=" in line]
    text = page.read_text(encoding="utf-8")
    assert "not spent again" in text
    assert "nothing was asked" in text
