"""`python -m local_bedrock`: print the environment variables that point an AWS SDK here, and serve until a signal."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import re
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from local_bedrock.answers.upstream import Upstream
from local_bedrock.behaviour import Behaviour
from local_bedrock.operations.runtime import REALTIME_OPERATIONS
from local_bedrock.server import LocalBedrock

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        behaviour = Behaviour.from_json(_read_json(options.behaviour)) if options.behaviour else Behaviour()
        behaviour = _add_latency(behaviour, options.latency)
        schema = _read_json(options.schema) if options.schema else None
        answers = Upstream(options.upstream, options.upstream_model) if options.upstream else schema
        server = LocalBedrock(
            behaviour, answers, options.speed, host=options.host, port=options.port, region=options.region
        )
    except (OSError, ValueError) as error:
        print(f"local_bedrock: {error}", file=sys.stderr)
        return 2
    exports = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # moto prints, and a shell reads what comes out here
        return _serve(server, options.bucket, exports)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local_bedrock",
        description="A local Amazon Bedrock (batch jobs, InvokeModel, Converse) and S3; prints export lines.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=0, help="port to listen on (default: any free one)")
    parser.add_argument("--region", default="us-east-1", help="AWS region to simulate (default: %(default)s)")
    parser.add_argument(
        "--bucket", type=_bucket, action="append", default=[], help="bucket to create; repeat it for more"
    )
    parser.add_argument("--schema", type=Path, help="JSON Schema that every answer matches")
    parser.add_argument("--upstream", metavar="URL", help="OpenAI-compatible chat server that answers")
    parser.add_argument("--upstream-model", metavar="NAME", help="its model name (default: the Bedrock id)")
    parser.add_argument("--behaviour", type=Path, help="JSON file with quotas, phase durations and faults")
    parser.add_argument("--speed", type=_positive, default=1.0, help="divides the durations of job phases (default: 1)")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each real-time answer takes")
    return parser


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, not {text}")
    return value


def _bucket(text: str) -> str:
    if not _BUCKET_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a valid bucket name: use 3 to 63 lower-case letters, digits, dots and hyphens"
        )
    return text


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"must be greater than 0, not {text}")
    return value


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON in UTF-8: {error}") from error


def _add_latency(behaviour: Behaviour, seconds: float) -> Behaviour:
    if seconds <= 0:
        return behaviour
    latency = {**behaviour.latency_seconds, **dict.fromkeys(REALTIME_OPERATIONS, seconds)}
    return dataclasses.replace(behaviour, latency_seconds=latency)


def _serve(server: LocalBedrock, buckets: Sequence[str], exports: TextIO) -> int:
    ended = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda _number, _frame: ended.set())
    try:
        server.start()
    except OSError as error:
        print(f"local_bedrock: cannot listen: {error}; choose another --port", file=sys.stderr)
        return 1
    try:
        for bucket in buckets:
            server.create_bucket(bucket)
        print("unset AWS_BEARER_TOKEN_BEDROCK", file=exports)  # with it, boto3 refuses an endpoint without TLS
        for name, value in server.environment.items():
            print(f"export {name}={shlex.quote(value)}", file=exports)
        exports.flush()
        ended.wait()
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
