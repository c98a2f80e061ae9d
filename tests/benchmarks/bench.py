"""Run the benchmarks and write docs/performance.md: `make bench`, or `bench.py --quick` for a look without writing."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from statistics import median

from bench_data import write_rows
from bench_growth import measure_shapes
from bench_measure import Rate
from bench_realtime import WORKERS, limiter_rates, loaded_for, realtime_rates, start_times, start_to_first_request
from bench_rows import compare_reading, compare_staging
from bench_run import ROOT, RunFigures, local_bedrock, run_floor, run_step

PACKAGES = ("boto3", "pandas", "pyarrow", "pydantic", "jsonschema-rs", "msgspec", "orjson")
PROCESSES = 3
DOCUMENT = ROOT / "docs" / "performance.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds; prints, and writes no document")
    quick = parser.parse_args().quick
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        lines = list(report(folder, rows=5_000 if quick else 45_000, rounds=2 if quick else 5, large=not quick))
    finally:
        shutil.rmtree(folder)
    text = "\n".join(lines) + "\n"
    print(text)
    if not quick:
        DOCUMENT.write_text(text, encoding="utf-8")


def report(folder: Path, rows: int, rounds: int, *, large: bool) -> Iterable[str]:
    """Yield the lines of the document, each part measured when its turn comes."""
    yield from _head(rounds)
    staged = {size: _apart(compare_staging, folder, rows, size, rounds) for size in (1024, 8192)}
    read, converse = (_apart(compare_reading, folder, rows, rounds, form) for form in (False, True))
    yield from _rows_table(rows, staged, read, converse)
    runs = [_run(folder, count) for count in ((200_000, 1_000_000) if large else (rows,))]
    yield from _runs_table(runs, 1e6 / staged[1024]["ours"].cpu + 1e6 / read["ours"].cpu)
    yield from _realtime_table(folder, 8.0 if large else 2.0)
    yield from _limiter_table(20.0 if large else 3.0)
    yield from _start_table(folder, rounds)
    if large:
        yield from _shapes_table(measure_shapes(folder / "shapes"))
    yield from _READING


def _apart(measure_rates: Callable[..., dict[str, Rate]], *arguments: object) -> dict[str, Rate]:
    """Measure in processes of their own, one after the other, and return the medians.

    What one measurement leaves in memory slows the next, and how memory comes to lie makes a difference of a tenth.
    """
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        rates = [pool.apply(measure_rates, arguments) for _ in range(PROCESSES)]
    return {
        way: Rate(median(each[way].wall for each in rates), median(each[way].cpu for each in rates)) for way in rates[0]
    }


def _head(rounds: int) -> Iterable[str]:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    yield "# Performance"
    yield ""
    yield (
        "Written by `make bench` (sources in `tests/benchmarks/`); do not edit. The ways of a row of the first table run in turn in "
        f"the same processes, so that the ratios hold where the absolute figures do not; medians of {PROCESSES} processes of {rounds} rounds each. R is the row-wise way that "
        "most scripts take (`iterrows`, `str.replace`, `json.dumps`; `json.loads` per line, a dict per row, "
        "`DataFrame(list)`), L the limit: a bare loop over the fastest library that does nothing else, checks nothing and "
        "keeps no order. The floor is the work on the files alone: to decode the Parquet file and write as many bytes as "
        "the lines have, or to parse the lines."
    )
    yield ""
    yield f"- {datetime.now(timezone.utc):%Y-%m-%d}, commit {commit or 'unknown'}, {os.cpu_count()} cores, {_processor()}"
    yield f"- Python {platform.python_version()}, {versions}"
    yield ""


def _rows_table(
    rows: int, staged: dict[int, dict[str, Rate]], read: dict[str, Rate], converse: dict[str, Rate]
) -> Iterable[str]:
    yield f"## Rows to batch file, result file to table ({rows:,} rows)"
    yield ""
    yield "| work | ours, rows/s | R, rows/s | L, rows/s | ours / R | ours / L | goal | floor / R |"
    yield "|---|---|---|---|---|---|---|---|"
    works = [
        ("Parquet to JSONL on disk, 1 KB prompts", staged[1024], "12 × R, 0.6 × L"),
        ("Parquet to JSONL on disk, 8 KB prompts", staged[8192], "0.7 × L"),
        ("result file to output table, nested schema", read, "12 × R, 0.6 × L"),
        ("the same, answers in the form of Converse", converse, "none"),
    ]
    for name, rates, goal in works:
        ours, slow, limit, floor = (rates[way].wall for way in ("ours", "R", "L", "floor"))
        yield (
            f"| {name} | {ours:,.0f} | {slow:,.0f} | {limit:,.0f} | {ours / slow:.1f} | {ours / limit:.2f} | {goal} | "
            f"{floor / slow:.1f} |"
        )
    yield ""


def _run(folder: Path, count: int) -> tuple[RunFigures, dict[str, float]]:
    root = folder / f"run-{count}"
    write_rows(root / "input" / "data" / "train" / "rows.parquet", count, 1024)
    with local_bedrock(folder / f"local-{count}") as environ:
        figures, floor = run_step(root, environ), run_floor(root, environ)
    shutil.rmtree(root)
    return figures, floor


def _runs_table(runs: list[tuple[RunFigures, dict[str, float]]], rows_microseconds: float) -> Iterable[str]:
    yield "## A whole batch run against the local Bedrock in a process of its own (1 KB prompts, Parquet)"
    yield ""
    yield (
        "| rows | jobs | seconds, the service's included | client CPU, µs per row | against the sum of the first and the "
        "third row above | bare libraries for the same files, µs per row | peak memory of the client |"
    )
    yield "|---|---|---|---|---|---|---|"
    for run, floor in runs:
        per_row, bare = run.cpu_seconds / run.rows * 1e6, sum(floor.values()) / run.rows * 1e6
        parts = ", ".join(f"{name} {seconds / run.rows * 1e6:.1f}" for name, seconds in floor.items())
        yield (
            f"| {run.rows:,} | {run.jobs} | {run.seconds:.1f} | {per_row:.1f} | {per_row / rows_microseconds:.2f} × "
            f"(goal 1.5) | {bare:.1f}: {parts} | {run.peak_mib:.0f} MiB (goal 700) |"
        )
    if len(runs) > 1:
        yield ""
        peaks = [run.peak_mib for run, _ in runs]
        yield f"Memory of the larger run: {peaks[1] / peaks[0]:.2f} × that of the smaller (goal 1.15)."
    yield ""


def _realtime_table(folder: Path, seconds: float) -> Iterable[str]:
    yield "## Real time against a service that takes 200 ms"
    yield ""
    yield "| workers | ideal, requests/s | the step | share of the ideal | bare boto3 threads, beside it |"
    yield "|---|---|---|---|---|"
    for workers in WORKERS:
        rate = realtime_rates(folder, workers, seconds)
        yield (
            f"| {workers} | {rate['ideal']:.0f} | {rate['step']:.0f} | {rate['step'] / rate['ideal']:.2f} | "
            f"{rate['boto3']:.0f} |"
        )
    yield ""


def _limiter_table(seconds: float) -> Iterable[str]:
    rates = limiter_rates(seconds=seconds)
    yield "## Rate limiter"
    yield ""
    yield (
        f"32 threads at {rates['configured']:.0f}/s for {seconds:.0f} s: {rates['per_second']:.2f} starts per second, "
        f"at most {rates['most_in_a_second']:.0f} in any second."
    )
    yield ""


def _start_table(folder: Path, rounds: int) -> Iterable[str]:
    times = start_times(folder, rounds)
    first = start_to_first_request(folder, rounds)
    wrong = ["--job_type", "training", "--processing-dir", str(folder / "none")]
    yield "## Start"
    yield ""
    yield "| | seconds |"
    yield "|---|---|"
    for name, arguments in (("--help", ["--help"]), ("configuration error", wrong)):
        loaded = ", ".join(loaded_for(arguments)) or "none of pandas, pyarrow, boto3"
        yield f"| {name} (loads {loaded}) | {times[name]:.2f} |"
    yield f"| the bare imports and clients that a run needs | {times['bare imports and clients']:.2f} |"
    yield f"| start of the process to its first request | {first:.2f} |"
    yield ""


def _shapes_table(shapes: dict[str, RunFigures]) -> Iterable[str]:
    yield "## Costs grow with the rows, whatever their shape"
    yield ""
    yield "| data | seconds | client CPU, ms per row | peak memory of the client |"
    yield "|---|---|---|---|"
    for name, run in shapes.items():
        yield (f"| {name} | {run.seconds:.1f} | {run.cpu_seconds / run.rows * 1e3:.3f} | {run.peak_mib:.0f} MiB |")
    yield ""
    yield "Every figure includes the start of the process and its imports, and the waits between two polls."
    yield ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


_READING = (
    "## Reading the figures",
    "",
    "- R is fast where pandas keeps text in Arrow: L is less than 12 × R, and from the result file even the floor is. To the",
    "  batch file, letting Arrow join and escape whole columns was tried, without any check: that stayed below it, too.",
    "- To the batch file, what is left between ours and L is the plan of the jobs, a check sum of each prompt, and the",
    "  record in row order; the JSON of a prompt is written by pydantic-core, which is why long prompts pass L.",
    "- From the result file, L parses a line with orjson and validates an answer with the response model. Ours also joins by",
    "  id, compares the echoed input with what was sent, has the full JSON Schema judge every answer, counts tokens, and",
    "  writes typed columns in row order. It can come near L since msgspec skips what is not needed of a line, and since a",
    "  TypedDict, which accepts the same answers, needs no object for each.",
    "- Two processes that read a job's results side by side were tried: with their start they took twice the time of one.",
    "- In a run, rendering goes on in a thread beside uploads, and results are fetched beside both: check sums, sockets and",
    "  Arrow let the interpreter go.",
    "- The whole run takes more than 1.5 × the two rows: beside them come uploads (where the endpoint is not HTTPS, as here,",
    "  the SDK hashes all that it sends to sign it), downloads, output files in Parquet, and the start with its imports, for",
    "  which bare libraries alone take about the half that the goal leaves. The rest is the calls about jobs, and the input",
    "  twice more: all of it is checked before anything is paid for, and joined with the answers at the end.",
)


if __name__ == "__main__":
    main()
