"""The lower bound of a batch run: bare libraries upload, download and write the same files.

It is run after a run, in the same environment, and prints CPU seconds by activity as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# The packages that a run loads until its first request, and those that it loads later.
NEEDED = ("pyarrow", "pyarrow.parquet", "pyarrow.csv", "pydantic", "tenacity", "jsonschema_rs", "msgspec.json")
NEEDED += ("boto3", "s3transfer")
LATER = ("pandas", "pyarrow.compute")


def main(bucket: str, output: str) -> None:
    figures = {
        "start and imports": time.process_time() + seconds_of(lambda: [*map(importlib.import_module, NEEDED + LATER)])
    }
    import boto3
    import pyarrow.parquet as pq

    s3 = boto3.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    figures["uploads"] = figures["downloads"] = 0.0
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "object")
        for key in keys:
            took = seconds_of(lambda key=key: s3.download_file(bucket, key, path))
            if key.endswith(".jsonl"):
                figures["uploads"] += seconds_of(lambda key=key: s3.upload_file(path, bucket, f"again/{key}"))
            else:
                figures["downloads"] += took
        table = pq.read_table(output)
        figures["output file"] = seconds_of(lambda: pq.write_table(table, path, compression="snappy"))
    print(json.dumps(figures))


def seconds_of(work: Callable[[], Any]) -> float:
    """Return the CPU seconds of all threads during `work`."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    main(*sys.argv[1:])
