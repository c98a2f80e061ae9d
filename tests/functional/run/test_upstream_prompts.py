"""The outputs of template steps: both forms of prompts.json, no schema, a schema with a time stamp."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor
from bedrock_batch.commands.plan.build import plan_step
from bedrock_batch.commands.preparation import StepRequest
from bedrock_batch.environment.container.paths import container_paths
from bedrock_batch.errors import ConfigurationError
from helpers.batch_runs import MODEL, SCHEMA, World, sent_lines, small
from helpers.table_files import write_table
from local_bedrock import Behaviour
from local_bedrock.behaviour import AnswerFaults

MODES = pytest.mark.parametrize("mode", ["batch", "realtime"])


def stamped(time: str) -> dict[str, Any]:
    """Return the schema file of a template step, written at a given time."""
    return {
        "template_metadata": {"template_version": "1.0", "generation_timestamp": time},
        **SCHEMA,
        "processing_config": {"format_type": "structured_json", "response_model_name": "Category"},
    }


def write_schema(world: World, time: str) -> None:
    name = f"validation_schema_20261124_{time.replace(':', '')}.json"
    (world.processing / "input" / "schema" / name).write_text(json.dumps(stamped(time)), encoding="utf-8")


@MODES
def test_the_same_template_step_run_again_pays_for_nothing(make_world: Callable[..., World], mode: str) -> None:
    """A restarted pipeline would pay for every row again because its schema file has a new time stamp."""
    world = make_world(BEDROCK_BATCH_MODE=mode)
    write_schema(world, "12:00:00")
    first = world.answer()
    charges = world.charges.copy()
    write_schema(world, "13:30:00")
    second = world.answer()
    assert second.summary["run_id"] == first.summary["run_id"]
    assert second.all_rows == first.all_rows
    assert world.charges == charges


def test_what_surrounds_a_schema_is_not_sent_to_the_model(make_world: Callable[..., World]) -> None:
    """The model would get the metadata of the template step in its schema, and may refuse it."""
    world = make_world(BEDROCK_STRUCTURED_OUTPUT="tool")
    write_schema(world, "12:00:00")
    world.answer()
    tools = [line["modelInput"]["tools"] for job in world.local.jobs for line in sent_lines(world, job)]
    assert tools
    assert all(tool[0]["input_schema"] == SCHEMA for tool in tools)


def without_schema(make_world: Callable[..., World], behaviour: Behaviour | None = None, **environ: str) -> World:
    """Return a world without a schema folder, as in a pipeline without that channel."""
    world = make_world(behaviour, **environ)
    shutil.rmtree(world.processing / "input" / "schema")
    return world


@MODES
@pytest.mark.parametrize("folder", ["absent", "empty", "hidden"])
def test_without_a_schema_the_answer_is_a_column_of_json(
    make_world: Callable[..., World], mode: str, folder: str
) -> None:
    """A run without a schema channel would be refused, or its answers lost."""
    world = without_schema(make_world, BEDROCK_BATCH_MODE=mode)
    schema_folder = world.processing / "input" / "schema"
    if folder != "absent":
        schema_folder.mkdir()
    if folder == "hidden":
        (schema_folder / ".keep").touch()
    run = world.answer()
    assert len(run.all_rows) == len(world.inputs)
    for row in run.all_rows:
        assert (row["llm_parse_status"], row["llm_status"]) == ("json_only", "success")
        assert row["llm_validation_passed"] == "False"
        assert json.loads(row["llm_response"]).keys() <= SCHEMA["properties"].keys()
        assert "llm_category" not in row
    assert run.summary["parse_status"] == {"json_only": len(world.inputs)}
    assert run.summary["validation_passed_records"] == 0
    assert run.summary["batch_processing_used"] == (mode == "batch")
    assert run.logged("no validation schema")
    assert run.logged(f"valid={len(world.inputs)} invalid=0")


def test_both_modes_give_the_same_json(make_world: Callable[..., World]) -> None:
    """The columns of a row would depend on the mode, and so on the number of rows."""
    environ = {"BEDROCK_BATCH_RESUME": "false"}  # the local servers of one process share their S3
    batch = without_schema(make_world, BEDROCK_BATCH_MODE="batch", **environ).answer()
    realtime = without_schema(make_world, BEDROCK_BATCH_MODE="realtime", **environ).answer()
    assert batch.summary["sources"].keys() != realtime.summary["sources"].keys()
    assert [row["llm_response"] for row in batch.all_rows] == [row["llm_response"] for row in realtime.all_rows]


def test_an_answer_that_is_not_json_is_kept_beside_those_that_are(make_world: Callable[..., World]) -> None:
    """A reader of the column would get prose instead of a JSON object."""
    behaviour = small(answers=AnswerFaults(not_json=0.3))
    run = without_schema(make_world, behaviour).answer()
    statuses = {row["llm_parse_status"] for row in run.all_rows}
    assert statuses == {"json_only", "json_failed"}
    for row in run.all_rows:
        is_json = row["llm_parse_status"] == "json_only"
        assert (row["llm_response"] is not None, row["llm_raw_response"] is None) == (is_json, is_json)


def test_the_report_of_a_run_without_a_schema_counts_its_json(make_world: Callable[..., World]) -> None:
    """The report would say that no answer is valid although nothing is wrong."""
    world = without_schema(make_world)
    world.answer(BEDROCK_REPORT_SAMPLES="2")
    (path,) = (world.processing / "output" / "summary").glob("processing_report_training_*.html")
    page = path.read_text(encoding="utf-8")
    assert '<span class="soft">JSON</span><b>60</b>' in page
    assert page.count("llm_response") == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("validation_schema_1.json", "no json", "not a JSON file", id="unreadable"),
        pytest.param("schema.json", "{}", "no validation_schema_", id="another-name"),
        pytest.param("notes.txt", "", "no validation_schema_", id="another-kind"),
    ],
)
def test_a_schema_folder_that_holds_something_else_is_refused(
    make_world: Callable[..., World], name: str, content: str, message: str
) -> None:
    """A schema file with a wrong name would be ignored, and every answer paid for without a check."""
    world = without_schema(make_world)
    (world.processing / "input" / "schema").mkdir()
    (world.processing / "input" / "schema" / name).write_text(content, encoding="utf-8")
    error = world.run().error
    assert isinstance(error, ConfigurationError)
    assert error.exit_code == 2
    assert message in str(error)
    assert world.local.calls == []


def test_a_column_named_as_that_of_the_json_is_refused(make_world: Callable[..., World]) -> None:
    """The output would have two columns of the same name."""
    world = without_schema(make_world)
    write_table(world.processing / "input/data/train/a.csv", [{"text": "x", "llm_response": "y"}])
    error = world.run().error
    assert isinstance(error, ConfigurationError)
    assert "llm_response" in str(error)


RULESET: dict[str, Any] = {
    "ruleset": {
        "system_prompt": "You sort messages of buyers.",
        "user_prompt_template": "Rules:\n{routed_rules}\n\nMessage: {text}",
        "input_placeholders": ["text"],
        "analysis_instructions": "Read the whole message.",
        "classification_guidelines": {"tie": "take the rule with the lower priority"},
        "output_schema": SCHEMA,
    },
    "rules": [
        {
            "rule_name": "Late delivery",
            "description": "The parcel came late. {text}",
            "conditions": ["a date has passed", "the carrier confirms it"],
            "exclusions": ["a holiday"],
            "key_elements": [],
            "examples": ["It came {routed_rules} after Christmas"],
            "priority": 1,
        },
        {"name": "Damage", "exceptions": ["scratched box"], "key_indicators": ["broken", "bent"]},
    ],
}
LATE = """### Late delivery
Description: The parcel came late. {text}
Conditions:
- a date has passed
- the carrier confirms it
Exclusions:
- a holiday
Examples:
- It came {routed_rules} after Christmas
Priority: 1"""
DAMAGE = """### Damage
Exclusions:
- scratched box
Key elements:
- broken
- bent"""
NO_RULE = "No rule was selected for this record."
# What a cell of the column may hold, and the rules that it stands for.
CELLS = (
    ("Late delivery", LATE),
    ('["Damage", "Late delivery"]', f"{DAMAGE}\n\n{LATE}"),
    ("Late delivery, Damage", f"{LATE}\n\n{DAMAGE}"),
    ("[]", NO_RULE),
    ("", NO_RULE),
    ("Theft", "### Theft\nThere is no rule of this name in the rule set."),
)


def routed_world(
    make_world: Callable[..., World],
    prompts: dict[str, Any] = RULESET,
    column: str = "selected_rule_names",
    schema: dict[str, Any] | None = None,
    **environ: str,
) -> World:
    """Return a world with a prompts.json that is a rule set, no schema channel, and 12 routed records."""
    world = make_world(files={"train/a.csv": 1}, schema=schema or SCHEMA, **environ)
    shutil.rmtree(world.processing / "input" / "schema")
    (world.processing / "input" / "templates" / "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")
    rows = [
        {"id": f"{number:06d}", "text": f"message {number} {{routed_rules}} {{text}}", column: CELLS[number % 6][0]}
        for number in range(12)
    ]
    write_table(world.processing / "input" / "data" / "train" / "a.csv", rows)
    return world


def bodies_sent(world: World) -> list[dict[str, Any]]:
    return [line["modelInput"] for job in world.local.jobs for line in sent_lines(world, job)]


def prompts_sent(world: World) -> list[str]:
    return [body["messages"][0]["content"] for body in bodies_sent(world)]


def test_the_rules_of_a_record_are_what_its_model_is_sent(make_world: Callable[..., World]) -> None:
    """The model would see other rules than those of the record, or the text of a row would act as a template."""
    world = routed_world(make_world, BEDROCK_BATCH_MODE="batch")
    run = world.answer()
    expected = [
        f"Rules:\n{CELLS[number % 6][1]}\n\nMessage: message {number} {{routed_rules}} {{text}}" for number in range(12)
    ]
    assert prompts_sent(world) == expected
    assert {body["system"] for body in bodies_sent(world)} == {
        "You sort messages of buyers.\n\n"
        "## Analysis instructions\n\nRead the whole message.\n\n"
        '## Classification guidelines\n\n{\n  "tie": "take the rule with the lower priority"\n}'
    }
    assert {row["llm_parse_status"] for row in run.all_rows} == {"success"}
    assert run.summary["routed_rules"] == {
        "column": "selected_rule_names",
        "rules": 2,
        "records": 12,
        "records_without_rules": 4,
        "records_with_unknown_names": 2,
        "unknown_names": 2,
    }
    assert run.logged("with_unknown_names=2 unknown_names=2")
    assert not run.logged("Theft")


def test_both_modes_answer_routed_records_alike(make_world: Callable[..., World]) -> None:
    """The model would see the rules in one mode only."""
    environ = {"BEDROCK_BATCH_RESUME": "false"}  # the local servers of one process share their S3
    runs = [routed_world(make_world, BEDROCK_BATCH_MODE=mode, **environ).answer() for mode in ("batch", "realtime")]
    assert runs[0].summary["sources"].keys() == {"batch"}
    assert runs[1].summary["sources"].keys() == {"realtime"}
    assert [row["llm_reason"] for row in runs[0].all_rows] == [row["llm_reason"] for row in runs[1].all_rows]
    assert runs[0].summary["routed_rules"] == runs[1].summary["routed_rules"]


def test_a_parquet_list_names_rules_as_a_json_list_does(make_world: Callable[..., World]) -> None:
    """Every rule that a routing step names in a list would be reported as unknown."""
    world = routed_world(make_world)
    data = world.processing / "input" / "data" / "train"
    (data / "a.csv").unlink()
    lists = [["Damage", "Late delivery"], [], None, ["Damage", "Damage"]] * 3
    table = pa.table({"text": ["x"] * 12, "selected_rule_names": pa.array(lists, pa.list_(pa.string()))})
    pq.write_table(table, data / "a.parquet")
    world.answer()
    rules = [f"{DAMAGE}\n\n{LATE}", NO_RULE, NO_RULE, DAMAGE] * 3
    assert prompts_sent(world) == [f"Rules:\n{text}\n\nMessage: x" for text in rules]


def test_another_rule_is_another_run_and_another_unused_key_is_not(make_world: Callable[..., World]) -> None:
    """A corrected rule would reuse the answers to the old rule, or a new time stamp would be charged."""
    world = routed_world(make_world)
    first = world.answer()
    path = world.processing / "input" / "templates" / "prompts.json"
    path.write_text(json.dumps(RULESET | {"metadata": {"generated_at": "13:30"}}), encoding="utf-8")
    assert world.answer().summary["run_id"] == first.summary["run_id"]
    rules = [{**RULESET["rules"][0], "conditions": ["another"]}, RULESET["rules"][1]]
    path.write_text(json.dumps(RULESET | {"rules": rules}), encoding="utf-8")
    assert world.answer().summary["run_id"] != first.summary["run_id"]


def test_rules_alone_make_a_template_and_a_schema(make_world: Callable[..., World]) -> None:
    """A rule set without its optional parts would be refused, or the model not told what to answer."""
    prompts = {"ruleset": {"input_placeholders": ["text", "id"]}, "rules": RULESET["rules"]}
    schema = {
        "type": "object",
        "properties": {
            "category": {"type": "string", "enum": ["Late delivery", "Damage"]},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            "reasoning": {"type": "string"},
        },
        "required": ["category"],
    }
    world = routed_world(make_world, prompts, schema=schema)
    run = world.answer()
    names = ["llm_category", "llm_confidence", "llm_reasoning", "llm_parse_status"]
    assert list(run.all_rows[0])[3:7] == names
    assert {row["llm_category"] for row in run.all_rows} == {"Late delivery", "Damage"}
    assert prompts_sent(world)[0] == (
        f"## Rules\n\n{LATE}\n\n## Record\n\ntext: message 0 {{routed_rules}} {{text}}\nid: 000000"
    )
    (system,) = {body["system"] for body in bodies_sent(world)}
    assert '"enum": ["Late delivery", "Damage"]' in system


def test_a_template_without_the_slot_gets_the_rules_in_front(make_world: Callable[..., World]) -> None:
    """A template of the older form would be asked without the rules beside it."""
    prompts = {"ruleset": RULESET["ruleset"] | {"user_prompt_template": "M: {text}"}, "rules": RULESET["rules"]}
    world = routed_world(make_world, prompts, column="my rules", BEDROCK_ROUTED_RULES_COLUMN="my rules")
    world.answer()
    assert prompts_sent(world)[0] == f"{LATE}\n\nM: message 0 {{routed_rules}} {{text}}"


def test_a_missing_rules_column_is_reported(make_world: Callable[..., World]) -> None:
    """Every record would be classified without rules, and nobody would notice."""
    world = routed_world(make_world, column="selected_rules")
    run = world.answer()
    assert run.logged("no column 'selected_rule_names'")
    assert run.logged("did you mean 'selected_rules'?")
    assert prompts_sent(world)[0].startswith("Rules:\n[Missing: selected_rule_names]\n")
    prompts = {"ruleset": RULESET["ruleset"] | {"user_prompt_template": "M: {text}"}, "rules": RULESET["rules"]}
    world = routed_world(make_world, prompts, column="other")
    run = world.answer()
    assert run.logged("its prompts hold no rules")
    assert prompts_sent(world)[0] == "M: message 0 {routed_rules} {text}"
    assert run.summary["routed_rules"]["records"] == 0


def test_the_schema_of_the_rule_set_comes_before_that_of_the_channel(make_world: Callable[..., World]) -> None:
    """The answers would be validated against a schema that the prompts do not mention."""
    world = routed_world(make_world)
    (world.processing / "input" / "schema").mkdir()
    write_schema(world, "12:00:00")
    run = world.answer()
    assert run.logged("the other one in the schema channel is not used")
    bare = {"ruleset": {**RULESET["ruleset"], "output_schema": None}, "rules": RULESET["rules"]}
    world = routed_world(make_world, bare)
    (world.processing / "input" / "schema").mkdir()
    write_schema(world, "12:00:00")
    assert "llm_reason" in world.answer().all_rows[0]


def test_a_notebook_routes_as_the_step_does() -> None:
    """A user could try rules only in a pipeline."""
    config = {
        "primary_model_id": MODEL,
        "user_prompt_template": "{routed_rules} {text}",
        "rules": RULESET["rules"],
        "batch_mode": "realtime",
    }
    processor = BedrockBatchProcessor(config)
    assert processor._format_prompt({"text": "x", "selected_rule_names": ["Damage"]}) == f"{DAMAGE} x"
    assert processor._format_prompt({"text": "x", "selected_rule_names": np.array(["Damage"])}) == f"{DAMAGE} x"
    assert processor._format_prompt({"text": "x", "selected_rule_names": None}) == f"{NO_RULE} x"
    assert processor.response_model_class is not None
    assert processor.response_model_class.model_fields.keys() == {"category", "confidence", "reasoning"}


def test_variables_describe_a_rule_set_without_the_channels(make_world: Callable[..., World]) -> None:
    """A pipeline without the template channel could not use rules."""
    world = routed_world(make_world, BEDROCK_VALIDATION_SCHEMA=json.dumps(SCHEMA))
    shutil.rmtree(world.processing / "input" / "templates")
    run = world.answer(BEDROCK_RULES=json.dumps(RULESET["rules"]), BEDROCK_INPUT_PLACEHOLDERS='["text"]')
    assert prompts_sent(world)[0].startswith(f"## Rules\n\n{LATE}\n\n## Record\n\ntext: message 0")
    assert {row["llm_parse_status"] for row in run.all_rows} == {"success"}
    assert "Late delivery" not in str(run.summary["settings"])


def test_the_plan_shows_what_is_sent(make_world: Callable[..., World]) -> None:
    """A user would pay for prompts whose rules the plan does not show, or at another price than the plan's."""
    world = routed_world(make_world)
    environ = {**world.environ, **world.local.environment}
    log = logging.getLogger("plan")
    request = StepRequest(*container_paths(world.processing), environ, "training", log=log)
    plan = plan_step(request, show_rows=True)
    run = world.answer(BEDROCK_BATCH_MODE="batch")
    sent = prompts_sent(world)
    assert [prompt["prompt"] for prompt in plan["prompts"] if prompt["why"] == "first"] == sent[:1]
    assert max(sent, key=len) in [prompt["prompt"] for prompt in plan["prompts"]]
    estimate = run.summary["cost"]["estimate"]["input_tokens"]
    assert plan["estimate"]["input_tokens"]["likely"] == pytest.approx(estimate["likely"], rel=0.25)
    assert [problem for problem in plan["problems"] if "rule" in problem] == [
        "2 of 12 records name rules in column 'selected_rule_names' that the rule set does not have (2 names): their "
        "prompts say so",
        "4 of 12 records name no rule in column 'selected_rule_names': their prompts say so",
    ]


