"""Which records share a job, and what the jobs are created with: read from what the local Bedrock was sent."""

from __future__ import annotations

import re
import signal
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bedrock_batch.aws.job_requests import validate_job_name, validate_s3_uri
from helpers.batch_runs import BUCKET, NOVA, ROLE, input_uri, jobs_in_order, prompt_of, sent_ids, sent_lines, small
from helpers.botocore_models import CONVERSE_IN_BATCH, NETWORK_AND_OWNER
from helpers.run_checks import check_complete, check_paid_once
from local_bedrock import JobFault
from local_bedrock.batch.jobs import TERMINAL


def object_sizes(world):
    """The bytes of each job's input file in S3, in order of creation."""
    client = world.local.client("s3")
    keys = [input_uri(job).removeprefix(f"s3://{BUCKET}/") for job in world.local.jobs]
    return [client.head_object(Bucket=BUCKET, Key=key)["ContentLength"] for key in keys]


def test_small_files_and_splits_share_one_job(make_world):
    """Three small files would each be asked in real time, at twice the price of the batch that they make together."""
    world = make_world(
        files={"train/a.csv": 12, "val/b.tsv": 12, "test/c.parquet": 12},
        BEDROCK_BATCH_THRESHOLD="30",
        BEDROCK_MIN_RECORDS_PER_JOB="20",
        BEDROCK_MAX_RECORDS_PER_JOB="100",
    )
    run = world.answer()
    (job,) = world.local.jobs
    assert sent_ids(world, job) == [f"R{number:010d}" for number in range(36)]
    assert [row["id"] for row in run.all_rows] == [row["id"] for row in world.inputs]
    check_paid_once(run)
    assert run.summary["batch_processing_used"] is True
    assert run.logged("asks=36 rows=36 mode=batch jobs=1 estimated_cost=$")


def test_auto_mode_below_the_threshold_of_the_run_asks_in_real_time(make_world):
    """A small run would wait for a batch job for hours."""
    world = make_world(files={"train/a.csv": 12, "val/b.tsv": 12}, BEDROCK_BATCH_THRESHOLD="25")
    run = world.answer()
    assert world.local.jobs == []
    assert run.summary["batch_processing_used"] is False
    assert "24 records are fewer than BEDROCK_BATCH_THRESHOLD=25" in run.summary["batch_job_info"]["decision"]
    check_paid_once(run)


def test_record_limit_is_exact_and_the_tail_is_balanced(make_world):
    """AWS would fail a job over its quota, or the last rows would be too few for a job and cost twice as much."""
    world = make_world(files={"train/a.csv": 43})
    run = world.answer()
    assert [len(sent_ids(world, job)) for job in jobs_in_order(world)] == [20, 12, 11]
    assert {job["name"]: job["records"] for job in run.jobs} == {
        job.name: len(sent_ids(world, job)) for job in world.local.jobs
    }
    check_paid_once(run)


def test_byte_limit_is_exact_in_bytes_as_written(make_world):
    """An estimate would let AWS refuse a file over 1 GB, or waste the room of every job."""
    world = make_world(files={"train/a.csv": 60}, BEDROCK_MAX_JOB_FILE_BYTES="4000")
    run = world.answer()
    sizes = object_sizes(world)
    assert len(sizes) > 2
    assert max(sizes) <= 4000
    lengths = [[len(line) for line in _lines(world, job)] for job in jobs_in_order(world)]
    for here, following in pairwise(lengths[:-1]):
        assert sum(here) + following[0] > 4000, "a full job has no room for the record after it"
    assert sorted(job["bytes"] for job in run.jobs) == sorted(sizes)
    check_paid_once(run)


def _lines(world, job):
    key = input_uri(job).removeprefix(f"s3://{BUCKET}/")
    return world.local.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read().splitlines(keepends=True)


def test_record_larger_than_a_job_is_answered_in_real_time(make_world):
    """One huge row would fail its whole job."""
    world = make_world(files={"train/a.csv": 30}, BEDROCK_MAX_JOB_FILE_BYTES="9000")
    path = world.processing / "input" / "data" / "train" / "a.csv"
    huge = "x" * 10_000
    path.write_text(path.read_text(encoding="utf-8").replace("message 11:", huge), encoding="utf-8")
    world.inputs[11]["text"] = world.inputs[11]["text"].replace("message 11:", huge)
    run = world.answer()
    assert world.realtime_ids == {"000011"}
    assert run.salvaged == {"not_batchable": 1}
    assert run.all_rows[11]["llm_source"] == "realtime"
    assert all("R0000000011" not in sent_ids(world, job) for job in world.local.jobs)
    check_paid_once(run)


def test_no_job_is_created_below_the_minimum(make_world, reference):
    """AWS would take the job, fail it minutes later, and the rows would have waited for nothing."""
    world = make_world(BEDROCK_MIN_RECORDS_PER_JOB="15", BEDROCK_MAX_RECORDS_PER_JOB="19")
    run = world.answer()
    assert [len(sent_ids(world, job)) for job in world.local.jobs] == [19] * 3
    assert run.salvaged == {"not_batchable": 3}
    check_complete(run, reference)
    check_paid_once(run)


