"""The container contract: paths, exit message, deadline, instances and distribution."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.environment.container import paths as container
from bedrock_batch.environment.container.paths import (
    CONTAINER_PATHS,
    check_inside,
    container_paths,
    is_sharded,
    read_instance_names,
    read_max_runtime,
    write_exit_message,
)
from bedrock_batch.errors import InputError


def write_config(opt_ml: Path, name: str, content: Any) -> Path:
    path = opt_ml / "config" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_paths_are_those_of_the_specification_and_move_with_the_root(tmp_path: Path) -> None:
    """A pipeline whose channels are mounted as specified would find nothing if a path differed."""
    inputs, outputs = container_paths()
    assert {**inputs, **outputs}.items() <= CONTAINER_PATHS.items()
    assert inputs["input_data"] == "/opt/ml/processing/input/data"
    assert outputs["analysis_summary"] == "/opt/ml/processing/output/summary"
    moved_inputs, moved_outputs = container_paths(tmp_path)
    assert moved_inputs["prompt_templates"] == str(tmp_path / "input" / "templates")
    assert moved_outputs["processed_data"] == str(tmp_path / "output" / "data")


def test_the_folders_answer_to_the_keys_of_the_original_script() -> None:
    """A caller of the original script would end with a KeyError, or be led to another folder."""
    assert CONTAINER_PATHS["INPUT_DATA_DIR"] == CONTAINER_PATHS["input_data"]
    assert CONTAINER_PATHS["INPUT_TEMPLATES_DIR"] == CONTAINER_PATHS["prompt_templates"]
    assert CONTAINER_PATHS["INPUT_SCHEMA_DIR"] == CONTAINER_PATHS["validation_schema"]
    assert CONTAINER_PATHS["OUTPUT_DATA_DIR"] == CONTAINER_PATHS["processed_data"]
    assert CONTAINER_PATHS["OUTPUT_SUMMARY_DIR"] == CONTAINER_PATHS["analysis_summary"]


def test_a_path_inside_is_returned_even_when_the_root_is_a_link(tmp_path: Path) -> None:
    """A processing directory that is itself a link (a mounted volume) would be refused as a whole."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "data.csv").write_text("a\n")
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert check_inside(tmp_path / "root", tmp_path / "root" / "data.csv") == tmp_path / "root" / "data.csv"


def test_links_and_dots_out_of_the_root_are_refused(tmp_path: Path) -> None:
    """A link in an input channel could make the step send any file of the container to a model."""
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.csv").write_text("a\n")
    (root / "data.csv").symlink_to(tmp_path / "secret.csv")
    (root / "loop.csv").symlink_to(root / "loop.csv")
    (tmp_path / "root-2").mkdir()
    for path in (root / "data.csv", root / ".." / "secret.csv", tmp_path / "root-2"):
        with pytest.raises(InputError, match="leads out of"):
            check_inside(root, path)


def test_an_exit_message_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    """The text would overwrite a file elsewhere."""
    write_config(tmp_path, "resourceconfig.json", {"current_host": "algo-1", "hosts": ["algo-1"]})
    (tmp_path / "output").mkdir()
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "output" / "message").symlink_to(victim)
    write_exit_message(tmp_path, "the run failed")
    assert victim.read_text() == "mine"


def test_the_exit_message_is_cut_to_one_kilobyte_of_valid_utf8(tmp_path: Path) -> None:
    """SageMaker fails a job whose exit message is not UTF-8, and cuts messages at 1 KB, even within a character."""
    (tmp_path / "output").mkdir()
    write_config(tmp_path, "resourceconfig.json", {"current_host": "algo-1", "hosts": ["algo-1"]})
    write_exit_message(tmp_path, "x" + "é" * 1000)
    data = (tmp_path / "output" / "message").read_bytes()
    assert data.decode("utf-8") == "x" + "é" * 511


