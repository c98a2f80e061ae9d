"""The steps of a batch run one by one, as the specification names them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pandas as pd
import pytest

from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor
from bedrock_batch.environment.context import RunContext, make_clients
from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.errors import JobError
from helpers.batch_runs import BUCKET, ENVIRON, NOVA, SCHEMA, World
from helpers.botocore_models import CONVERSE_IN_BATCH
from local_bedrock.behaviour import Behaviour, JobFault

MakeWorld = Callable[..., World]
FRAME = pd.DataFrame({"text": [f"message {n}" for n in range(40)], "n": range(40)}, index=range(100, 140))


def make_processor(world: World) -> BedrockBatchProcessor:
    config = {
        "primary_model_id": ENVIRON["BEDROCK_PRIMARY_MODEL_ID"],
        "user_prompt_template": "Which category? {text}",
        "input_placeholders": ["text"],
        "validation_schema": SCHEMA,
        "max_tokens": 500,
        "batch_role_arn": ENVIRON["BEDROCK_BATCH_ROLE_ARN"],
        "batch_input_s3_path": f"s3://{BUCKET}/in",
        "batch_output_s3_path": f"s3://{BUCKET}/out",
        "batch_threshold": 10,
        "min_records_per_job": 5,
        "canary_records": 0,
        "max_records_per_job": 15,
        "batch_poll_initial_seconds": 0.02,
        "batch_poll_max_seconds": 0.05,
    }
    return BedrockBatchProcessor(
        config, RunContext(make_clients(settings_from_mapping(config), world.local.environment))
    )


def test_the_steps_one_by_one_give_what_process_batch_gives(make_world: MakeWorld) -> None:
    """A notebook that follows the specification step by step would get other answers than the run."""
    processor = make_processor(make_world())
    assert processor.should_use_batch_processing(FRAME)
    records = processor.convert_df_to_jsonl(FRAME)
    assert records[0]["modelInput"]["messages"][0]["content"] == processor._format_prompt({"text": "message 0"})
    uri = processor.upload_jsonl_to_s3(records)
    assert processor._parse_s3_path(uri)[0] == BUCKET
    response = processor.monitor_batch_job(processor.create_batch_job(uri))
    results = processor.download_batch_results(response)
    assert len(results) == 40
    frame = processor.convert_batch_results_to_df(results, FRAME)
    pd.testing.assert_frame_equal(frame, processor.process_batch(FRAME))
    pd.testing.assert_frame_equal(frame[["text", "n"]], FRAME)


def test_a_result_that_is_missing_is_a_row_that_says_so(make_world: MakeWorld) -> None:
    """A row without a result would be dropped, and all rows behind it stand beside wrong answers."""
    processor = make_processor(make_world())
    uri = processor.upload_jsonl_to_s3(processor.convert_df_to_jsonl(FRAME))
    results = processor.download_batch_results(processor.monitor_batch_job(processor.create_batch_job(uri)))
    frame = processor.convert_batch_results_to_df(results[1:], FRAME)
    assert len(frame) == 40
    assert list(frame["llm_status"]).count("error") == 1


def test_a_job_that_failed_raises_with_its_message(make_world: MakeWorld) -> None:
    """A notebook would go on with the results of a job that has none."""
    fault = JobFault(ends="Failed", message="Customer doesn't have permissions to invokeModel", writes_output=False)
    processor = make_processor(make_world(Behaviour(min_records_per_job=5, jobs=(fault,))))
    arn = processor.create_batch_job(processor.upload_jsonl_to_s3(processor.convert_df_to_jsonl(FRAME)))
    with pytest.raises(JobError, match="permissions to invokeModel"):
        processor.monitor_batch_job(arn)


def test_a_frame_is_split_within_the_limits_of_a_job(make_world: MakeWorld) -> None:
    """A part above the limit would fail after its upload."""
    processor = make_processor(make_world())
    parts = processor._split_dataframe_for_batch(FRAME)
    assert [len(part) for part in parts] == [15, 15, 10]
    pd.testing.assert_frame_equal(pd.concat(parts), FRAME)


def test_job_names_are_held_to_what_aws_accepts(make_world: MakeWorld) -> None:
    """A caller's check would pass in silence, and AWS would refuse the name after the upload."""
    processor = make_processor(make_world())
    assert processor._validate_job_name("cursus-bedrock-batch-1")
    for name in ("with_underscore", "", "x" * 64):
        with pytest.raises(ValueError, match="not a name for a batch job"):
            processor._validate_job_name(name)


def test_results_with_the_ids_of_the_original_script_join(make_world: MakeWorld) -> None:
    """Results that another tool made, or the original script, would be lost as unknown."""
    processor = make_processor(make_world())
    body = {"content": [{"type": "text", "text": json.dumps({"category": "praise", "confidence": 1})[1:]}]}
    body |= {"stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}
    results = [{"recordId": f"record_{position}", "modelOutput": body} for position in (1, 0)]
    table = processor.convert_batch_results_to_df([*results, {"recordId": "other_7", "modelOutput": body}], FRAME[:3])
    assert list(table["llm_status"]) == ["success", "success", "error"]
    assert list(table["llm_category"])[:2] == ["praise", "praise"]


@CONVERSE_IN_BATCH
def test_batch_by_force_asks_as_batch_takes_it(make_world: MakeWorld) -> None:
    """A processor made for real time would send tools in its jobs, which batch refuses in Converse records."""
    world = make_world()
    config = {
        "primary_model_id": NOVA,
        "user_prompt_template": "Which category? {text}",
        "validation_schema": SCHEMA,
        "structured_output": "tool",
        "max_tokens": 500,
        "batch_mode": "realtime",
        "batch_role_arn": ENVIRON["BEDROCK_BATCH_ROLE_ARN"],
        "batch_input_s3_path": f"s3://{BUCKET}/in",
        "batch_output_s3_path": f"s3://{BUCKET}/out",
        "min_records_per_job": 5,
        "canary_records": 0,
        "batch_poll_initial_seconds": 0.02,
        "batch_poll_max_seconds": 0.05,
    }
    context = RunContext(make_clients(settings_from_mapping(config), world.local.environment))
    processor = BedrockBatchProcessor(config, context)
    assert processor.model_input.output_mode == "tool"
    table = processor.process_batch_inference(FRAME)
    assert set(table["llm_parse_status"]) == {"success"}
    assert [job["status"] for job in processor.jobs] == ["Completed"]
    assert world.local.count("Converse") == 0
