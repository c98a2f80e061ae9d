"""Bad tries: one clear line for each problem, exit code 2, and nothing paid for or even asked of AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from batch_runs import ENVIRON, write_inputs
from step_processes import run_process, step_command, step_environ

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


def _set(name: str, value: str) -> Spoil:
    return lambda _, environ: environ.update({name: value})


SCHEMA = "schema/validation_schema_20261124_120000.json"
COLLIDING = json.dumps({"properties": {"id": {"type": "string"}}, "required": []})
BAD_TRIES = [
    pytest.param(_set("BEDROCK_PRIMARY_MODEL_ID", ""), ["BEDROCK_PRIMARY_MODEL_ID"], id="no model id"),
    pytest.param(_set("BEDROCK_BATCH_THRESHOLD", "abc"), ["BEDROCK_BATCH_THRESHOLD", "abc"], id="threshold abc"),
    pytest.param(_set("BEDROCK_TEMPERATURE", "7"), ["BEDROCK_TEMPERATURE", "7"], id="temperature 7"),
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
]


@pytest.mark.parametrize(("spoil", "words"), BAD_TRIES)
def test_a_bad_try_gives_one_clear_line_and_exit_code_2(
    tmp_path: Path, local: LocalBedrock, spoil: Spoil, words: list[str]
) -> None:
    """A user would be shown a traceback, or pay before being told."""
    root = tmp_path / "ml" / "processing"
    write_inputs(root / "input", {"train/a.csv": 3})
    (tmp_path / "ml" / "output").mkdir()
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
def test_all_problems_are_told_at_once(
    tmp_path: Path, local: LocalBedrock, settings: dict[str, str], named: list[str]
) -> None:
    """A user would correct one problem a try, each try a queue and a start of a container.

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
    """A typing error on the command line would run something else than was meant."""
    ended = run_process(step_command(tmp_path, *arguments), step_environ(ENVIRON))
    assert ended.returncode == 2
    assert "usage:" in ended.stderr
