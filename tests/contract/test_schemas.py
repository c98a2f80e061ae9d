"""`contracts/*.schema.json`: what the step reads and writes is what its contract says."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

from bedrock_batch.answer_store.markers import Marker
from bedrock_batch.answers.schema.response_schema import check_validation_schema
from bedrock_batch.errors import InputError
from bedrock_batch.ledger.document import LedgerDocument
from bedrock_batch.ledger.job_questions import JobQuestions, questions_name
from bedrock_batch.prompts.files import check_prompt_templates
from bedrock_batch.prompts.rules import rule_block
from helpers.batch_runs import BUCKET, StepRun, World, sent_lines, small
from local_bedrock.behaviour import AnswerFaults, Phases, RecordFaults

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "contracts").glob("*.schema.json"))


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((ROOT / "contracts" / f"{name}.schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema)


def complaints(name: str, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in validator(name).iter_errors(value)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StepRun]:
    """A run in which some of everything happened: errors of records, missing lines, answers that are no JSON."""
    behaviour = small(
        records=RecordFaults(error=0.1, missing=0.1, repeated=0.05, error_retryable=False),
        answers=AnswerFaults(truncated=0.1, fenced=0.1, invalid=0.1, not_json=0.1),
    )
    world = World(tmp_path_factory.mktemp("contract"), behaviour)
    yield world.answer()
    world.close()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split(".")[0])
def test_every_schema_is_one(path: Path) -> None:
    """A consumer's validator would refuse the schema itself."""
    Draft202012Validator.check_schema(json.loads(path.read_text(encoding="utf-8")))


def test_the_summary_is_as_described(run: StepRun) -> None:
    """A dashboard or a condition step that reads the summary would find a key missing or of another type."""
    assert complaints("summary", run.summary) == []
    assert run.summary["error_kinds"]
    assert run.summary["batch_job_info"]["salvaged"]


def test_nothing_in_the_summary_is_left_undescribed(run: StepRun) -> None:
    """A reader of the contract would not learn of a figure, and it could change without a word."""
    assert set(run.summary) == set(validator("summary").schema["properties"])


def test_the_summary_of_a_run_in_real_time_is_as_described(run: StepRun) -> None:
    """A consumer would read summaries of batch runs only."""
    summary = run.world.answer(BEDROCK_BATCH_MODE="realtime", BEDROCK_BATCH_RESUME="false").summary
    assert summary["sources"].keys() == {"realtime"}
    assert complaints("summary", summary) == []


def test_the_summary_of_a_submitted_run_is_as_described(tmp_path: Path) -> None:
    """A pipeline that branches on the state would find the key missing, or of another type."""
    world = World(tmp_path, small(phases=Phases(0.1, 0.1, 0.1, 60.0)), {"train/other.csv": 25})
    summary = world.answer(BEDROCK_BATCH_WAIT="false").summary
    world.close()
    assert summary["state"] == "submitted"
    assert complaints("summary", summary) == []


def test_the_ledger_is_as_described(run: StepRun) -> None:
    """A person who has to look into an interrupted run would read it by a wrong description."""
    key = run.summary["ledger"].removeprefix(f"s3://{BUCKET}/")
    stored = run.world.local.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert complaints("ledger", json.loads(stored)) == []


def test_the_schema_of_the_ledger_is_that_of_its_model() -> None:
    """The description would lag behind the code."""
    schema = dict(validator("ledger").schema)
    del schema["$schema"]
    assert schema == LedgerDocument.model_json_schema()


def test_the_lines_of_batch_files_are_as_described(run: StepRun) -> None:
    """A tool that prepares or reads batch files by the contract would not fit this step's."""
    for job in run.world.local.jobs:
        assert [text for line in sent_lines(run.world, job) for text in complaints("batch_input_line", line)] == []
    client = run.world.local.client("s3")
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix="output/")["Contents"]
    keys = [each["Key"] for each in listed if each["Key"].endswith(".jsonl.out")]
    lines = [
        json.loads(line)
        for key in keys
        for line in client.get_object(Bucket=BUCKET, Key=key)["Body"].read().split(b"\n")
        if line
    ]
    assert any("error" in line for line in lines)
    assert [text for line in lines for text in complaints("batch_output_line", line)] == []


TEMPLATES: dict[str, tuple[Any, bool]] = {
    "full": ({"system_prompt": "s", "user_prompt_template": "{a}", "input_placeholders": ["a"]}, True),
    "least": ({"user_prompt_template": "x"}, True),
    "nulls": ({"system_prompt": None, "user_prompt_template": "x", "input_placeholders": None}, True),
    "more": ({"user_prompt_template": "x", "version": 3}, True),
    "blank": ({"user_prompt_template": " \n"}, False),
    "absent": ({"system_prompt": "s"}, False),
    "number": ({"user_prompt_template": 3}, False),
    "names": ({"user_prompt_template": "x", "input_placeholders": [1]}, False),
    "list": ([], False),
}


@pytest.mark.parametrize(("content", "good"), TEMPLATES.values(), ids=TEMPLATES)
def test_the_schema_of_templates_accepts_what_the_step_accepts(content: Any, good: bool) -> None:
    """A template step that checks its output by the contract would still be refused, or refuse what works."""
    assert (complaints("prompt_templates", content) == []) == good
    assert _accepts(lambda: check_prompt_templates(content, "prompts.json")) == good


