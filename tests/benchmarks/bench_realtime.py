"""Real-time throughput with a service that takes 200 ms, accuracy of the rate limiter, and start-up time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from bench_data import SCHEMA, write_rows
from bench_floor import NEEDED
from bench_run import ROOT, local_bedrock, run_step

from bedrock_batch.aws.clients import ClientFactory, make_session
from bedrock_batch.aws.runtime import invoke_model
from bedrock_batch.realtime.requests.rate_limiter import RateLimiter
from local_bedrock import LocalBedrock

LATENCY = 0.2


def realtime_rates(folder: Path, workers: int, seconds: float = 8.0) -> dict[str, float]:
    """Return requests per second of the step and of bare boto3 threads, and their ideal.

    The overhead of a run with one row is subtracted from the time of the step.
    """
    ideal = workers / LATENCY
    rows = int(min(ideal, 400) * seconds)
    root = folder / f"realtime-{workers}"
    write_rows(root / "input" / "data" / "train" / "rows.parquet", rows, 1024)
    with local_bedrock(folder / "local", LATENCY) as environ:
        settings = {
            "BEDROCK_BATCH_MODE": "realtime",
            "BEDROCK_CONCURRENCY_MODE": "concurrent",
            "BEDROCK_MAX_CONCURRENT_WORKERS": str(workers),
            "BEDROCK_RATE_LIMIT_PER_SECOND": "100000",
            "BEDROCK_BATCH_INPUT_S3_PATH": "",
            "BEDROCK_BATCH_OUTPUT_S3_PATH": "",
        }
        ones = [root.with_name(f"{root.name}-one-{number}") for number in range(5)]
        for one in ones:
            write_rows(one / "input" / "data" / "train" / "rows.parquet", 1, 1024)
        overhead = median(run_step(one, environ, **settings).seconds for one in ones) - LATENCY
        figures = run_step(root, environ, **settings)
        bare = bare_rate(environ, workers, rows)
    return {"workers": workers, "ideal": ideal, "step": rows / (figures.seconds - overhead), "boto3": bare}


def bare_rate(environ: dict[str, str], workers: int, rows: int) -> float:
    """Return requests per second of threads that only call boto3."""
    session = make_session("us-east-1", None, {"aws_access_key_id": "x", "aws_secret_access_key": "x"})
    endpoint = {"bedrock-runtime": environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]}
    client = ClientFactory(session, endpoint_urls=endpoint, max_pool_connections=workers).bedrock_runtime
    messages = [{"role": "user", "content": "word " * 200}]
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1024, "messages": messages}).encode()
    begun = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        for future in [
            pool.submit(invoke_model, client, "us.anthropic.claude-sonnet-4-20250514-v1:0", body) for _ in range(rows)
        ]:
            future.result()
    return rows / (time.perf_counter() - begun)


def limiter_rates(rate: float = 50, seconds: float = 20, threads: int = 32) -> dict[str, float]:
    """Return starts per second of many threads at one limiter, and the maximum in any window of one second."""
    limiter = RateLimiter(rate, adaptive=False)
    starts: list[float] = []
    lock, stop = threading.Lock(), time.monotonic() + seconds

    def work() -> None:
        while time.monotonic() < stop:
            started = limiter.acquire()
            with lock:
                starts.append(started)

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(threads):
            pool.submit(work)
    starts.sort()
    within = [start for start in starts if start < stop]
    most = max(bisect_left(starts, start + 1.0) - index for index, start in enumerate(starts))
    return {"configured": rate, "per_second": len(within) / seconds, "most_in_a_second": most}


def start_times(folder: Path, rounds: int) -> dict[str, float]:
    """Return the seconds until `--help` and until a configuration error, and of the imports that a run needs."""
    entry = str(ROOT / "src" / "bedrock_batch_processing.py")
    imports = f"import {', '.join(NEEDED)}"
    clients = f"{imports}; s = boto3.Session(region_name='us-east-1'); [s.client(n) for n in ('bedrock-runtime', 's3')]"
    ways: dict[str, list[str]] = {
        "--help": [entry, "--help"],
        "configuration error": [entry, "--job_type", "training", "--processing-dir", str(folder / "none")],
        "bare imports and clients": ["-c", clients],
    }
    return {name: median(_seconds(command) for _ in range(rounds)) for name, command in ways.items()}


def start_to_first_request(folder: Path, rounds: int) -> float:
    """Return the seconds from the start of the process until the model receives its first request."""
    seconds = []
    for number in range(rounds):
        arrived: list[float] = []
        with LocalBedrock(answers=SCHEMA) as local:
            local.on_call(lambda call, arrived=arrived: arrived.append(time.monotonic()))
            root = folder / f"first-{number}"
            write_rows(root / "input" / "data" / "train" / "rows.parquet", 1, 1024)
            begun = time.monotonic()
            run_step(root, local.environment, BEDROCK_BATCH_MODE="realtime", BEDROCK_BATCH_INPUT_S3_PATH="")
        seconds.append(arrived[0] - begun)
    return median(seconds)


def loaded_for(arguments: list[str]) -> list[str]:
    """Return the heavy packages that a command line imports."""
    script = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import bedrock_batch_processing as entry\n"
        "try: code = entry.run(sys.argv[2:])\n"
        "except SystemExit: pass\n"
        "print(json.dumps([name for name in ('pandas', 'pyarrow', 'boto3') if name in sys.modules]))"
    )
    command = [sys.executable, "-c", script, str(ROOT / "src"), *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=_plain_environment()).stdout
    loaded: list[str] = json.loads(output.splitlines()[-1])
    return loaded


def _seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, *command], capture_output=True, check=False, env=_plain_environment())
    return time.perf_counter() - begun


def _plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("BEDROCK_")}


WORKERS = (16, 64, 256)
