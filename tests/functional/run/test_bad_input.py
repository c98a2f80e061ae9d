"""Wrong input: one line for each problem, exit code 2, and no call to AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.batch_runs import ENVIRON, write_inputs
from helpers.step_command import run_process, step_command, step_environ
from local_bedrock import LocalBedrock

Spoil = Callable[[Path, dict[str, str]], object]


@pytest.fixture(scope="module")
def local() -> Iterator[LocalBedrock]:
    with LocalBedrock() as server:
        yield server


def _remove_data(root: Path, _: dict[str, str]) -> None:
    for path in sorted((root / "input/data").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()


def _rewrite(name: str, content: str) -> Spoil:
    return lambda root, _: (root / "input" / name).write_text(content, encoding="utf-8")


def _block(name: str) -> Spoil:
    """Put a file where the step makes a folder."""

    def spoil(root: Path, _: dict[str, str]) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()

    return spoil


def _set(name: str, value: str) -> Spoil:
    return lambda _, environ: environ.update({name: value})


SCHEMA = "schema/validation_schema_20261124_120000.json"
COLLIDING = json.dumps({"properties": {"id": {"type": "string"}}, "required": []})
SECURE_INDEX = {"USE_SECURE_PYPI": "true", "SECURE_PYPI_DOMAIN": "my-domain", "SECURE_PYPI_REPOSITORY": "shared"}
BAD_TRIES = [
    pytest.param(_set("BEDROCK_PRIMARY_MODEL_ID", ""), ["BEDROCK_PRIMARY_MODEL_ID"], id="no model id"),
    pytest.param(_set("BEDROCK_BATCH_THRESHOLD", "abc"), ["BEDROCK_BATCH_THRESHOLD", "abc"], id="threshold abc"),
    pytest.param(_set("BEDROCK_TEMPERATURE", "7"), ["BEDROCK_TEMPERATURE", "7"], id="temperature 7"),
    pytest.param(
        lambda _, environ: environ.update({"BEDROCK_USE_TOOL_CALLING": "true", "BEDROCK_STRUCTURED_OUTPUT": "prefill"}),
        ["BEDROCK_USE_TOOL_CALLING='true'", "BEDROCK_STRUCTURED_OUTPUT='prefill'", "keep one"],
        id="alias against its setting",
    ),
    pytest.param(
        lambda _, environ: environ.update({"SECURE_PYPI_ROLE_ACCOUNT": "123456789012", **SECURE_INDEX}),
        ["SECURE_PYPI_ROLE_ACCOUNT='123456789012'", "BEDROCK_SECURE_PYPI_ROLE_ARN"],
        id="account without a role",
    ),
    pytest.param(
        lambda _, environ: environ.update(
            {"BEDROCK_USE_CONVERSE_API": "false", "BEDROCK_PRIMARY_MODEL_ID": "amazon.nova-lite-v1:0"}
        ),
        ["BEDROCK_USE_CONVERSE_API=false", "nova", "BEDROCK_API"],
        id="API that the model has not",
    ),
    pytest.param(
        _set("BEDROCK_OUTPUT_COLUMN_MAP", '{"categry": "label"}'),
        ["BEDROCK_OUTPUT_COLUMN_MAP", "'categry'", "category, confidence, reason"],
        id="map of no field",
    ),
    pytest.param(
        _set("BEDROCK_OUTPUT_COLUMN_MAP", '{"category": "text"}'),
        ["a.csv", "column text", "BEDROCK_OUTPUT_COLUMN_MAP"],
        id="map to a column of the input",
    ),
    pytest.param(
        _set("BEDROCK_OUTPUT_COLUMN_MAP", '{"category": "llm_attempts"}'),
        ["llm_attempts would exist twice", "BEDROCK_OUTPUT_COLUMN_MAP"],
        id="map to a column of ours",
    ),
    pytest.param(
        lambda root, environ: (
            (root / "input" / SCHEMA).unlink(),
            environ.update({"BEDROCK_OUTPUT_COLUMN_MAP": '{"category": "label"}'}),
        ),
        ["BEDROCK_OUTPUT_COLUMN_MAP", "'category'", "use response"],
        id="map without a schema",
    ),
    pytest.param(_remove_data, ["input/data", "empty"], id="empty data folder"),
    pytest.param(
        _rewrite("templates/prompts.json", "{}"), ["prompts.json", "user_prompt_template"], id="template without prompt"
    ),
    pytest.param(_rewrite("templates/prompts.json", "{"), ["prompts.json", "JSON"], id="template that is not JSON"),
    pytest.param(_rewrite(SCHEMA, "no json"), ["validation_schema_", "JSON"], id="schema that is not JSON"),
    pytest.param(
        _rewrite(SCHEMA, '{"properties": {"a": {"type": "no type"}}, "required": []}'),
        ["a", "type"],
        id="invalid schema",
    ),
    pytest.param(
        lambda root, environ: (
            _rewrite(SCHEMA, COLLIDING)(root, environ),
            _rewrite("data/train/a.csv", "llm_id,text\n1,2\n")(root, environ),
        ),
        ["llm_id", "a.csv", "BEDROCK_OUTPUT_COLUMN_PREFIX"],
        id="field equal to a column",
    ),
    pytest.param(_rewrite("data/train/b.parquet", "PAR1 no"), ["b.parquet", "Parquet"], id="unreadable Parquet"),
    pytest.param(_rewrite("data/train/b.csv", "id,text\n1,2,3\n"), ["b.csv", "row"], id="ragged CSV"),
    pytest.param(_block("output/data/train"), ["output/data/train", "File exists"], id="file for an output folder"),
    pytest.param(
        lambda root, _: (root / "output/data/train/train_processed_data.csv").mkdir(parents=True),
        ["train_processed_data.csv", "is a folder"],
        id="folder for an output file",
    ),
    pytest.param(_block(".bedrock-batch"), [".bedrock-batch", "File exists"], id="file for the state folder"),
]


@pytest.mark.parametrize(("spoil", "words"), BAD_TRIES)
def test_wrong_input_gives_one_clear_line_and_exit_code_2(
    tmp_path: Path, local: LocalBedrock, spoil: Spoil, words: list[str]
) -> None:
    """A user would see a traceback, or pay before seeing the problem."""
    root = tmp_path / "ml" / "processing"
    write_inputs(root / "input", {"train/a.csv": 3})
    (tmp_path / "ml" / "output").mkdir()
    (tmp_path / "ml" / "config").mkdir()
    (tmp_path / "ml" / "config" / "resourceconfig.json").write_text('{"current_host": "a", "hosts": ["a"]}')
    environ = {**ENVIRON, **local.environment}
    spoil(root, environ)
    calls = len(local.calls)
    ended = run_process(step_command(root, "--job_type", "training"), step_environ(environ))
    errors = [line for line in ended.stderr.splitlines() if " ERROR " in line]
    assert ended.returncode == 2, ended.stderr
    assert len(errors) == 1, ended.stderr
    assert [word for word in words if word not in errors[0]] == []
    assert "Traceback" not in ended.stderr
    assert len(local.calls) == calls
    message = (tmp_path / "ml" / "output" / "message").read_text(encoding="utf-8")
    assert message.strip() in errors[0]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        pytest.param(
            {"BEDROCK_TOP_P": "2", "BEDROCK_BATCH_SIZE": "0"},
            ["BEDROCK_TOP_P", "BEDROCK_BATCH_SIZE"],
            id="settings too",
        ),
        pytest.param({}, ["b.csv"], id="data too"),
    ],
)
def test_all_problems_are_reported_together(
    tmp_path: Path, local: LocalBedrock, settings: dict[str, str], named: list[str]
) -> None:
    """A user would find one problem per start, and each start takes a queue and a new container.

    With wrong settings the data are not read: that may take minutes, and the settings are told within a second.
    """
    root = tmp_path / "processing"
    write_inputs(root / "input", {"train/a.csv": 3})
    environ = {**ENVIRON, **local.environment, **settings}
    _rewrite("templates/prompts.json", "{}")(root, environ)
    _rewrite(SCHEMA, "[")(root, environ)
    _rewrite("data/train/b.csv", "id,text\n1\n")(root, environ)
    ended = run_process(step_command(root, "--job_type", "training"), step_environ(environ))
    errors = "\n".join(line for line in ended.stderr.splitlines() if " ERROR " in line)
    assert ended.returncode == 2
    for word in ("user_prompt_template", "validation_schema_", *named):
        assert word in errors


@pytest.mark.parametrize(
    "arguments", [("--job_type", "nothing"), (), ("--job_type", "training", "--batch-size", "many")], ids=str
)
def test_a_wrong_argument_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A typo on the command line would start something else than intended."""
    ended = run_process(step_command(tmp_path, *arguments), step_environ(ENVIRON))
    assert ended.returncode == 2
    assert "usage:" in ended.stderr
