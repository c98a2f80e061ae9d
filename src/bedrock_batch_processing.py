"""The entry point of the step: its command line, and the names that other code imports.

Only the standard library is imported at the top, so that `--help` and a wrong argument answer at once.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

_HERE = str(Path(__file__).resolve().parent)
if _HERE not in sys.path:  # the file may be loaded by its path, as in a notebook
    sys.path.insert(0, _HERE)

from bedrock_batch.commands import command_line  # noqa: E402 - the package is found through the path above

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack

    from bedrock_batch.environment.callable_log import Log

# The names of the contract, each with the module that defines it and its name there.
_EXPORTS: dict[str, tuple[str, str]] = {
    "install_packages": ("bedrock_batch.environment.packages", "install_packages"),
    "_detect_file_format": ("bedrock_batch.dataset.tables.formats", "detect_file_format"),
    "load_data_file": ("bedrock_batch.dataset.frames", "load_dataframe_with_format"),
    "load_dataframe_with_format": ("bedrock_batch.dataset.frames", "load_dataframe_with_format"),
    "save_dataframe_with_format": ("bedrock_batch.dataset.frames", "save_dataframe_with_format"),
    "normalize_unicode_quotes": ("bedrock_batch.answers.json_repair", "normalize_unicode_quotes"),
    "repair_json": ("bedrock_batch.answers.json_repair", "repair_json"),
    "extract_json_candidate": ("bedrock_batch.answers.json_repair", "extract_json_candidate"),
    "BedrockProcessor": ("bedrock_batch.realtime.bedrock_processor", "BedrockProcessor"),
    "BedrockBatchProcessor": ("bedrock_batch.batch.bedrock_batch_processor", "BedrockBatchProcessor"),
    "load_prompt_templates": ("bedrock_batch.prompts.files", "load_prompt_templates"),
    "load_validation_schema": ("bedrock_batch.answers.schema.response_schema", "load_validation_schema"),
    "process_split_directory": ("bedrock_batch.commands.run", "process_split_directory"),
    "CONTAINER_PATHS": ("bedrock_batch.environment.container.paths", "CONTAINER_PATHS"),
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
    logger: Log | None = None,
) -> dict[str, Any]:
    """Run the step and return its summary; nothing is read from the process environment.

    `logger` is a logger or a function of a message.
    Keys of the paths: `input_data`, `prompt_templates`, `validation_schema`; `processed_data`, `analysis_summary`.
    """
    request = command_line.make_request(input_paths, output_paths, environ_vars, job_args, logger)
    from bedrock_batch.commands.run import run_step

    return run_step(request)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name and return the exit code: 0 done, 1 failed, 2 wrong input or settings."""
    return command_line.run(arguments, _start_local)


def run_process(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the step as a process of its own and end the process with the exit code."""
    command_line.run_process(arguments, _start_local)


def _start_local(stack: ExitStack, settings: Mapping[str, str], schema: dict[str, Any] | None) -> dict[str, str]:
    """Start the local Bedrock until `stack` closes, with the run's buckets and role; return its environment variables.

    It stays outside the package: the step and the local Bedrock must not import each other.
    """
    from bedrock_batch.errors import ConfigurationError

    try:
        from local_bedrock.server import LocalBedrock
    except ImportError as error:
        raise ConfigurationError(
            f"--local needs the local Bedrock's packages ({error}): pip install 'bedrock-batch-processing[local]'"
        ) from error
    local = stack.enter_context(LocalBedrock(answers=schema))
    try:
        for name in ("BEDROCK_BATCH_INPUT_S3_PATH", "BEDROCK_BATCH_OUTPUT_S3_PATH", "BEDROCK_ANSWERS_S3_PATH"):
            if path := settings.get(name):  # an empty variable is one that is not set
                local.create_bucket(path.removeprefix("s3://").split("/")[0])
        local.create_role((settings["BEDROCK_BATCH_ROLE_ARN"] or "local-bedrock").rsplit("/", 1)[-1])
    except Exception as error:  # of boto3, which is not imported here; it names the value
        raise ConfigurationError(
            f"the local Bedrock cannot make the bucket or the role of this run ({error}): correct "
            "BEDROCK_BATCH_INPUT_S3_PATH, BEDROCK_BATCH_OUTPUT_S3_PATH, BEDROCK_ANSWERS_S3_PATH and "
            "BEDROCK_BATCH_ROLE_ARN, or unset them"
        ) from error
    return local.environment


if __name__ == "__main__":
    run_process()