_RULES = [{"rule_name": "a", "conditions": ["b"], "priority": 1}]
RULESETS: dict[str, tuple[Any, bool]] = {
    "full": (
        {
            "ruleset": {
                "system_prompt": "s",
                "user_prompt_template": "{routed_rules} {a}",
                "input_placeholders": ["a"],
                "output_schema": {"properties": {"k": {"type": "string"}}},
                "analysis_instructions": ["i"],
                "classification_guidelines": {"g": 1},
            },
            "rules": [{"name": "a", "exceptions": "b", "key_indicators": [3]}, {"rule_name": "c", "examples": [{}]}],
        },
        True,
    ),
    "least": ({"ruleset": {}, "rules": [{"name": "a"}]}, True),
    "nulls": ({"ruleset": {"output_schema": None}, "rules": [{"name": "a", "rule_name": None}]}, True),
    "more": ({"ruleset": {"version": 1}, "rules": _RULES, "metadata": {}}, True),
    "rules-alone": ({"rules": _RULES}, False),
    "ruleset-alone": ({"ruleset": {}}, False),
    "no-rule": ({"ruleset": {}, "rules": []}, False),
    "no-name": ({"ruleset": {}, "rules": [{"description": "d"}]}, False),
    "blank-name": ({"ruleset": {}, "rules": [{"rule_name": " "}]}, False),
    "conditions": ({"ruleset": {}, "rules": [{"name": "a", "conditions": {"b": 1}}]}, False),
    "priority": ({"ruleset": {}, "rules": [{"name": "a", "priority": True}]}, False),
    "schema": ({"ruleset": {"output_schema": "{}"}, "rules": _RULES}, False),
    "template": ({"ruleset": {"user_prompt_template": 3}, "rules": _RULES}, False),
}


def test_the_answer_store_is_as_described(run: StepRun) -> None:
    """A program that reads the kept answers, or a later version of the step, would not understand the files."""
    contract = json.loads((ROOT / "contracts" / "answers.json").read_text(encoding="utf-8"))
    client = run.world.local.client("s3")
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET)["Contents"]]
    keys = [key for key in keys if re.search(f"/answers/.*/{contract['name']}$", key)]
    assert keys
    for key in keys:
        data = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        schema = pq.read_schema(io.BytesIO(data))
        columns = [{"name": each.name, "type": str(each.type), "nullable": each.nullable} for each in schema]
        assert columns == [{k: v for k, v in each.items() if k != "meaning"} for each in contract["columns"]]
        (name, version), *_ = contract["metadata"].items()
        assert schema.metadata[name.encode()] == version["value"].encode()


def test_the_small_files_of_open_runs_are_as_described() -> None:
    """A later version of the step would not find what a killed run has paid for."""
    contract = json.loads((ROOT / "contracts" / "answers.json").read_text(encoding="utf-8"))
    marker = Marker("a" * 16, "s3://b/run/ledger.json", "m/" + "0" * 32, "us.m", "b" * 16).seen(1, 2.0, [3])
    questions = JobQuestions.of(marker.frame, "us.m", False, [7], [9], b"0" * 16).encode()
    files = {"marker": (marker.name, marker.encode()), "job_questions": (questions_name(7, "0" * 64), questions)}
    for kind, (name, data) in files.items():
        assert re.fullmatch(contract[kind]["name"], name)
        members = json.loads(data.splitlines()[0])
        assert members.keys() == contract[kind]["members"].keys()
        assert str(members["schema_version"]) == contract[kind]["members"]["schema_version"]


@pytest.mark.parametrize(("content", "good"), RULESETS.values(), ids=RULESETS)
def test_the_schema_of_rule_sets_accepts_what_the_step_accepts(content: Any, good: bool) -> None:
    """A template step that checks its output by the contract would still be refused, or refuse what works."""
    assert (complaints("prompt_ruleset", content) == []) == good
    assert _accepts(lambda: check_prompt_templates(content, "prompts.json")) == good


def test_the_examples_of_the_document_keep_the_contract() -> None:
    """A user who copies an example would be refused."""
    text = (ROOT / "docs" / "prompts.md").read_text(encoding="utf-8")
    template, ruleset = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL))
    assert complaints("prompt_templates", template) == []
    assert complaints("prompt_ruleset", ruleset) == []
    (rule,) = check_prompt_templates(ruleset, "prompts.md")["rules"]
    assert rule_block(rule) in text


SCHEMAS: dict[str, tuple[Any, bool]] = {
    "full": (
        {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "required": ["a"],
            "processing_config": {"response_model_name": "Answer"},
        },
        True,
    ),
    "least": ({"properties": {"a": {"enum": [1, 2]}}}, True),
    "no-properties": ({"type": "object"}, False),
    "unknown-type": ({"properties": {"a": {"type": "text"}}}, False),
    "required-text": ({"properties": {"a": {"type": "string"}}, "required": "a"}, False),
    "array": ({"type": "array", "properties": {"a": {"type": "string"}}}, False),
    "list": ([], False),
}


@pytest.mark.parametrize(("content", "good"), SCHEMAS.values(), ids=SCHEMAS)
def test_the_schema_of_schemas_accepts_what_the_step_accepts(content: Any, good: bool) -> None:
    """A template step that checks its output by the contract would still be refused, or refuse what works."""
    assert (complaints("validation_schema", content) == []) == good
    assert _accepts(lambda: check_validation_schema(content, "schema.json")) == good


def test_the_examples_keep_the_contract() -> None:
    """A user who starts from the examples would start from a broken file."""
    examples = ROOT / "docs" / "examples"
    (schema,) = (examples / "schema").glob("validation_schema_*.json")
    assert complaints("validation_schema", json.loads(schema.read_text(encoding="utf-8"))) == []
    prompts = json.loads((examples / "templates" / "prompts.json").read_text(encoding="utf-8"))
    assert complaints("prompt_templates", prompts) == []


def _accepts(check: Any) -> bool:
    try:
        check()
    except InputError:
        return False
    return True
