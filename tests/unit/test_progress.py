"""Progress: what lines, metrics and bars show, and how often."""

from __future__ import annotations

import io
import itertools
import json
import logging
import sys
import threading
from typing import Any

import pytest

from bedrock_batch.progress import INTERVAL_SECONDS, JobFigures, LineProgress, Progress, Tally, Timer

PARTS = (("train", 70), ("val", 30))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lines_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    """Return the progress lines of the log, parsed like a metric filter parses them."""
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("progress ")]
    return [dict(word.split("=") for word in line.split()[1:]) for line in lines]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    caplog.set_level(logging.INFO)
    return logging.getLogger("test-progress")


def test_a_line_comes_at_most_once_per_interval(clock: Clock, log: logging.Logger, caplog: Any) -> None:
    """A run of a million rows would flood CloudWatch, or stay silent."""
    progress = LineProgress(log, clock)
    progress.begin(PARTS, lambda: 0.5)
    for second in range(90):
        clock.now += 1
        progress.answered(second, 1, 0)
    assert [line["records"] for line in lines_of(caplog)] == ["30", "60", "90"]
    progress.end()
    assert len(lines_of(caplog)) == 4


def test_a_line_shows_rate_time_left_and_cost(clock: Clock, log: logging.Logger, caplog: Any) -> None:
    """A user could not see when the run will end or what it costs."""
    progress = LineProgress(log, clock)
    progress.begin(PARTS, lambda: 0.5)
    clock.now += INTERVAL_SECONDS
    progress.answered(0, 60, 2)
    (line,) = lines_of(caplog)
    assert line == {
        "records": "60",
        "of": "100",
        "processed_in_jobs": "0",
        "failed": "2",
        "rate_per_second": "2.0",
        "eta_seconds": "20",
        "cost_usd": "0.5",
        "jobs_running": "0",
        "jobs_ended": "0",
        "elapsed_seconds": "30",
    }


def test_records_of_running_jobs_are_counted(clock: Clock, log: logging.Logger, caplog: Any) -> None:
    """A batch run would show 0 % for hours and then be done."""
    progress = LineProgress(log, clock)
    progress.begin(PARTS, lambda: 0.0)
    clock.now += INTERVAL_SECONDS
    progress.job(JobFigures("a", "InProgress", 50, 20))
    clock.now += INTERVAL_SECONDS
    progress.job(JobFigures("a", "Completed", 50, 50, terminal=True))
    progress.answered(0, 50, 0)
    progress.end()
    lines = lines_of(caplog)
    assert [(line["records"], line["processed_in_jobs"], line["jobs_running"]) for line in lines] == [
        ("0", "20", "1"),
        ("0", "50", "0"),
        ("50", "0", "0"),
    ]


def test_progress_never_falls_when_a_job_ends() -> None:
    """A user would see a run lose thousands of records until the results of a job are read."""
    tally = Tally((("train", 100),), 100)
    tally.done_by_part = [0]
    reached = []
    for processed, status in ((20, "InProgress"), (60, "InProgress"), (60, "Completed"), (60, "Completed")):
        tally.note(JobFigures("a", status, 60, processed, terminal=status == "Completed"))
        reached.append(tally.reached)
    tally.note(JobFigures("b", "InProgress", 40, 10))
    reached.append(tally.reached)
    tally.count(0, 60, 0, 0)
    reached.append(tally.reached)
    assert reached == [20, 60, 60, 60, 70, 70]


def test_an_unknown_rate_is_shown_as_unknown(clock: Clock, log: logging.Logger, caplog: Any) -> None:
    """The run would fail with a division by zero, or show an infinite time left."""
    progress = LineProgress(log, clock)
    progress.begin((), lambda: 0.0)
    progress.end()
    assert lines_of(caplog)[0]["eta_seconds"] == "unknown"


def test_rows_are_counted_to_their_split(clock: Clock) -> None:
    """The bar of one split would show the rows of another."""
    progress = Progress(clock)
    progress.begin(PARTS, lambda: 0.0)
    progress.answered(60, 20, 0)
    progress.answered(0, 5, 0)
    assert progress.tally.done_by_part == [15, 10]