def test_an_exit_message_without_a_folder_or_into_a_broken_one_is_dropped(tmp_path: Path) -> None:
    """A run outside SageMaker would end with a second error that hides the first."""
    write_exit_message(tmp_path, "reason")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "output" / "message").mkdir(parents=True)
    write_exit_message(tmp_path, "reason")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param({"StoppingCondition": {"MaxRuntimeInSeconds": 86400}}, 86400.0, id="number"),
        pytest.param({"StoppingCondition": {"MaxRuntimeInSeconds": "3600"}}, 3600.0, id="text"),
        pytest.param({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, None, id="zero"),
        pytest.param({"StoppingCondition": None}, None, id="null"),
        pytest.param({"StoppingCondition": {"MaxRuntimeInSeconds": "soon"}}, None, id="word"),
        pytest.param({}, None, id="absent"),
    ],
)
def test_the_runtime_that_sagemaker_grants_is_read(tmp_path: Path, config: Any, expected: float | None) -> None:
    """Without it a step waits for a batch job until SageMaker kills it, and loses the time to fall back."""
    assert read_max_runtime(tmp_path) is None
    write_config(tmp_path, "processingjobconfig.json", config)
    assert read_max_runtime(tmp_path) == expected


def test_a_config_file_that_is_no_json_object_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a damaged file were ignored, each instance would take itself for the only one and pay for every row."""
    monkeypatch.setattr(container, "OPT_ML", str(tmp_path))
    for content in ("{", "[]"):
        path = write_config(tmp_path, "resourceconfig.json", content)
        with pytest.raises(InputError, match="JSON") as caught:
            read_instance_names(tmp_path)
        assert str(path) in str(caught.value)


def test_hosts_come_sorted_and_default_to_one(tmp_path: Path) -> None:
    """Instances that disagree about their order would answer some rows twice and others never."""
    assert read_instance_names(tmp_path) == ("algo-1", ("algo-1",))
    write_config(tmp_path, "resourceconfig.json", {"current_host": "algo-2", "hosts": ["algo-2", "algo-1"]})
    assert read_instance_names(tmp_path) == ("algo-2", ("algo-1", "algo-2"))


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"current_host": "algo-3", "hosts": ["algo-1"]}, id="unknown"),
        pytest.param({"hosts": ["algo-1"]}, id="nameless"),
        pytest.param({"current_host": "algo-1", "hosts": "x"}, id="no-list"),
        pytest.param({"current_host": "algo-1", "hosts": ["algo-1", 2]}, id="no-text"),
    ],
)
def test_a_host_that_is_not_among_the_hosts_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Any
) -> None:
    """An instance that does not know its number would process the rows of another one."""
    monkeypatch.setattr(container, "OPT_ML", str(tmp_path))
    write_config(tmp_path, "resourceconfig.json", config)
    with pytest.raises(InputError, match="current_host"):
        read_instance_names(tmp_path)


def processing_input(path: str, distribution: str | None) -> dict[str, Any]:
    source = {"LocalPath": path, "S3Uri": "s3://bucket/x"}
    if distribution:
        source["S3DataDistributionType"] = distribution
    return {"InputName": "x", "S3Input": source}


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        pytest.param([processing_input("/opt/ml/processing/input/data", "ShardedByS3Key")], True, id="sharded"),
        pytest.param([processing_input("/opt/ml/processing/input/data/", "FullyReplicated")], False, id="replicated"),
        pytest.param([processing_input("/opt/ml/processing/input/data", None)], False, id="default"),
        pytest.param([processing_input("/opt/ml/processing/input/database", "ShardedByS3Key")], False, id="other"),
        pytest.param(
            [
                processing_input("/opt/ml/processing/input", "FullyReplicated"),
                processing_input("/opt/ml/processing/input/data", "ShardedByS3Key"),
            ],
            True,
            id="innermost",
        ),
        pytest.param([{"InputName": "ds", "DatasetDefinition": {}}, None], False, id="no-s3"),
        pytest.param(None, False, id="absent"),
    ],
)
def test_sharded_inputs_are_told_from_replicated_ones(tmp_path: Path, inputs: Any, expected: bool) -> None:
    """A replicated input taken for a sharded one is paid for on every instance; the reverse loses rows."""
    assert is_sharded(tmp_path) is False
    write_config(tmp_path, "processingjobconfig.json", {"ProcessingInputs": inputs})
    assert is_sharded(tmp_path) is expected