def test_every_job_has_its_own_name_key_and_token(make_world):
    """Two jobs under one key would answer the same records twice; a name that AWS refuses would stop the run."""
    world = make_world()
    world.answer()
    jobs = world.local.jobs
    assert len({job.name for job in jobs}) == len({input_uri(job) for job in jobs}) == 3
    assert len({job.request["clientRequestToken"] for job in jobs}) == 3
    assert all(validate_job_name(job.name) and job.name.startswith("cursus-bedrock-batch-") for job in jobs)
    assert all(validate_s3_uri(input_uri(job)) and input_uri(job).endswith(".jsonl") for job in jobs)


def test_tokens_and_names_follow_from_the_content(make_world):
    """A second start that met a lost creation would create, and pay for, the same job again."""
    made = []
    for _ in range(2):
        world = make_world(files={"train/a.csv": 40})
        world.answer()
        made.append({(job.name, job.request["clientRequestToken"]) for job in world.local.jobs})
        world.close()  # the last server that stops takes the ledger in S3 with it
    assert made[0] == made[1]


@NETWORK_AND_OWNER
def test_key_owner_tags_network_and_role_reach_the_job(make_world):
    """An encrypted, foreign or private bucket could not be used, and nobody could bill the job."""
    world = make_world(
        files={"train/a.csv": 20},
        BEDROCK_BATCH_KMS_KEY_ID="alias/batch",
        BEDROCK_BATCH_BUCKET_OWNER="123456789012",
        BEDROCK_BATCH_TAGS='{"team": "nlp", "stage": "test"}',
        BEDROCK_BATCH_SUBNET_IDS="subnet-1,subnet-2",
        BEDROCK_BATCH_SECURITY_GROUP_IDS="sg-1",
        BEDROCK_BATCH_TIMEOUT_HOURS="48",
    )
    world.answer()
    (job,) = world.local.jobs
    source = job.request["inputDataConfig"]["s3InputDataConfig"]
    target = job.request["outputDataConfig"]["s3OutputDataConfig"]
    assert (source["s3BucketOwner"], target["s3BucketOwner"]) == ("123456789012", "123456789012")
    assert target["s3EncryptionKeyId"] == "alias/batch"
    assert job.request["tags"] == [{"key": "team", "value": "nlp"}, {"key": "stage", "value": "test"}]
    assert job.request["vpcConfig"] == {"subnetIds": ["subnet-1", "subnet-2"], "securityGroupIds": ["sg-1"]}
    assert job.request["roleArn"] == ROLE
    assert job.request["timeoutDurationInHours"] == 48
    head = world.local.client("s3").head_object(Bucket=BUCKET, Key=input_uri(job).removeprefix(f"s3://{BUCKET}/"))
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "alias/batch")
    assert head["ContentType"] == "application/jsonl"


@CONVERSE_IN_BATCH
def test_converse_model_is_answered_by_batch_with_null_members_in_its_output(make_world):
    """A model other than Claude would have no batch, or its answers would be read as empty tool calls."""
    world = make_world(files={"train/a.csv": 20}, BEDROCK_PRIMARY_MODEL_ID=NOVA)
    run = world.answer()
    (job,) = world.local.jobs
    assert job.request["modelInvocationType"] == "Converse"
    body = sent_lines(world, job)[0]["modelInput"]
    assert body["messages"][0]["content"] == [{"text": prompt_of(world.inputs[0])}]
    assert "modelId" not in body
    assert {row["llm_parse_status"] for row in run.all_rows} == {"success"}
    assert {row["llm_source"] for row in run.all_rows} == {"batch"}
    check_paid_once(run)


def test_never_more_jobs_in_flight_than_the_setting(make_world, reference):
    """The account's quota would be taken from everybody else's jobs."""
    world = make_world(BEDROCK_MAX_CONCURRENT_BATCH_JOBS="2", BEDROCK_MAX_RECORDS_PER_JOB="10")
    in_flight = []

    def count(call):
        if call.operation == "CreateModelInvocationJob" and call.when == "before":
            in_flight.append(sum(job.status not in TERMINAL for job in world.local.jobs))

    world.local.on_call(count)
    run = world.answer()
    assert len(in_flight) == 6
    assert max(in_flight) == 1, "with this one there are two"
    check_complete(run, reference)


def test_a_job_that_waits_for_a_free_place_costs_no_processor_time(make_world):
    """The step would turn in circles at full load for the hours in which more jobs are ready than may run."""
    world = make_world(BEDROCK_MAX_CONCURRENT_BATCH_JOBS="1", BEDROCK_MAX_RECORDS_PER_JOB="10")
    waits = []

    def note(context):
        def sleep(seconds):
            waits.append(seconds)
            context.sleep(seconds)

        return replace(context, sleep=sleep)

    run = world.run(adapt=note)
    assert run.error is None
    assert waits
    assert sum(seconds <= 0 for seconds in waits) < len(world.local.jobs)