def test_metrics_are_lines_that_cloudwatch_reads(clock: Clock, log: logging.Logger) -> None:
    """CloudWatch would find no metric in the log."""
    out = io.StringIO()
    progress = LineProgress(log, clock, metrics="Batch/Step", job_type="training", out=out, now=lambda: 1.5)
    progress.begin(PARTS, lambda: 0.25)
    clock.now += INTERVAL_SECONDS
    progress.answered(0, 60, 1)
    line = json.loads(out.getvalue())
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Batch/Step"
    assert line["_aws"]["Timestamp"] == 1500
    for metric in directive["Metrics"]:
        assert isinstance(line[metric["Name"]], (int, float))
    assert all(line[name] == "training" for names in directive["Dimensions"] for name in names)


def test_no_metric_is_written_unless_asked_for(clock: Clock, log: logging.Logger, capsys: Any) -> None:
    """Every run would fill the standard output with JSON."""
    progress = LineProgress(log, clock)
    progress.begin(PARTS, lambda: 0.0)
    progress.end()
    assert capsys.readouterr().out == ""


def test_bars_show_splits_and_jobs(clock: Clock) -> None:
    """A user at a terminal would see nothing, or a crash."""
    pytest.importorskip("rich")
    from rich.console import Console

    from bedrock_batch.progress_bars import BarProgress

    screen = io.StringIO()
    progress = BarProgress(clock, Console(file=screen, force_terminal=True, width=80))
    progress.begin(PARTS, lambda: 0.125)
    progress.job(JobFigures("run-0001", "InProgress", 50, 20))
    clock.now += 10
    progress.job(JobFigures("run-0001", "Completed", 50, 50, terminal=True))
    progress.answered(0, 40, 0)
    progress.end()
    shown = screen.getvalue()
    for part in ("train", "val", "50/100", "40/70", "$0.12", "5/s"):
        assert part in shown


def test_log_lines_find_their_way_back_after_the_bars(clock: Clock) -> None:
    """Log lines after the run would go to a closed stream."""
    pytest.importorskip("rich")
    from rich.console import Console

    from bedrock_batch.progress_bars import BarProgress

    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    try:
        progress = BarProgress(clock, Console(file=io.StringIO(), force_terminal=True))
        progress.begin(PARTS, lambda: 0.0)
        progress.end()
        assert handler.stream is sys.stderr
        progress.end()
    finally:
        logging.getLogger().removeHandler(handler)


def test_what_an_earlier_start_answered_is_not_in_the_rate(clock: Clock, log: logging.Logger, caplog: Any) -> None:
    """The time left would be far too short after a restart."""
    progress = LineProgress(log, clock)
    progress.begin((("rows", 1000),), lambda: 0.0)
    progress.answered(0, 500, 0, earlier=500)
    progress.job(JobFigures("job-1", "InProgress", 400, 100))
    clock.now += 20
    progress.answered(500, 40, 0)
    progress.job(JobFigures("job-1", "InProgress", 400, 120))
    clock.now += 10
    progress.answered(540, 0, 0)
    (line,) = lines_of(caplog)
    assert (line["records"], line["processed_in_jobs"]) == ("540", "120")
    assert (line["rate_per_second"], line["eta_seconds"]) == ("2.0", "170")


def test_a_line_comes_without_any_event(log: logging.Logger, caplog: Any) -> None:
    """A run that waits for a job would log nothing for minutes and look dead."""
    written = threading.Event()

    class Watched(LineProgress):
        def show(self, event: str) -> None:
            super().show(event)
            if event == "tick":
                written.set()

    times = itertools.count(0.0, INTERVAL_SECONDS)
    progress = Watched(log, lambda: next(times), timer=Timer(0.01))
    progress.begin(PARTS, lambda: 0.0)
    assert written.wait(10)
    progress.end()
    assert lines_of(caplog)


def test_the_timer_ends_with_the_run(log: logging.Logger) -> None:
    """A notebook would accumulate a thread for each run."""
    before = threading.active_count()
    progress = LineProgress(log, timer=Timer(0.01))
    for _ in range(2):
        progress.begin(PARTS, lambda: 0.0)
    progress.end()
    assert threading.active_count() == before