def spoiled(**changes: Any) -> dict[str, Any]:
    return RULESET | changes


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        pytest.param({"rules": RULESET["rules"]}, "ruleset must be a JSON object", id="rules-alone"),
        pytest.param({"ruleset": {}}, "rules must be a list", id="ruleset-alone"),
        pytest.param(spoiled(rules=[]), "rules must be a list of at least one rule", id="no-rule"),
        pytest.param(spoiled(rules=["x"]), r"rules[0]: a rule must be a JSON object", id="text-as-rule"),
        pytest.param(spoiled(rules=[{"description": "x"}]), "rules[0]: rule_name is missing", id="no-name"),
        pytest.param(spoiled(rules=[{"name": "a"}, {"rule_name": " a "}]), "rules[0] and rules[1]", id="same-name"),
        pytest.param(spoiled(rules=[{"name": "a", "conditions": {}}]), "rules[0]: conditions must be", id="conditions"),
        pytest.param(spoiled(ruleset={"output_schema": {"type": "object"}}), "properties is missing", id="bad-schema"),
        pytest.param(spoiled(ruleset={"input_placeholders": "a"}), "input_placeholders must be", id="placeholders"),
    ],
)
def test_a_wrong_rule_set_is_named_with_its_fault(
    make_world: Callable[..., World], prompts: dict[str, Any], message: str
) -> None:
    """A user would not know which part of a long file to correct, or pay before being told."""
    world = routed_world(make_world, prompts)
    error = world.run().error
    assert isinstance(error, ConfigurationError)
    assert error.exit_code == 2
    assert "prompts.json" in str(error)
    assert message in str(error)
    assert world.local.calls == []
