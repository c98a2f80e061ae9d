"""The entry point of the step: its command line, and the names that other code imports from it.

What is imported here at the top is from the standard library alone, so that `--help` and a wrong argument answer at
once; everything else loads when it is needed.
"""

from __future__ import annotations

import argparse
import errno
import gc
import importlib
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

_HERE = str(Path(__file__).resolve().parent)
if _HERE not in sys.path:  # loaded by path, as a notebook or a test may do
    sys.path.insert(0, _HERE)

if TYPE_CHECKING:
    from types import FrameType

    from bedrock_batch.step import StepRequest

JOB_TYPES = ("training", "validation", "testing", "calibration")
PROCESSING_DIR = "/opt/ml/processing"

# The names of the contract and where they are defined; a value of None stands for the same name there.
_EXPORTS: dict[str, tuple[str, str]] = {
    "install_packages": ("bedrock_batch.packages", "install_packages"),
    "_detect_file_format": ("bedrock_batch.tables.formats", "detect_file_format"),
    "load_dataframe_with_format": ("bedrock_batch.tables.frames", "load_dataframe_with_format"),
    "save_dataframe_with_format": ("bedrock_batch.tables.frames", "save_dataframe_with_format"),
    "normalize_unicode_quotes": ("bedrock_batch.json_text", "normalize_unicode_quotes"),
    "repair_json": ("bedrock_batch.json_text", "repair_json"),
    "extract_json_candidate": ("bedrock_batch.json_text", "extract_json_candidate"),
    "BedrockProcessor": ("bedrock_batch.processor", "BedrockProcessor"),
    "BedrockBatchProcessor": ("bedrock_batch.batch_processor", "BedrockBatchProcessor"),
    "load_prompt_templates": ("bedrock_batch.prompts", "load_prompt_templates"),
    "load_validation_schema": ("bedrock_batch.schema", "load_validation_schema"),
    "process_split_directory": ("bedrock_batch.step", "process_split_directory"),
    "CONTAINER_PATHS": ("bedrock_batch.container", "CONTAINER_PATHS"),
}
__all__ = ["main", "run", *_EXPORTS]


def __getattr__(name: str) -> Any:
    """Return a name of the contract from the module that defines it (PEP 562)."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _EXPORTS[name]
    return getattr(importlib.import_module(module), attribute)


def main(
    input_paths: Mapping[str, str],
    output_paths: Mapping[str, str],
    environ_vars: Mapping[str, str],
    job_args: argparse.Namespace,
    logger: logging.Logger | None = None,
) -> dict[str, Any]:
    """Run the step and return its summary; nothing is read from the process environment.

    Keys of the paths: `input_data`, `prompt_templates`, `validation_schema`; `processed_data`, `analysis_summary`.
    """
    return _run_step(_request(input_paths, output_paths, environ_vars, job_args, logger))


def _run_step(request: StepRequest, *, own_process: bool = False) -> dict[str, Any]:
    from bedrock_batch.step import run_step

    if own_process:
        gc.freeze()  # what is imported stays: not to look at it again saves a run of 200,000 rows 4 % of its time
    return run_step(request)


def _request(
    input_paths: Mapping[str, str],
    output_paths: Mapping[str, str],
    environ_vars: Mapping[str, str],
    job_args: argparse.Namespace,
    logger: logging.Logger | None = None,
) -> StepRequest:
    """Return the request of a run as the step takes it; wrong settings are told before what takes time is loaded."""
    from bedrock_batch.preflight import check_settings

    overrides = {name: getattr(job_args, name, None) for name in ("batch_size", "max_retries")}
    check_settings(input_paths, environ_vars, overrides)
    from bedrock_batch.step import StepRequest

    processing_dir = getattr(job_args, "processing_dir", None)
    return StepRequest(
        input_paths,
        output_paths,
        environ_vars,
        job_args.job_type,
        **overrides,
        processing_dir=Path(processing_dir) if processing_dir else None,
        log=logger or logging.getLogger("bedrock_batch"),
        terminal=logger is None and sys.stderr.isatty(),
    )


def _print_plan(environ: Mapping[str, str], options: argparse.Namespace) -> int:
    """Print the plan of a run, for people or for programs, and return the exit code."""
    import json

    from bedrock_batch.container import container_paths

    request = _request(*container_paths(options.processing_dir), environ, options)
    from bedrock_batch.plan.text import render_plan
    from bedrock_batch.step import plan_step

    plan = plan_step(request, show_rows=options.show_rows)
    sys.stdout.write((json.dumps(plan, indent=2) if options.json else render_plan(plan)) + "\n")
    return 0


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the arguments of the command line; a wrong one ends the process with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="bedrock_batch_processing.py",
        description="Run a language model over every row of a data set, by Amazon Bedrock batch inference or in real "
        "time. Settings are environment variables: see docs/configuration.md.",
        allow_abbrev=False,
    )
    parser.add_argument("--job_type", required=True, choices=JOB_TYPES, help="which data are processed")
    parser.add_argument("--batch-size", type=int, metavar="N", help="records per block in real time (default 10)")
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
    parser.add_argument("--json", action="store_true", help="with --plan or --doctor: print JSON")
    options = parser.parse_args(arguments)
    if options.plan and options.doctor:
        parser.error("--plan and --doctor are two commands: give one of them")
    if options.show_rows and not options.plan:
        parser.error("--show-rows belongs to --plan")
    if options.call and not options.doctor:
        parser.error("--call belongs to --doctor")
    if options.json and not (options.plan or options.doctor):
        parser.error("--json belongs to --plan or --doctor")
    return options


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the step as its command line says and return the exit code: 0 done, 1 failed, 2 wrong input or settings."""
    options = parse_arguments(arguments)
    # A plan and a doctor say themselves what a log would.
    level = logging.ERROR if options.plan or options.doctor else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _interrupt)
    # A job's records are alive together and hold no cycles: looking for some at every 700th cost a third of the time.
    gc.set_threshold(200_000, 20, 100)
    environ = dict(os.environ)
    try:
        _install_missing_packages(environ)
        with ExitStack() as stack:
            if options.local:
                environ = {**LOCAL_DEFAULTS, **environ, **_start_local(stack, environ, options)}
            if options.plan:
                return _print_plan(environ, options)
            if options.doctor:
                return _print_findings(environ, options)
            from bedrock_batch.container import container_paths

            _run_step(_request(*container_paths(options.processing_dir), environ, options), own_process=True)
    except KeyboardInterrupt as error:
        reason = f"stopped by {str(error) or 'Ctrl-C'}; to continue, start the step again with the same inputs: "
        return _fail(1, reason + "its batch jobs go on, unless BEDROCK_BATCH_RESUME=false had them stopped", options)
    except Exception as error:
        return _fail(getattr(error, "exit_code", 1), _explain(error), options)
    return 0


