"""Runs the command that the arguments name; turns its failure into a message and an exit code.

Only the standard library is imported at the top, so that `--help` and a wrong argument answer at once; every other
module loads when a command needs it.
"""

from __future__ import annotations

import argparse
import errno
import gc
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bedrock_batch.commands.arguments import is_read_only, parse_arguments, setting_overrides
from bedrock_batch.environment.callable_log import Log, as_logger

if TYPE_CHECKING:
    from bedrock_batch.commands.preparation import StepRequest

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

# The settings of a run against the local Bedrock; a variable of the environment takes precedence.
LOCAL_DEFAULTS = {
    "BEDROCK_BATCH_ROLE_ARN": "arn:aws:iam::123456789012:role/local-bedrock",
    "BEDROCK_BATCH_INPUT_S3_PATH": "s3://local-bedrock/input",
    "BEDROCK_BATCH_OUTPUT_S3_PATH": "s3://local-bedrock/output",
    "BEDROCK_BATCH_POLL_INITIAL_SECONDS": "0.2",
    "BEDROCK_BATCH_POLL_MAX_SECONDS": "2",
}

StartLocal = Callable[[ExitStack, Mapping[str, str], "dict[str, Any] | None"], dict[str, str]]
"""Starts the local Bedrock until the stack closes. Takes the settings and the response schema; returns variables."""


def run(arguments: Sequence[str] | None, start_local: StartLocal) -> int:
    """Run the command that the arguments name and return the exit code: 0 done, 1 failed, 2 wrong input or settings."""
    options = parse_arguments(arguments)
    _log_to_stderr(logging.ERROR if is_read_only(options) else logging.INFO)
    # A job's records live together and form no cycles. The default threshold of 700 objects makes the garbage
    # collector take a third of the time of a run.
    gc.set_threshold(200_000, 20, 100)
    try:
        return _run_command(options, start_local)
    except KeyboardInterrupt as error:
        from bedrock_batch.environment.container.signals import describe_interrupt

        left = describe_interrupt(error, asks=not is_read_only(options), local=options.local)
        return _fail(1, f"stopped by {str(error) or 'Ctrl-C'}: {left}", options)
    except Exception as error:
        return _fail(getattr(error, "exit_code", 1), explain(error), options)


def run_process(arguments: Sequence[str] | None, start_local: StartLocal) -> NoReturn:
    """Run the command as a process of its own and end the process with the exit code.

    SIGTERM and Ctrl-C end the process within seconds.
    """
    from bedrock_batch.environment.container.signals import SignalEnding

    options = parse_arguments(arguments)
    ending = SignalEnding(lambda reason: _write_hard_end(reason, options))
    ending.install()
    try:
        code = run(arguments, start_local)
    except KeyboardInterrupt:  # a signal that came after the command had ended
        code = 1
    ending.end(code)


def _run_command(options: argparse.Namespace, start_local: StartLocal) -> int:
    environ = dict(os.environ)
    _install_missing_packages(environ)
    with ExitStack() as stack:
        if options.local:
            environ = _local_environ(stack, environ, options, start_local)
        if options.plan:
            return _print_plan(environ, options)
        if options.doctor:
            return _print_findings(environ, options)
        if options.status:
            return _print_status(environ, options)
        if options.forget is not None:
            return _print_forgotten(environ, options)
        return _run_step(environ, options)


def _local_environ(
    stack: ExitStack, environ: dict[str, str], options: argparse.Namespace, start_local: StartLocal
) -> dict[str, str]:
    """Start the local Bedrock and return the environment of a run against it."""
    from bedrock_batch.commands.preflight import check_settings
    from bedrock_batch.environment.container.paths import container_paths

    options.set_by_local = frozenset(LOCAL_DEFAULTS.keys() - environ.keys())
    environ = {**LOCAL_DEFAULTS, "BEDROCK_BATCH_ROLE_ARN": _local_role(environ), **environ}
    check_settings(container_paths(options.processing_dir)[0], environ, setting_overrides(options))
    if not is_read_only(options):
        _check_waiting(environ)
    return environ | start_local(stack, environ, _read_schema(options))


def _check_waiting(environ: Mapping[str, str]) -> None:
    """Raise ConfigurationError if the run would leave jobs that end with this process."""
    from bedrock_batch.environment.settings import read_variables
    from bedrock_batch.errors import ConfigurationError

    if not read_variables(environ, ["batch_wait"])["batch_wait"]:
        raise ConfigurationError(
            "BEDROCK_BATCH_WAIT=false leaves the jobs to a later start, but those of --local end with this process: "
            "set it to true, or start the local Bedrock by python -m local_bedrock"
        )


def _local_role(environ: Mapping[str, str]) -> str:
    """Return a role for a run against the local Bedrock, in the account of the user's inference profile if it has one.

    A role of another account would give a warning about a setting that the user has not made.
    """
    role = LOCAL_DEFAULTS["BEDROCK_BATCH_ROLE_ARN"]
    profile = environ.get("BEDROCK_INFERENCE_PROFILE_ARN", "").split(":")
    return role.replace(role.split(":")[4], profile[4]) if len(profile) > 4 and profile[4].isdecimal() else role


def _read_schema(options: argparse.Namespace) -> dict[str, Any] | None:
    """Return the schema that the local Bedrock answers by; None if it cannot be read, which the run itself reports."""
    from bedrock_batch.commands.input_channels import schema_of_inputs
    from bedrock_batch.environment.container.paths import container_paths
    from bedrock_batch.errors import InputError

    try:
        return schema_of_inputs(container_paths(options.processing_dir)[0])
    except InputError:
        return None


def _install_missing_packages(environ: Mapping[str, str]) -> None:
    """Install the runtime packages that the image lacks."""
    from bedrock_batch.environment.packages import RUNTIME_PACKAGES, install_packages

    install_packages(RUNTIME_PACKAGES, environ=environ)


