"""Run the benchmarks and write docs/performance.md: `make bench`. `bench.py --quick` prints a short run instead."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from statistics import median

from bench_answers import measure_lookup
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
    """Measure part by part, and yield the lines of the document."""
    yield from _head(rounds)
    staged = {size: _apart(compare_staging, folder, rows, size, rounds) for size in (1024, 8192)}
    read, converse = (_apart(compare_reading, folder, rows, rounds, form) for form in (False, True))
    yield from _rows_table(rows, staged, read, converse)
    runs = [_run(folder, count) for count in ((200_000, 1_000_000) if large else (rows,))]
    yield from _runs_table(runs, 1e6 / staged[1024]["ours"].cpu + 1e6 / read["ours"].cpu)
    yield from _answers_table(folder / "answers", large)
    yield from _realtime_table(folder, 8.0 if large else 2.0)
    yield from _limiter_table(20.0 if large else 3.0)
    yield from _start_table(folder, rounds)
    if large:
        yield from _shapes_table(measure_shapes(folder / "shapes"))
    yield from _READING


def _apart(measure_rates: Callable[..., dict[str, Rate]], *arguments: object) -> dict[str, Rate]:
    """Measure in several new processes, one after the other, and return the medians.

    A measurement slows the next one in the same process, and the memory layout alone makes a difference of 10 %.
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
        "`make bench` writes this page (sources in `tests/benchmarks/`); do not edit it. All alternatives of a row in the first table "
        "run in turn in the same processes, so the ratios are reliable even if the absolute figures are not. Figures are "
        f"medians of {PROCESSES} processes with {rounds} rounds each."
    )
    yield ""
    yield (
        "R is the row-wise code of most scripts (`iterrows`, `str.replace`, `json.dumps`; `json.loads` per line, a dict per row, "
        "`DataFrame(list)`). L is the limit: a bare loop over the fastest library that does nothing else and keeps no order. The "
        "floor is the work on the files alone: decoding the Parquet file and writing as many bytes as the lines have, or parsing "
        "the lines."
    )
    yield ""
    yield f"- {datetime.now(timezone.utc):%Y-%m-%d}, commit {commit or 'unknown'}, {os.cpu_count()} cores, {_processor()}"
    yield f"- Python {platform.python_version()}, {versions}"
    yield ""


def _rows_table(
    rows: int, staged: dict[int, dict[str, Rate]], read: dict[str, Rate], converse: dict[str, Rate]
) -> Iterable[str]:
    yield f"## From rows to job file, from result file to table ({rows:,} rows)"
    yield ""
    yield "| work | ours, rows/s | R, rows/s | L, rows/s | ours / R | ours / L | goal | floor / R |"
    yield "|---|---|---|---|---|---|---|---|"
    works = [
        ("Parquet to JSONL on disk, 1 KB prompts", staged[1024], "12 × R, 0.6 × L"),
        ("Parquet to JSONL on disk, 8 KB prompts", staged[8192], "0.7 × L"),
        ("result file to output table, nested schema", read, "12 × R, 0.6 × L"),
        ("the same, with answers of Converse", converse, "none"),
    ]
    for name, rates, goal in works:
        ours, slow, limit, floor = (rates[way].wall for way in ("ours", "R", "L", "floor"))
        yield (
            f"| {name} | {ours:,.0f} | {slow:,.0f} | {limit:,.0f} | {ours / slow:.1f} | {ours / limit:.2f} | {goal} | "
            f"{floor / slow:.1f} |"
        )
    yield ""


def _run(folder: Path, count: int) -> tuple[RunFigures, dict[str, float]]:
    with _inputs(folder, count) as (root, environ):
        return run_step(root, environ), run_floor(root, environ)


@contextmanager
def _inputs(folder: Path, count: int) -> Iterator[tuple[Path, dict[str, str]]]:
    """Write rows for a run, and yield their processing directory and the environment of a local Bedrock."""
    root = folder / f"run-{count}"
    write_rows(root / "input" / "data" / "train" / "rows.parquet", count, 1024)
    with local_bedrock(folder / f"local-{count}") as environ:
        yield root, environ
    shutil.rmtree(root)