def _print_findings(environ: Mapping[str, str], options: argparse.Namespace) -> int:
    """Print what the doctor found, for people or for programs; the exit code is 1 where there is a problem."""
    import json

    from bedrock_batch.container import container_paths
    from bedrock_batch.doctor.examine import findings_as_dict, render_findings
    from bedrock_batch.step import examine_step

    request = _request(*container_paths(options.processing_dir), environ, options)
    findings = examine_step(request, call=options.call)
    text = json.dumps(findings_as_dict(findings), indent=2) if options.json else render_findings(findings)
    sys.stdout.write(text + "\n")
    return int(any(finding.status == "problem" for finding in findings))


# What a run against the local Bedrock takes where the environment says nothing else.
LOCAL_DEFAULTS = {
    "BEDROCK_BATCH_ROLE_ARN": "arn:aws:iam::123456789012:role/local-bedrock",
    "BEDROCK_BATCH_INPUT_S3_PATH": "s3://local-bedrock/input",
    "BEDROCK_BATCH_OUTPUT_S3_PATH": "s3://local-bedrock/output",
    "BEDROCK_BATCH_POLL_INITIAL_SECONDS": "0.2",
    "BEDROCK_BATCH_POLL_MAX_SECONDS": "2",
}


def _install_missing_packages(environ: Mapping[str, str]) -> None:
    """Install what the image lacks; an image that has all of it is left alone."""
    from bedrock_batch.packages import RUNTIME_PACKAGES, install_packages

    install_packages(RUNTIME_PACKAGES, environ=environ)


def _start_local(stack: ExitStack, environ: Mapping[str, str], options: argparse.Namespace) -> dict[str, str]:
    """Start the local Bedrock until `stack` closes, with the buckets of this run, and return its environment."""
    from bedrock_batch.errors import ConfigurationError

    try:
        from local_bedrock.server import LocalBedrock
    except ImportError as error:
        raise ConfigurationError(
            f"--local needs the local Bedrock's packages ({error}): pip install 'bedrock-batch-processing[local]'"
        ) from error
    local = stack.enter_context(LocalBedrock(answers=_schema_of(options)))
    settings = {**LOCAL_DEFAULTS, **environ}
    for name in ("BEDROCK_BATCH_INPUT_S3_PATH", "BEDROCK_BATCH_OUTPUT_S3_PATH"):
        local.create_bucket(settings[name].removeprefix("s3://").split("/")[0])
    local.create_role(settings["BEDROCK_BATCH_ROLE_ARN"].rsplit("/", 1)[-1])
    return local.environment


def _schema_of(options: argparse.Namespace) -> dict[str, Any] | None:
    """Return the schema that the local Bedrock answers by; None where the run itself will say what is wrong with it."""
    from bedrock_batch.container import container_paths
    from bedrock_batch.errors import InputError
    from bedrock_batch.schema import load_validation_schema

    try:
        return load_validation_schema(container_paths(options.processing_dir)[0]["validation_schema"])
    except InputError:
        return None


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(signal.Signals(number).name)


_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def _explain(error: Exception) -> str:
    """Return an error as one line for each problem; an error that nobody expected is a defect and says so."""
    if hasattr(error, "exit_code"):
        return "\n".join(getattr(error, "problems", None) or [str(error)])
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return (
            f"the disk is full ({error.strerror}: {error.filename or 'a work file'}): give the job a larger volume "
            "(VolumeSizeInGB) and start the step again with the same inputs"
        )
    if isinstance(error, PermissionError) and error.filename:
        return f"{error.filename}: {error.strerror}; let the user of this process read and write there"
    logging.getLogger("bedrock_batch").exception("unexpected error")
    return f"unexpected {type(error).__name__}: the log has the details; please report it"


def _fail(exit_code: int, reason: str, options: argparse.Namespace) -> int:
    from bedrock_batch.container import write_exit_message

    for line in reason.splitlines():
        logging.getLogger("bedrock_batch").error("%s", line)
    write_exit_message(Path(options.processing_dir).parent, reason)
    return exit_code


if __name__ == "__main__":
    sys.exit(run())
