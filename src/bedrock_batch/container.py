"""The contract of a SageMaker processing container, under roots that can move.

The files under /opt/ml/config are described in
https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html, the exit message in
https://docs.aws.amazon.com/sagemaker/latest/dg/byoc-metadata.html.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from bedrock_batch.errors import InputError
from bedrock_batch.text import cut_utf8

PROCESSING_ROOT = "/opt/ml/processing"
OPT_ML = "/opt/ml"
EXIT_MESSAGE_BYTES = 1024

CONTAINER_PATHS: dict[str, str] = {
    "input_data": f"{PROCESSING_ROOT}/input/data",
    "prompt_templates": f"{PROCESSING_ROOT}/input/templates",
    "validation_schema": f"{PROCESSING_ROOT}/input/schema",
    "processed_data": f"{PROCESSING_ROOT}/output/data",
    "analysis_summary": f"{PROCESSING_ROOT}/output/summary",
}
INPUT_NAMES = ("input_data", "prompt_templates", "validation_schema")
OUTPUT_NAMES = ("processed_data", "analysis_summary")


def container_paths(root: str | Path = PROCESSING_ROOT) -> tuple[dict[str, str], dict[str, str]]:
    """Return the input paths and the output paths of the step under the root of the processing directory."""
    paths = {
        name: str(Path(root) / PurePosixPath(path).relative_to(PROCESSING_ROOT))
        for name, path in CONTAINER_PATHS.items()
    }
    return {name: paths[name] for name in INPUT_NAMES}, {name: paths[name] for name in OUTPUT_NAMES}


def check_inside(root: str | Path, path: str | Path) -> Path:
    """Return the path; raises InputError when it leads out of the root, directly or through a symbolic link."""
    try:
        inside = Path(path).resolve().is_relative_to(Path(root).resolve())
    except (OSError, RuntimeError):  # Python tells a loop of links by RuntimeError up to 3.12
        inside = False
    if not inside:
        raise InputError(f"{path}: leads out of {root}; copy what it points to into the folder")
    return Path(path)


def check_folder(root: str | Path, folder: str | Path) -> None:
    """Raise InputError where a folder, or what lies directly in it, leads out of the root; it may be absent."""
    if Path(folder).is_dir():
        for path in (Path(folder), *sorted(Path(folder).iterdir())):
            check_inside(root, path)


def make_output_folder(path: str | Path) -> None:
    """Make a folder for outputs and see that files can be written to it; raises InputError where they cannot."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(f"{path}: nothing can be written to this folder ({error.strerror})") from None


def write_exit_message(opt_ml: str | Path, text: str) -> None:
    """Leave a text that SageMaker shows as the job's ExitMessage, where its folder exists; never raises."""
    folder = Path(opt_ml) / "output"
    with contextlib.suppress(OSError):
        if folder.is_dir():
            (folder / "message").write_bytes(cut_utf8(text, EXIT_MESSAGE_BYTES))


def read_max_runtime(opt_ml: str | Path) -> float | None:
    """Return after how many seconds from its start SageMaker stops the job, or None where nothing says so."""
    condition = _read_config(opt_ml, "processingjobconfig.json").get("StoppingCondition")
    seconds = condition.get("MaxRuntimeInSeconds") if isinstance(condition, Mapping) else None
    try:
        return float(seconds) if seconds is not None and float(seconds) > 0 else None
    except (TypeError, ValueError):
        return None


def read_hosts(opt_ml: str | Path) -> tuple[str, tuple[str, ...]]:
    """Return the name of this host and of all hosts of the job, sorted; one host, `algo-1`, where nothing says so.

    Raises InputError where the file does not name this host among the hosts: rows would be paid for twice.
    """
    config = _read_config(opt_ml, "resourceconfig.json")
    if "current_host" not in config and "hosts" not in config:
        return "algo-1", ("algo-1",)
    current, hosts = config.get("current_host"), config.get("hosts")
    if not isinstance(hosts, list) or not isinstance(current, str) or current not in hosts:
        raise InputError(f"{_config_path(opt_ml, 'resourceconfig.json')}: current_host is not one of hosts")
    return current, tuple(sorted(set(hosts)))


def is_sharded(opt_ml: str | Path, local_path: str = CONTAINER_PATHS["input_data"]) -> bool:
    """Tell whether SageMaker gave each host its own part of an input (`ShardedByS3Key`) and not the whole of it.

    `local_path` is the path of the input inside the container; the innermost input that holds it decides.
    """
    wanted = PurePosixPath(local_path)
    inputs = _read_config(opt_ml, "processingjobconfig.json").get("ProcessingInputs")
    places = [_place_of(entry) for entry in inputs] if isinstance(inputs, list) else []
    holding = [place for place in places if place is not None and wanted.is_relative_to(place[0])]
    return bool(holding) and max(holding, key=lambda place: len(place[0].parts))[1] == "ShardedByS3Key"


def _place_of(entry: Any) -> tuple[PurePosixPath, str] | None:
    """Return where an entry of ProcessingInputs lies and how it is distributed."""
    for kind, key in (("S3Input", "S3DataDistributionType"), ("DatasetDefinition", "DataDistributionType")):
        source = entry.get(kind) if isinstance(entry, Mapping) else None
        if isinstance(source, Mapping) and isinstance(source.get("LocalPath"), str):
            return PurePosixPath(source["LocalPath"]), str(source.get(key) or "FullyReplicated")
    return None


def _read_config(opt_ml: str | Path, name: str) -> dict[str, Any]:
    """Return a file of /opt/ml/config, empty where there is none."""
    path = _config_path(opt_ml, name)
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: is not a JSON object")
    return content


def _config_path(opt_ml: str | Path, name: str) -> Path:
    return Path(opt_ml) / "config" / name
