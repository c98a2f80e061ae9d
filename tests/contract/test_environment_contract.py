"""The step's contract as data: code, `contracts/*.json` and `docs/*.md` say the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import pytest

from bedrock_batch import errors
from bedrock_batch.answers.columns import AnswerColumns
from bedrock_batch.environment.container.paths import CONTAINER_PATHS
from bedrock_batch.environment.settings import BY_FIELD, VARIABLES, Variable, load_settings
from bedrock_batch.environment.variables.aliases import ALIASES
from bedrock_batch.records import AnswerSource, ParseStatus

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[2]
ENTRY = ROOT / "src" / "bedrock_batch_processing.py"


def contract(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "contracts" / f"{name}.json").read_text(encoding="utf-8"))


def document(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def contract_entry(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "type": variable.kind,
        "default": variable.default,
        "required": variable.required,
        "available": variable.available,
        "accepted": variable.accepted,
    }


def document_row(variable: Variable) -> str:
    default = "required" if variable.required else f"`{variable.default}`" if variable.default else "empty"
    later = "" if variable.available else " Not available in this version: leave it unset."
    cells = (f"`{variable.name}`", variable.kind, default, variable.accepted, variable.meaning + later)
    return f"| {' | '.join(cell.replace('*', chr(92) + '*').replace('|', chr(92) + '|') for cell in cells)} |"


# The environment


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_the_contract_describes_the_variable(variable: Variable) -> None:
    """A step builder that reads the contract would pass a value that the step refuses."""
    entries = [entry for entry in contract("environment")["variables"] if entry["name"] == variable.name]
    assert entries == [contract_entry(variable)]


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_the_document_describes_the_variable(variable: Variable) -> None:
    """A user would read a default or a meaning that is not the code's."""
    text = document("configuration")
    assert document_row(variable) in text.splitlines()
    section = text.split(document_row(variable))[0].rsplit("\n## ", 1)[1]
    assert section.splitlines()[0] == variable.group


def test_the_names_of_the_original_script_are_described() -> None:
    """A caller of the original script would not find what became of a variable, or find one that is not read."""
    own = {alias.name: BY_FIELD[alias.stands_for].name for alias in ALIASES}
    assert contract("environment")["aliases"] == [
        {"name": alias.name, "stands_for": own[alias.name], "type": alias.kind, "accepted": alias.accepted}
        for alias in ALIASES
    ]
    section = document("configuration").split(f"\n## {ALIASES[0].group}\n")[1].split("\n## ")[0]
    rows = [f"| `{a.name}` | `{own[a.name]}` | {a.accepted} | {a.meaning} |" for a in ALIASES]
    assert [row for row in section.splitlines() if row.startswith("| `")] == rows


def test_no_variable_is_described_that_does_not_exist() -> None:
    """A user would set a variable that has no effect."""
    known = {variable.name for variable in VARIABLES}
    assert [entry["name"] for entry in contract("environment")["variables"]] == [
        variable.name for variable in VARIABLES
    ]
    known |= {alias.name for alias in ALIASES}
    assert set(re.findall(r"^\| `([A-Z0-9_]+)` \|", document("configuration"), re.MULTILINE)) == known
    mentioned = set(re.findall(r"\b(?:BEDROCK_[A-Z0-9_]*[A-Z]|USE_SECURE_PYPI)\b", document("configuration")))
    assert mentioned <= known | {"BEDROCK_SECURE_PYPI"}


def test_the_defaults_of_the_contract_start_the_step() -> None:
    """A step builder that passes every default explicitly would be refused."""
    environ = {entry["name"]: entry["default"] for entry in contract("environment")["variables"]}
    given = load_settings(environ | {"BEDROCK_PRIMARY_MODEL_ID": "a.b"})
    assert given == load_settings({"BEDROCK_PRIMARY_MODEL_ID": "a.b"})


EXAMPLES = re.findall(r"```bash\n(.*?)```", document("configuration"), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_of_the_document_load(example: str) -> None:
    """A user who copies an example would be refused, or warned."""
    environ = dict(re.findall(r'^export ([A-Z0-9_]+)="(.*?)"', example, re.MULTILINE))
    assert len(environ) == len(example.splitlines())
    assert load_settings(environ)[1] == []


# The rest of the contract


def test_the_exit_codes_are_those_of_the_errors() -> None:
    """A pipeline that branches on the exit code would take the wrong branch."""
    raised = {error.exit_code for error in [errors.BedrockBatchError, *errors.BedrockBatchError.__subclasses__()]}
    assert [entry["code"] for entry in contract("exit_codes")["exit_codes"]] == [0, *sorted(raised)]


def test_the_paths_are_those_of_the_container() -> None:
    """A step builder would mount its inputs where the step does not look."""
    entries = [*contract("paths")["inputs"], *contract("paths")["outputs"]]
    described = {entry[key]: entry["path"] for key in ("name", "original_key") for entry in entries}
    assert described == CONTAINER_PATHS


def test_the_words_of_the_status_columns_are_those_of_the_code() -> None:
    """A filter on a status that is written otherwise would drop every row."""
    described = {
        entry["name"]: entry["values"]
        for entry in [*contract("columns")["columns"], *contract("columns")["metadata_columns"]]
    }
    assert described["{prefix}parse_status"] == list(get_args(ParseStatus))
    assert described["{prefix}source"] == list(get_args(AnswerSource))


def test_the_columns_are_those_of_the_outputs() -> None:
    """A downstream step would look for a column that does not exist or has another type."""
    columns = AnswerColumns(None, "llm_")
    answer = [contract("columns")["field_without_schema"], *contract("columns")["columns"]]
    described = [*answer, *contract("columns")["metadata_columns"]]
    names = [entry["name"].replace("{prefix}", "llm_") for entry in described]
    assert list(columns.public_names(metadata=True)) == names
    assert list(columns.public_names(metadata=False)) == names[: len(answer)]
    table = columns.public(columns.arrow_schema.empty_table(), metadata=True)
    assert [str(kind) for kind in table.schema.types] == [entry["type"] for entry in described]


def test_the_arguments_are_those_of_the_entry_point() -> None:
    """A step builder would pass a flag that the step refuses."""
    shown = subprocess.run(
        [sys.executable, str(ENTRY), "--help"], capture_output=True, text=True, check=True, env={"COLUMNS": "200"}
    ).stdout
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z_-]+", shown))
    arguments = contract("arguments")["arguments"]
    assert flags == {"--help"} | {argument["name"] for argument in arguments}
    assert all(choice in shown for argument in arguments for choice in argument["choices"] or [])


# Dependencies


def test_every_dependency_is_justified() -> None:
    """A reader would find a package installed that nobody answers for, or the other way round."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # Not the metadata of the installed package, which tells of the last installation.
    declared = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    names = {re.split(r"[\s\[<>=!~;]", line)[0].replace("_", "-").lower() for line in declared}
    rows = re.findall(r"^\| `([A-Za-z0-9_-]+)(?:\[[a-z0-9,-]+\])?` \|", document("dependencies"), re.MULTILINE)
    assert {row.replace("_", "-").lower() for row in rows} == names - {"bedrock-batch-processing"}
