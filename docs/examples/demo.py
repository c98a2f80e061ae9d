"""Run the step on real text without an AWS account: the docstrings of Python's standard library.

`--mode auto` lets the run choose batch inference; `--mode realtime` asks record by record and compares both tables. The
step runs in a separate process, as for a user, with the local Bedrock that `--local` starts.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
COLUMNS = ("module", "name", "kind", "line", "docstring")
# The share and the format of each split.
SPLITS = (("train", "csv", 0.7), ("val", "tsv", 0.85), ("test", "parquet", 1.0))

SETTINGS = {
    "BEDROCK_PRIMARY_MODEL_ID": "us.anthropic.claude-sonnet-4-6",
    "BEDROCK_MAX_TOKENS": "1024",
    "BEDROCK_MAX_RECORDS_PER_JOB": "2000",
    "BEDROCK_CONCURRENCY_MODE": "concurrent",
    "BEDROCK_MAX_CONCURRENT_WORKERS": "16",
    "BEDROCK_RATE_LIMIT_PER_SECOND": "1000",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=("auto", "realtime"), default="auto")
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output")
    options = parser.parse_args()
    processing = run_demo(options.output, options.mode)
    show(processing)
    if options.mode == "realtime":
        other = options.output / "auto"
        if not (other / "output" / "data").is_dir():
            print("\nThe same by batch inference, to compare with:")
            run_demo(options.output, "auto")
        return compare(other, processing)
    return 0


def run_demo(output: Path, mode: str) -> Path:
    """Lay out the input, run the step on it and return the processing directory."""
    processing = output / mode
    shutil.rmtree(processing, ignore_errors=True)
    records = list(standard_library_docstrings())
    write_inputs(records, processing / "input")
    print(f"{len(records)} docstrings of the standard library, as train.csv, val.tsv and test.parquet", flush=True)
    environ = {**os.environ, **SETTINGS, "BEDROCK_BATCH_MODE": mode}
    command = [sys.executable, str(ROOT / "src" / "bedrock_batch_processing.py"), "--job_type", "training", "--local"]
    begun = time.monotonic()
    subprocess.run([*command, "--processing-dir", str(processing)], env=environ, check=True)
    print(f"the step took {time.monotonic() - begun:.1f} s", flush=True)
    return processing


def standard_library_docstrings() -> Iterator[tuple[str, str, str, int, str]]:
    """Yield module, name, kind, line and text of every documented object, from the sources without importing them."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if {"site-packages", "test", "tests", "idlelib", "lib2to3"}.intersection(parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        module = ".".join(parts).removesuffix(".__init__")
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                text = ast.get_docstring(node)
                if text:
                    kind = {ast.Module: "module", ast.ClassDef: "class"}.get(type(node), "function")
                    yield module, getattr(node, "name", module), kind, getattr(node, "lineno", 1), text


def write_inputs(records: list[tuple[str, str, str, int, str]], folder: Path) -> None:
    """Write the records as three splits in three formats, and the example template and schema."""
    begin = 0
    for split, kind, share in SPLITS:
        end = int(len(records) * share)
        columns = [list(column) for column in zip(*records[begin:end], strict=True)]
        table = pa.table(dict(zip(COLUMNS, columns, strict=True)))
        path = folder / "data" / split / f"{split}.{kind}"
        path.parent.mkdir(parents=True)
        if kind == "parquet":
            pq.write_table(table, path)
        else:
            pa_csv.write_csv(table, path, pa_csv.WriteOptions(delimiter="\t" if kind == "tsv" else ","))
        begin = end
    shutil.copytree(EXAMPLES / "templates", folder / "templates")
    shutil.copytree(EXAMPLES / "schema", folder / "schema")


def show(processing: Path) -> None:
    """Print where the outputs are, the headline of the summary and a few rows."""
    (summary_path,) = (processing / "output" / "summary").glob("*.json")
    summary = json.loads(summary_path.read_text(encoding="utf-8"))
    print("\nOutputs:")
    for path in sorted((processing / "output").rglob("*.*")):
        print(f"  {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}  {path.stat().st_size:,} bytes")
    jobs = summary["batch_job_info"]["jobs"]
    print(
        f"\n{summary['total_records']} records, {summary['successful_records']} answered, "
        f"{summary['validation_passed_records']} valid, "
        + (f"{len(jobs)} batch jobs" if summary["batch_processing_used"] else "in real time")
    )
    table = pq.read_table(processing / "output" / "data" / "test" / "test_processed_data.parquet")
    print("\nThree rows of the test split:")
    for row in table.select(["module", "name", *[n for n in table.column_names if n.startswith("llm_")]])[
        :3
    ].to_pylist():
        print(json.dumps(row, ensure_ascii=False, default=str))


def compare(first: Path, second: Path) -> int:
    """Print whether the outputs of two runs are equal, byte for byte in text and cell for cell in Parquet."""
    print("\nBatch inference against real time:")
    equal = True
    for split, kind, _ in SPLITS:
        paths = [folder / "output" / "data" / split / f"{split}_processed_data.{kind}" for folder in (first, second)]
        if kind == "parquet":
            same = pq.read_table(paths[0]).equals(pq.read_table(paths[1]), check_metadata=True)
        else:
            same = paths[0].read_bytes() == paths[1].read_bytes()
        print(f"  {split}: {'equal' if same else 'DIFFERENT'}")
        equal = equal and same
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
