"""The paths, configuration files and exit message of a SageMaker processing container, under roots that can move.

The files under /opt/ml/config are described in
https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html, the exit message in
https://docs.aws.amazon.com/sagemaker/latest/dg/byoc-metadata.html.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from bedrock_batch.errors import InputError
from bedrock_batch.text import cut_utf8, escape_controls

PROCESSING_ROOT = "/opt/ml/processing"
OPT_ML = "/opt/ml"
EXIT_MESSAGE_BYTES = 1024
_RESOURCES = {"current_host", "hosts"}

_INPUTS = {
    "input_data": f"{PROCESSING_ROOT}/input/data",
    "prompt_templates": f"{PROCESSING_ROOT}/input/templates",
    "validation_schema": f"{PROCESSING_ROOT}/input/schema",
}
_OUTPUTS = {
    "processed_data": f"{PROCESSING_ROOT}/output/data",
    "analysis_summary": f"{PROCESSING_ROOT}/output/summary",
}
# The keys under which callers of the original script look the same folders up.
_ORIGINAL_KEYS = {
    "INPUT_DATA_DIR": _INPUTS["input_data"],
    "INPUT_TEMPLATES_DIR": _INPUTS["prompt_templates"],
    "INPUT_SCHEMA_DIR": _INPUTS["validation_schema"],
    "OUTPUT_DATA_DIR": _OUTPUTS["processed_data"],
    "OUTPUT_SUMMARY_DIR": _OUTPUTS["analysis_summary"],
}
CONTAINER_PATHS: dict[str, str] = {**_INPUTS, **_OUTPUTS, **_ORIGINAL_KEYS}


def container_paths(root: str | Path = PROCESSING_ROOT) -> tuple[dict[str, str], dict[str, str]]:
    """Return the input paths and the output paths of the step under the root of the processing directory."""
    return _move(_INPUTS, root), _move(_OUTPUTS, root)


def _move(paths: Mapping[str, str], root: str | Path) -> dict[str, str]:
    return {name: str(Path(root) / PurePosixPath(path).relative_to(PROCESSING_ROOT)) for name, path in paths.items()}


def check_inside(root: str | Path, path: str | Path) -> Path:
    """Return the path; raise InputError if it leads out of the root, directly or through a symbolic link."""
    try:
        inside = Path(path).resolve().is_relative_to(Path(root).resolve())
    except (OSError, RuntimeError):  # a loop of links is a RuntimeError up to Python 3.12
        inside = False
    if not inside:
        raise InputError(f"{path}: leads out of {root}; copy what it points to into the folder")
    return Path(path)


def check_folder(root: str | Path, folder: str | Path) -> None:
    """Raise InputError if a folder or one of its entries leads out of the root; the folder may be absent."""
    if Path(folder).is_dir():
        for path in (Path(folder), *sorted(Path(folder).iterdir())):
            check_inside(root, path)


def make_output_folder(path: str | Path) -> None:
    """Make a folder for outputs; raise InputError if no file can be written to it."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(f"{path}: nothing can be written to this folder ({error.strerror})") from None


def check_outputs(root: str | Path, folders: Iterable[str | Path]) -> None:
    """Raise InputError if an output folder leads out of the root through a symbolic link."""
    for folder in folders:
        try:
            check_inside(root, folder)
        except InputError:
            raise InputError(
                f"{folder}: leads out of {root} through a symbolic link, and nothing is written there; make it a folder"
            ) from None


def check_apart(inputs: Iterable[str | Path], outputs: Iterable[str | Path]) -> None:
    """Raise InputError if a folder is both an input and an output, by whatever name or link."""
    read = {os.path.realpath(folder): folder for folder in inputs}
    for folder in outputs:
        if (source := read.get(os.path.realpath(folder))) is not None:
            raise InputError(
                f"{folder}: is the input folder {source} as well; an output could replace an input, and the next run "
                "would read outputs as inputs. Give outputs a folder of their own"
            )


def is_container(opt_ml: str | Path) -> bool:
    """Return whether a folder is the /opt/ml of a SageMaker container, by its path or by its resource config."""
    if _is_opt_ml(opt_ml):
        return True
    return _read_config(opt_ml, "resourceconfig.json").keys() >= _RESOURCES