def make_request(
    input_paths: Mapping[str, str],
    output_paths: Mapping[str, str],
    environ: Mapping[str, str],
    job_args: argparse.Namespace,
    logger: Log | None = None,
) -> StepRequest:
    """Return the request of a run; ConfigurationError reports wrong settings before slow modules are imported."""
    from bedrock_batch.commands.preflight import check_settings

    overrides = setting_overrides(job_args)
    check_settings(input_paths, environ, overrides)
    from bedrock_batch.commands.preparation import StepRequest

    processing_dir = getattr(job_args, "processing_dir", None)
    return StepRequest(
        input_paths,
        output_paths,
        environ,
        job_args.job_type,
        **overrides,
        processing_dir=Path(processing_dir) if processing_dir else None,
        log=as_logger(logger) or logging.getLogger("bedrock_batch"),
        terminal=logger is None and sys.stderr.isatty(),
        set_by_local=getattr(job_args, "set_by_local", frozenset()),
    )


def _container_request(environ: Mapping[str, str], options: argparse.Namespace) -> StepRequest:
    from bedrock_batch.environment.container.paths import container_paths

    return make_request(*container_paths(options.processing_dir), environ, options)


def _run_step(environ: Mapping[str, str], options: argparse.Namespace) -> int:
    request = _container_request(environ, options)
    from bedrock_batch.commands.run import run_step

    gc.freeze()  # imported modules stay alive, so the garbage collector need not scan them
    run_step(request)
    return 0


def _print_plan(environ: Mapping[str, str], options: argparse.Namespace) -> int:
    """Print the plan of a run as text or JSON."""
    request = _container_request(environ, options)
    from bedrock_batch.commands.plan.build import plan_step
    from bedrock_batch.commands.plan.text import render_plan

    plan = plan_step(request, show_rows=options.show_rows)
    _print(json.dumps(plan, indent=2) if options.json else _terminal_text(render_plan(plan)))
    return 0


def _print_findings(environ: Mapping[str, str], options: argparse.Namespace) -> int:
    """Print the findings of the doctor as text or JSON and return exit code 1 if there is a problem."""
    request = _container_request(environ, options)
    from bedrock_batch.commands.doctor.examine import examine_step, findings_as_dict, render_findings

    findings = examine_step(request, call=options.call)
    if options.json:
        _print(json.dumps(findings_as_dict(findings), indent=2))
    else:
        _print(_terminal_text(render_findings(findings)))
    return int(any(finding.status == "problem" for finding in findings))


def _print_status(environ: Mapping[str, str], options: argparse.Namespace) -> int:
    """Print the status of a run as text or JSON."""
    request = _container_request(environ, options)
    from bedrock_batch.commands.status.build import status_step
    from bedrock_batch.commands.status.text import render_status

    status = status_step(request)
    _print(json.dumps(status, indent=2) if options.json else _terminal_text(render_status(status)))
    return 0


def _print_forgotten(environ: Mapping[str, str], options: argparse.Namespace) -> int:
    """List the answers that are forgotten as text or JSON, and delete them with --yes."""
    request = _container_request(environ, options)
    from bedrock_batch.commands.forget import forget_step, render_forgotten

    report = forget_step(request, options.forget, confirmed=options.yes)
    _print(json.dumps(report, indent=2) if options.json else _terminal_text(render_forgotten(report)))
    return 0


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _terminal_text(text: str) -> str:
    """Escape control characters, so that file names and messages of services cannot steer the terminal."""
    from bedrock_batch.text import escape_controls

    return escape_controls(text, keep="\n")


def _log_to_stderr(level: int) -> None:
    """Log to the standard error unless the process has configured logging already."""
    from bedrock_batch.commands.log_format import LOG_FORMAT, OneLineFormatter

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLineFormatter(LOG_FORMAT))
    logging.basicConfig(level=level, handlers=[handler])


def explain(error: Exception) -> str:
    """Return an error as one line for each problem; an error that nobody expected is a defect and says so."""
    if hasattr(error, "exit_code"):
        return "\n".join(getattr(error, "problems", None) or [str(error)])
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return (
            f"the disk is full ({error.strerror}: {error.filename or 'a work file'}): give the job a larger volume "
            "(VolumeSizeInGB) and start the step again with the same inputs"
        )
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):  # the text of CPython
        return (
            "no further thread can be started: the container's limit of processes and threads, or its memory, is used "
            "up. Raise it, or lower BEDROCK_MAX_CONCURRENT_WORKERS, and start the step again with the same inputs"
        )
    if isinstance(error, OSError) and error.filename:
        return (
            f"{error.filename}: {error.strerror}. Make sure that the user of this process can read and write there and "
            "that no other process does, then start the step again with the same inputs"
        )
    logging.getLogger("bedrock_batch").exception("unexpected error")
    return f"unexpected {type(error).__name__}: the log has the details; please report it"


def _fail(exit_code: int, reason: str, options: argparse.Namespace) -> int:
    """Log the reason of a failure, write it as the container's exit message, and return the exit code."""
    from bedrock_batch.environment.container.paths import write_exit_message

    for line in reason.splitlines():
        logging.getLogger("bedrock_batch").error("%s", line)
    write_exit_message(Path(options.processing_dir).parent, reason)
    return exit_code


def _write_hard_end(reason: str, options: argparse.Namespace) -> None:
    """Write the exit message of a process that ends at once."""
    from bedrock_batch.environment.container.paths import write_exit_message
    from bedrock_batch.environment.container.signals import describe_hard_end

    if not is_read_only(options):
        write_exit_message(Path(options.processing_dir).parent, f"{reason}: {describe_hard_end(local=options.local)}")