def test_a_run_begun_with_full_jobs_continues_with_equal_ones(make_world, reference):
    """A user who asks for equal jobs at a restart would pay again for the records of the jobs that run already."""
    world = make_world(BEDROCK_MAX_CONCURRENT_BATCH_JOBS="1")
    interrupted = []

    def interrupt(call):
        if call.operation == "GetModelInvocationJob" and call.when == "after" and not interrupted:
            interrupted.append(call.ordinal)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    world.local.on_call(interrupt)
    assert isinstance(world.run().error, KeyboardInterrupt)
    run = world.answer(BEDROCK_BATCH_SPREAD="even", BEDROCK_MAX_CONCURRENT_BATCH_JOBS="4")
    # The first start may have written a second job into the ledger while the first one ran.
    assert [len(sent_ids(world, job)) for job in jobs_in_order(world)] in ([20, 14, 13, 13], [20, 20, 10, 10])
    check_complete(run, reference)
    check_paid_once(run)


def test_next_job_is_created_as_one_ends(make_world, reference):
    """One slow job would hold up all jobs that wait for a free place."""
    stuck = JobFault(ordinals=(1,), ends="NeverStarts")
    world = make_world(small(jobs=(stuck,)), BEDROCK_MAX_CONCURRENT_BATCH_JOBS="2", BEDROCK_MAX_RECORDS_PER_JOB="15")
    run = world.run_short_of_time(lambda: sum(job.over.is_set() for job in world.local.jobs) == 3)
    assert run.error is None
    assert [job.status for job in world.local.jobs] == ["Stopped", "Completed", "Completed", "Completed"]
    check_complete(run, reference)
    check_paid_once(run)


def test_process_batch_of_a_frame_uses_batch_too(make_world):
    """A notebook's user would pay the price of real time."""
    import pandas as pd

    from bedrock_batch.batch.bedrock_batch_processor import BedrockBatchProcessor
    from bedrock_batch.environment.context import RunContext, make_clients
    from bedrock_batch.environment.settings import load_settings
    from helpers.batch_runs import SCHEMA, SYSTEM, TEMPLATE

    world = make_world(files={"train/a.csv": 30})
    environ = {**world.environ, **world.local.environment}
    settings, _ = load_settings(environ)
    config = {
        **{name: value for name, value in world.environ.items() if name != "AWS_DEFAULT_REGION"},
        "user_prompt_template": TEMPLATE,
        "system_prompt": SYSTEM,
        "validation_schema": SCHEMA,
        "batch_poll_initial_seconds": 0.05,
    }
    config = {name.removeprefix("BEDROCK_").lower(): value for name, value in config.items()}
    processor = BedrockBatchProcessor(config, RunContext(make_clients(settings, environ)))
    frame = pd.DataFrame(world.inputs, index=range(100, 130))
    answered = processor.process_batch(frame)
    assert list(answered.index) == list(frame.index)
    assert list(answered["id"]) == list(frame["id"])
    assert set(answered["llm_status"]) == {"success"}
    assert len(world.local.jobs) == 2
    assert processor.should_use_batch_processing(frame)


@pytest.mark.parametrize("prefix", ["team_a/überlang " + "x" * 80, "---"], ids=["foreign characters", "nothing left"])
def test_any_job_name_prefix_gives_valid_names(make_world, prefix):
    """A prefix with an underscore would make AWS refuse every job of the run."""
    world = make_world(files={"train/a.csv": 20}, BEDROCK_BATCH_JOB_NAME_PREFIX=prefix)
    run = world.run()
    if run.error is not None:
        assert "BEDROCK_BATCH_JOB_NAME_PREFIX" in str(run.error)
        return
    (job,) = world.local.jobs
    assert re.fullmatch(r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}", job.name)


def test_main_runs_batch_on_real_clocks(make_world):
    """The step that SageMaker starts would not be the one that these tests prove."""
    import argparse

    from bedrock_batch.environment.container.paths import container_paths
    from bedrock_batch_processing import main
    from helpers.table_files import read_outputs

    world = make_world(
        files={"train/a.csv": 30},
        BEDROCK_BATCH_POLL_INITIAL_SECONDS="0.05",
        BEDROCK_BATCH_POLL_MAX_SECONDS="0.1",
    )
    arguments = argparse.Namespace(job_type="training", processing_dir=str(world.processing))
    paths = container_paths(world.processing)
    summary = main(*paths, {**world.environ, **world.local.environment}, arguments)
    assert summary["successful_records"] == 30
    assert [row["id"] for row in read_outputs(Path(paths[1]["processed_data"]))["train"]] == [
        row["id"] for row in world.inputs
    ]
    assert [job["status"] for job in summary["batch_job_info"]["jobs"]] == ["Completed"] * 2