def _runs_table(runs: list[tuple[RunFigures, dict[str, float]]], rows_microseconds: float) -> Iterable[str]:
    yield "## A whole batch run (1 KB prompts, Parquet; the local Bedrock in a separate process)"
    yield ""
    yield (
        "| rows | jobs | seconds, including the service | client CPU, µs per row | CPU / sum of rows 1 and 3 above | "
        "bare libraries for the same files, µs per row | peak memory of the client |"
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


def _answers_table(folder: Path, large: bool) -> Iterable[str]:
    yield "## Answers of earlier runs"
    yield ""
    yield "Half of the questions that are looked up are in the store; prompts have 1 KB."
    yield ""
    yield (
        "| answers in the store | questions | digests, µs of CPU each | search, µs | read, µs | sum (goal 5) | "
        "memory for search and reading |"
    )
    yield "|---|---|---|---|---|---|---|"
    for known, asked in ((1_000_000, 1_000_000), (10_000_000, 1_000_000)) if large else ((200_000, 50_000),):
        took = measure_lookup(folder / str(known), known, asked)
        shutil.rmtree(folder / str(known))
        parts = took.digest_microseconds, took.find_microseconds, took.read_microseconds
        texts = " | ".join(f"{part:.1f}" for part in (*parts, sum(parts)))
        yield f"| {known:,} | {asked:,} | {texts} | {took.grown_mib:.0f} MiB (goal 150) |"
    yield ""
    count = 200_000 if large else 20_000
    with _inputs(folder, count) as (root, environ):
        used = {"false": [], "true": []}
        for reuse in ("false", "true") * 3:
            shutil.rmtree(root / "output", ignore_errors=True)
            used[reuse].append(run_step(root, environ, BEDROCK_ANSWER_REUSE=reuse).cpu_seconds / count * 1e6)
    without, kept = (median(used[reuse]) for reuse in ("false", "true"))
    yield (
        f"A batch run of {count:,} rows takes {without:.1f} µs of client CPU a row without a store and {kept:.1f} µs if it "
        f"keeps its answers ({kept / without:.2f} ×, medians of three alternating runs)."
    )
    yield ""


def _realtime_table(folder: Path, seconds: float) -> Iterable[str]:
    yield "## Real time with a service latency of 200 ms"
    yield ""
    yield "| workers | ideal, requests/s | the step, requests/s | share of the ideal | bare boto3 threads, requests/s |"
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
    yield f"| bare imports and clients of a run | {times['bare imports and clients']:.2f} |"
    yield f"| from process start to first request | {first:.2f} |"
    yield ""


def _shapes_table(shapes: dict[str, RunFigures]) -> Iterable[str]:
    yield "## Growth with rows, columns and files"
    yield ""
    yield "| data | seconds | client CPU, ms per row | peak memory of the client |"
    yield "|---|---|---|---|"
    for name, run in shapes.items():
        yield (f"| {name} | {run.seconds:.1f} | {run.cpu_seconds / run.rows * 1e3:.3f} | {run.peak_mib:.0f} MiB |")
    yield ""
    yield "Each figure includes process start, imports, and the waits between polls."
    yield ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


_READING = (
    "## Reading the figures",
    "",
    "- If pandas stores text in Arrow, R is fast: L is less than 12 × R, and for the result file even the floor is. For the job",
    "  file, joining and escaping whole columns in Arrow, without any check, also stayed below 12 × R.",
    "- For the job file, ours does three things that L does not: it plans the jobs, computes a checksum of each prompt, and",
    "  keeps the records in row order. pydantic-core writes the JSON of a prompt, so long prompts are faster than L.",
    "- For the result file, L parses a line with orjson and validates an answer with the response model. Ours also joins by",
    "  id, compares the echoed input with the sent one, validates against the full JSON Schema, counts tokens, and writes typed",
    "  columns in row order. It comes near L, because msgspec skips the unused parts of a line and a TypedDict, which accepts",
    "  the same answers, needs no object for each answer.",
    "- Two processes that read the results of one job in parallel took twice the time of one, including their start.",
    "- In a run, one thread renders prompts while others upload job files and download results. Checksums, sockets and Arrow",
    "  release the interpreter lock.",
    "- The whole run takes more than 1.5 × the sum of the two rows. It also includes uploads, downloads, output files in",
    "  Parquet, and the start with its imports. For these, bare libraries alone take about 0.5 × the sum, which is all that the",
    "  goal leaves. The SDK hashes every byte of an upload to sign it, because the endpoint here is not HTTPS. The remaining",
    "  difference is the calls about jobs and two more passes over the input: one to check it before anything is paid for, and",
    "  one to join it with the answers.",
)


if __name__ == "__main__":
    main()