def _is_opt_ml(folder: str | Path) -> bool:
    return Path(folder).absolute() == Path(OPT_ML)


def write_exit_message(opt_ml: str | Path, text: str) -> None:
    """Write the text that SageMaker shows as the ExitMessage of the job; never raise.

    Nothing is written outside a container, where a folder `output` beside the processing directory may belong to
    somebody else.
    """
    folder = Path(opt_ml) / "output"
    with contextlib.suppress(OSError):
        if folder.is_dir() and is_container(opt_ml):
            with open(folder / "message", "wb", opener=_open_no_link) as file:
                file.write(cut_utf8(escape_controls(text, keep="\n"), EXIT_MESSAGE_BYTES))


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def read_max_runtime(opt_ml: str | Path) -> float | None:
    """Return the seconds after which SageMaker stops the job, None if its configuration sets no limit."""
    condition = _read_config(opt_ml, "processingjobconfig.json").get("StoppingCondition")
    seconds = condition.get("MaxRuntimeInSeconds") if isinstance(condition, Mapping) else None
    try:
        return float(seconds) if seconds is not None and float(seconds) > 0 else None
    except (TypeError, ValueError):
        return None


def read_instance_names(opt_ml: str | Path) -> tuple[str, tuple[str, ...]]:
    """Return the name of this instance and the sorted names of all; without a resource config, `algo-1` alone.

    Raise InputError if the resource config does not list this instance: rows would be paid for twice.
    """
    config = _read_config(opt_ml, "resourceconfig.json")
    if not config.keys() & _RESOURCES or not (_is_opt_ml(opt_ml) or config.keys() >= _RESOURCES):
        return "algo-1", ("algo-1",)
    current, hosts = config.get("current_host"), _texts_of(config.get("hosts"))
    if not isinstance(current, str) or current not in hosts:
        raise InputError(f"{_config_path(opt_ml, 'resourceconfig.json')}: current_host is not one of hosts")
    return current, tuple(sorted(set(hosts)))


def _texts_of(value: Any) -> list[str]:
    """Return a list of texts, empty for any other value."""
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else []


def is_sharded(opt_ml: str | Path, local_path: str = _INPUTS["input_data"]) -> bool:
    """Return whether SageMaker gave each instance a part of an input (`ShardedByS3Key`), and not all of it.

    `local_path` is a path inside the container; the innermost input that contains it decides.
    """
    wanted = PurePosixPath(local_path)
    inputs = _read_config(opt_ml, "processingjobconfig.json").get("ProcessingInputs")
    places = [_place_of(entry) for entry in inputs] if isinstance(inputs, list) else []
    holding = [place for place in places if place is not None and wanted.is_relative_to(place[0])]
    return bool(holding) and max(holding, key=lambda place: len(place[0].parts))[1] == "ShardedByS3Key"


def _place_of(entry: Any) -> tuple[PurePosixPath, str] | None:
    """Return the local path and the distribution type of an entry of ProcessingInputs."""
    for kind, key in (("S3Input", "S3DataDistributionType"), ("DatasetDefinition", "DataDistributionType")):
        source = entry.get(kind) if isinstance(entry, Mapping) else None
        if isinstance(source, Mapping) and isinstance(source.get("LocalPath"), str):
            return PurePosixPath(source["LocalPath"]), str(source.get(key) or "FullyReplicated")
    return None


def _read_config(opt_ml: str | Path, name: str) -> dict[str, Any]:
    """Return the content of a file of /opt/ml/config, an empty mapping if the file does not exist.

    Outside a container a file of that name may be unrelated: it is ignored unless it is a JSON object.
    """
    path = _config_path(opt_ml, name)
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        if _is_opt_ml(opt_ml):
            raise InputError(f"{path}: cannot be read as JSON ({type(error).__name__})") from None
        return {}
    if isinstance(content, dict):
        return content
    if _is_opt_ml(opt_ml):
        raise InputError(f"{path}: is not a JSON object")
    return {}


def _config_path(opt_ml: str | Path, name: str) -> Path:
    return Path(opt_ml) / "config" / name


def read_json_file(path: Path) -> Any:
    """Return the JSON value of a file; raise InputError that names the file if it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file in UTF-8 ({error})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
