"""The arguments of the command line. Imports the standard library only, so that `--help` answers at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

JOB_TYPES = ("training", "validation", "testing", "calibration")
# The attributes of the settings that the command line can give.
SETTINGS = ("batch_size", "max_retries", "limit_records", "sample_records")
PROCESSING_DIR = "/opt/ml/processing"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the arguments of the command line; a wrong one ends the process with exit code 2."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    if sum([options.plan, options.doctor, options.status, options.forget is not None]) > 1:
        parser.error("--plan, --doctor, --status and --forget are commands of their own: give one of them")
    if options.show_rows and not options.plan:
        parser.error("--show-rows belongs to --plan")
    if options.call and not options.doctor:
        parser.error("--call belongs to --doctor")
    if options.json and not is_read_only(options):
        parser.error("--json belongs to --plan, --doctor, --status or --forget")
    if options.limit_records is not None and options.sample_records is not None:
        parser.error("--limit and --sample both choose the rows: give one of them")
    _check_forgetting(parser, options)
    return options


def _check_forgetting(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.yes and options.forget is None:
        parser.error("--yes belongs to --forget")
    if options.forget is not None and not options.forget.strip():
        parser.error("--forget needs a model id, a run id, or all")
    if options.forget is not None and options.local:
        parser.error("--local keeps no answers after its end, so that --forget finds none: give one of them")


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bedrock_batch_processing.py",
        description="Run a language model over every row of a data set, by Amazon Bedrock batch inference or in real "
        "time. Settings are environment variables: see docs/configuration.md.",
        allow_abbrev=False,
    )
    parser.add_argument("--job_type", required=True, choices=JOB_TYPES, help="the kind of data to process")
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="records in a block of real-time requests (default 10)"
    )
    parser.add_argument("--max-retries", type=int, metavar="N", help="tries per record in real time (default 3)")
    parser.add_argument(
        "--processing-dir",
        default=PROCESSING_DIR,
        metavar="DIR",
        help=f"root of the input and output folders (default {PROCESSING_DIR})",
    )
    parser.add_argument(
        "--local", action="store_true", help="run against a local Bedrock and S3 in this process; needs no AWS account"
    )
    _add_sample(parser)
    _add_commands(parser)
    return parser


def _add_sample(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        dest="limit_records",
        help="answer only N rows, the first ones of each split, in real time; outputs say `sample`",
    )
    parser.add_argument(
        "--sample",
        type=int,
        metavar="N",
        dest="sample_records",
        help="answer only N rows that are drawn at random, in real time; the full run pays for the others only",
    )


def _add_commands(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plan", action="store_true", help="show what would be done and what it would cost; no model is asked"
    )
    parser.add_argument(
        "--show-rows", action="store_true", help="with --plan: print three prompts with their rows' text"
    )
    parser.add_argument(
        "--doctor", action="store_true", help="check that account, role, buckets and model can do this run"
    )
    parser.add_argument("--call", action="store_true", help="with --doctor: ask the model one tiny question, too")
    parser.add_argument(
        "--status", action="store_true", help="show the jobs of the run, its cost so far and what a start would do now"
    )
    parser.add_argument(
        "--forget", metavar="MODEL|RUN_ID|all", help="list the kept answers of a model, of a run or of all"
    )
    parser.add_argument("--yes", action="store_true", help="with --forget: delete the answers that it lists")
    parser.add_argument("--json", action="store_true", help="with --plan, --doctor, --status or --forget: print JSON")


def setting_overrides(job_args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that the command line can give; one that it does not give is None."""
    return {name: getattr(job_args, name, None) for name in SETTINGS}


def is_read_only(options: argparse.Namespace) -> bool:
    """Return whether the command answers no record and writes no output."""
    return bool(options.plan or options.doctor or options.status or options.forget is not None)
