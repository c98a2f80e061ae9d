"""Progress: what the lines, the metrics and the bars say, and how often."""

from __future__ import annotations

import io
import json
import logging
import sys
from typing import Any

import pytest

from bedrock_batch.progress import INTERVAL_SECONDS, JobFigures, LineProgress, Progress

PARTS = (("train", 70), ("val", 30))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lines_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    """The progress lines of the log, read as a metric filter reads them."""
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
    """CloudWatch would be flooded by a run of a million rows, or silent."""
    progress = LineProgress(log, clock)
    progress.begin(PARTS, lambda: 0.5)
    for second in range(90):
        clock.now += 1
        progress.answered(second, 1, 0)
    assert [line["records"] for line in lines_of(caplog)] == ["30", "60", "90"]
    progress.end()
    assert len(lines_of(caplog)) == 4


def test_a_line_tells_rate_time_left_and_cost(clock: Clock, log: logging.Logger, caplog: Any) -> None:
    """A person could not tell whether the run will be done today, or what it costs."""
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


def test_jobs_count_before_they_end(clock: Clock, log: logging.Logger, caplog: Any) -> None:
    """A run by batch would stand at nothing for hours and then be done."""
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
        ("0", "0", "0"),
        ("50", "0", "0"),
    ]


def test_nothing_known_is_said_so(clock: Clock, log: logging.Logger, caplog: Any) -> None:
    """A time left of infinity, or a division by zero, would end the run."""
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
    """CloudWatch would see text and no metric."""
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
    """The standard output of every run would be filled with JSON."""
    progress = LineProgress(log, clock)
    progress.begin(PARTS, lambda: 0.0)
    progress.end()
    assert capsys.readouterr().out == ""


def test_bars_show_splits_and_jobs(clock: Clock) -> None:
    """A person at a terminal would see an empty screen, or a crash in place of a run."""
    pytest.importorskip("rich")
    from rich.console import Console

    from bedrock_batch.bars import BarProgress

    screen = io.StringIO()
    progress = BarProgress(clock, Console(file=screen, force_terminal=True, width=80))
    progress.begin(PARTS, lambda: 0.125)
    progress.job(JobFigures("run-0001", "InProgress", 50, 20))
    clock.now += 10
    progress.answered(0, 40, 0)
    progress.job(JobFigures("run-0001", "Completed", 50, 50, terminal=True))
    progress.end()
    shown = screen.getvalue()
    for part in ("train", "val", "40/100", "40/70", "$0.12", "4/s"):
        assert part in shown


def test_log_lines_find_their_way_back_after_the_bars(clock: Clock) -> None:
    """Log lines after the run would go to a stream that is gone."""
    pytest.importorskip("rich")
    from rich.console import Console

    from bedrock_batch.bars import BarProgress

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
