"""Code that was written for the original script: what it reads from the summary and from a processor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import bedrock_batch_processing as entry
from bedrock_batch.environment.context import RunContext, make_clients
from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.realtime.bedrock_processor import BedrockProcessor
from helpers.batch_runs import BUCKET, MODEL, ROLE, SCHEMA, SYSTEM, TEMPLATE, World
from helpers.table_files import write_table

MakeWorld = Callable[..., World]
COUNTS = ("total_records", "successful_records", "failed_records", "validation_passed_records")
COUNTS += ("success_rate", "validation_rate")
FRAME = pd.DataFrame({"text": [f"message {number}" for number in range(6)]})
CONFIG: dict[str, Any] = {
    "primary_model_id": MODEL,
    "system_prompt": SYSTEM,
    "user_prompt_template": TEMPLATE,
    "input_placeholders": ["text"],
    "validation_schema": {**SCHEMA, "processing_config": {"response_model_name": "Judgement"}},
    "max_tokens": 300,
    "temperature": None,
    "batch_threshold": 6,
    "max_records_per_job": 20,
    "min_records_per_job": 5,
    "canary_records": 0,
    "batch_role_arn": ROLE,
    "batch_input_s3_path": f"s3://{BUCKET}/in/put",
    "batch_output_s3_path": "s3://another-bucket",
    "batch_tags": {"team": "a"},
    "prices": {"a.b": {"input": 1, "output": 2}},
    "max_input_field_length": 8,
}


def make_processor(
    world: World, kind: type[BedrockProcessor] = entry.BedrockBatchProcessor, **more: Any
) -> BedrockProcessor:
    """Return a processor that asks the local Bedrock of a world."""
    config = {**CONFIG, **more}
    return kind(config, RunContext(make_clients(settings_from_mapping(config), world.local.environment)))


# The summary


@pytest.mark.parametrize("mode", ["batch", "realtime"])
def test_the_summary_has_the_keys_of_the_original(make_world: MakeWorld, mode: str) -> None:
    """A dashboard for the original script would end with a KeyError, or show figures that are not those of the run."""
    summary = make_world(BEDROCK_BATCH_MODE=mode, BEDROCK_MAX_INPUT_FIELD_LENGTH="20").answer().summary
    splits = summary["splits_processed"]
    assert [split["batch_processing_used"] for split in splits] == [mode == "batch"] * 3
    assert summary["total_files"] == 4
    assert summary["files_processed"] == [
        {"split_name": split["split_name"], "file": file["file"], **{name: file[name] for name in COUNTS}}
        for split in splits
        for file in split["files"]
    ]
    assert summary["processing_timestamp"] == summary["started"]
    cut = summary["truncation_stats"]
    count, removed = cut["fields"]["text"]["records"], cut["fields"]["text"]["characters_removed"]
    assert 0 < count < summary["total_records"]
    assert (cut["truncation_enabled"], cut["max_input_field_length"]) == (True, 20)
    assert (cut["truncated_records"], cut["truncated_fields"]) == (count, {"text": count})
    assert (cut["total_truncations"], cut["total_characters_removed"]) == (count, removed)


def test_the_summary_tells_the_model_and_the_template(make_world: MakeWorld) -> None:
    """A reader of an old summary could not tell which model answered by which template."""
    model = MODEL.removeprefix("us.")
    summary = (
        make_world(files={"train/a.csv": 6})
        .answer(
            BEDROCK_PRIMARY_MODEL_ID=model,
            BEDROCK_FALLBACK_MODEL_ID="amazon.nova-lite-v1:0",
            BEDROCK_INFERENCE_PROFILE_REQUIRED_MODELS=f'["{model}"]',
        )
        .summary
    )
    assert summary["effective_model_id"] == MODEL
    assert summary["models"] == {MODEL: 6}
    assert summary["model_info"] == {
        "primary_model_id": model,
        "effective_model_id": MODEL,
        "fallback_model_id": "amazon.nova-lite-v1:0",
        "inference_profile_info": {
            "inference_profile_arn": None,
            "required_by_settings": True,
            "uses_inference_profile": True,
            "effective_model_id": MODEL,
        },
        "region_name": "us-east-1",
        "api": summary["model"]["api"],
        "structured_output": summary["model"]["structured_output"],
    }
    assert summary["template_integration"] == {
        "has_system_prompt": True,
        "input_placeholders": ["text"],
        "has_validation_schema": True,
        "schema_fields": ["category", "confidence", "reason"],
        "response_model_name": "BedrockResponse",
    }


def test_a_split_that_no_job_could_hold_was_not_processed_in_batch(make_world: MakeWorld) -> None:
    """The cost of a split that was asked in real time would be taken for that of batch."""
    world = make_world(files={"train/a.csv": 15, "val/b.csv": 1})
    write_table(world.processing / "input/data/val/b.csv", [{"id": "x", "text": "long " * 4000}])
    summary = world.answer(BEDROCK_MAX_JOB_FILE_BYTES="15000").summary
    used = {split["split_name"]: split["batch_processing_used"] for split in summary["splits_processed"]}
    assert used == {"train": True, "val": False}
    assert summary["batch_processing_used"]


def test_a_split_that_is_processed_alone_tells_its_mode(make_world: MakeWorld) -> None:
    """A caller of `process_split_directory` would not learn whether batch inference was used."""
    world = make_world(files={"train/a.csv": 8})
    folders = (world.processing / "input/data/train", world.processing / "output/data/train")
    settings = {"batch_output_s3_path": f"s3://{BUCKET}/out", "batch_poll_initial_seconds": 0.05}
    found = entry.process_split_directory("train", *folders, make_processor(world, **settings), None, print)
    assert (found["total_records"], found["batch_processing_used"]) == (8, True)


# The attributes of a processor


def test_a_processor_shows_its_settings(make_world: MakeWorld) -> None:
    """A caller that reads an attribute of the original would end with an AttributeError, or see another value."""
    processor = make_processor(make_world())
    assert processor.validation_schema == CONFIG["validation_schema"]
    assert (processor.input_bucket, processor.output_bucket) == (BUCKET, "another-bucket")
    assert (processor.batch_mode, processor.concurrency_mode) == ("auto", "sequential")
    assert (processor.batch_threshold, processor.max_records_per_job) == (6, 20)
    assert processor.inference_profile_info == {
        "inference_profile_arn": None,
        "required_by_settings": False,
        "uses_inference_profile": True,
        "effective_model_id": MODEL,
    }
    bare = make_processor(make_world(), batch_input_s3_path="", batch_output_s3_path="", validation_schema=None)
    assert (bare.input_bucket, bare.output_bucket, bare.validation_schema) == (None, None, None)


def test_the_schema_of_rules_is_shown(make_world: MakeWorld) -> None:
    """A caller would think that the answers to a rule set are not validated."""
    processor = make_processor(make_world(), validation_schema=None, rules=[{"rule_name": "Damage"}])
    assert processor.validation_schema["properties"]["category"]["enum"] == ["Damage"]


def test_the_configuration_of_a_processor_makes_the_same_processor(make_world: MakeWorld) -> None:
    """A caller could not change one setting of a processor and keep the others."""
    world = make_world()
    processor = make_processor(world)
    assert {key: processor.config[key] for key in CONFIG} == {**CONFIG, "batch_tags": (("team", "a"),)}
    assert processor.config["max_retries"] == 3
    assert settings_from_mapping(processor.config) == processor.settings
    least = entry.BedrockProcessor({"primary_model_id": MODEL, "user_prompt_template": "{a}"})
    assert (least.config["input_placeholders"], least.config["rules"], least.config["validation_schema"]) == (
        [],
        None,
        None,
    )
    assert entry.BedrockProcessor(least.config).config == least.config
    with pytest.raises(TypeError):
        processor.config["max_tokens"] = 5


def test_the_clients_of_a_processor_reach_the_services(make_world: MakeWorld) -> None:
    """A caller that uses the clients of a processor would talk to another service, region or account."""
    world = make_world()
    processor = make_processor(world)
    names = [bucket["Name"] for bucket in processor.s3_client.list_buckets()["Buckets"]]
    assert names == [BUCKET]
    assert processor.bedrock_batch_client.list_model_invocation_jobs()["invocationJobSummaries"] == []
    asked = processor.bedrock_client.converse(modelId=MODEL, messages=[{"role": "user", "content": [{"text": "x"}]}])
    assert asked["output"]["message"]["role"] == "assistant"


@pytest.mark.parametrize("method", ["process_batch", "process_batch_inference"])
def test_truncations_are_counted_by_every_way_to_answer_a_frame(make_world: MakeWorld, method: str) -> None:
    """A caller would be told that nothing was cut."""
    world = make_world()
    processor = make_processor(world, batch_output_s3_path=f"s3://{BUCKET}/out", batch_poll_initial_seconds=0.05)
    assert processor.truncation_stats["total_truncations"] == 0
    getattr(processor, method)(FRAME)
    stats = processor.truncation_stats
    assert (stats["truncated_records"], stats["truncated_fields"], stats["total_characters_removed"]) == (
        6,
        {"text": 6},
        6 * (len("message 0") - 8),
    )


@pytest.mark.parametrize(
    ("attribute", "setting"),
    [
        ("config", "config"),
        ("validation_schema", "validation_schema"),
        ("truncation_stats", "max_input_field_length"),
        ("inference_profile_info", "inference_profile_arn"),
        ("input_bucket", "batch_input_s3_path"),
        ("output_bucket", "batch_output_s3_path"),
        ("batch_mode", "batch_mode"),
        ("batch_threshold", "batch_threshold"),
        ("max_records_per_job", "max_records_per_job"),
        ("concurrency_mode", "concurrency_mode"),
        ("bedrock_client", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"),
        ("bedrock_batch_client", "AWS_ENDPOINT_URL_BEDROCK"),
        ("s3_client", "AWS_ENDPOINT_URL_S3"),
    ],
)
def test_assigning_to_an_attribute_names_the_setting(attribute: str, setting: str) -> None:
    """A caller's change of a processor would be ignored in silence."""
    processor = entry.BedrockBatchProcessor(CONFIG)
    with pytest.raises(AttributeError, match=rf"\.{attribute} is read-only: .* another (\w+, )*{setting}\b"):
        setattr(processor, attribute, "x")
