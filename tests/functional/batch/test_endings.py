"""Every way in which a job can end: paid answers are kept, and only the other records are asked again."""

from __future__ import annotations

import pytest

from bedrock_batch.errors import RunError
from helpers.batch_runs import BUCKET, World, ids_in, jobs_in_order, small
from helpers.run_checks import check_complete, check_paid_once
from local_bedrock import JobFault
from local_bedrock.batch.jobs import Job


def first_job(world: World) -> Job:
    return jobs_in_order(world)[0]


def not_processed(world: World, job: Job) -> set[str]:
    """The rows that a job had not reached when it ended."""
    return ids_in(world, job) - {row_id for outcome in job.ids_by_outcome for row_id in ids_in(world, job, outcome)}


@pytest.mark.parametrize(
    ("fault", "status", "cause", "answered"),
    [
        (JobFault(ends="Completed"), "Completed", None, 20),
        (JobFault(ends="PartiallyCompleted", share=0.6), "PartiallyCompleted", "out_of_time", 12),
        (JobFault(ends="FailedInValidating"), "Failed", "job_failed", 0),
        (JobFault(ends="Failed", share=0.5), "Failed", "job_failed", 10),
        (JobFault(ends="Expired"), "Expired", "expired", 0),
        (JobFault(ends="Stopped", share=0.25), "Stopped", "stopped", 5),
    ],
    ids=["Completed", "PartiallyCompleted", "Failed in Validating", "Failed at the end", "Expired", "Stopped"],
)
def test_what_a_job_left_is_kept_whatever_its_status(make_world, reference, fault, status, cause, answered):
    """Paid answers would be thrown away and bought again, or rows without an answer would be lost."""
    fate = JobFault(name="-0000$", ends=fault.ends, share=fault.share)
    world = make_world(small(jobs=(fate,)))
    run = world.answer()
    job = first_job(world)
    assert {entry["status"] for entry in run.jobs if entry["name"] == job.name} == {status}
    left = not_processed(world, job)
    assert len(left) == 20 - answered
    assert world.realtime_ids == left
    assert run.salvaged == ({cause: len(left)} if cause else {})
    check_complete(run, reference)
    check_paid_once(run)


def test_failed_job_that_wrote_no_output_is_asked_again_as_a_whole(make_world, reference):
    """Rows of a job that failed over its output permission would be without an answer for ever."""
    world = make_world(small(jobs=(JobFault(name="-0001$", ends="Failed", writes_output=False),)))
    run = world.answer()
    lost = ids_in(world, jobs_in_order(world)[1])
    assert world.realtime_ids == lost
    check_complete(run, reference)
    check_paid_once(run, twice=lost)  # the job charged them, and nobody has the answers


def test_message_of_a_failed_job_reaches_the_user(make_world):
    """`Failed` alone would leave a user without the reason, which only AWS knows."""
    reason = "Batch job contains less records (20) than the required minimum of: 100"
    fate = JobFault(name="-0000$", ends="FailedInValidating", message=reason)
    world = make_world(small(jobs=(fate,)), BEDROCK_BATCH_FALLBACK="error")
    run = world.answer()
    lost = ids_in(world, first_job(world))
    assert {row["llm_error"] for row in run.all_rows if row["id"] in lost} == {
        f"the batch job failed before it answered this record: {reason}"
    }
    assert [entry["message"] for entry in run.jobs if entry["status"] == "Failed"] == [reason]
    assert run.logged(reason)


def test_jobs_that_all_fail_leave_every_row_to_real_time(make_world, reference):
    """The specification's fall back on any batch failure is the case in which that is all records."""
    world = make_world(small(jobs=(JobFault(ends="FailedInValidating"),)))
    run = world.answer()
    assert len(world.realtime_ids) == 60
    assert run.salvaged == {"job_failed": 60}
    check_complete(run, reference)
    check_paid_once(run)


def test_completed_job_with_every_record_in_error_is_no_success(make_world, reference):
    """Completed does not mean that a record succeeded: a user would get a table of errors and exit code 0."""
    world = make_world(
        small(jobs=(JobFault(all_records_error="anthropic_version: Field required"),)),
        BEDROCK_MAX_ERROR_RATE="0.5",
    )
    run = world.run()
    assert isinstance(run.error, RunError)
    assert "60 of 60 records have no answer" in str(run.error)
    assert world.realtime_ids == set(), "a 400 is not asked again unchanged"
    assert {row["llm_error"] for row in run.all_rows} == {"anthropic_version: Field required"}
    assert [row["id"] for row in run.all_rows] == [row["id"] for row in world.inputs]


def test_results_in_several_files_are_all_read(make_world, reference):
    """The rows of every file but the first would be asked, and paid, again."""
    world = make_world(small(jobs=(JobFault(output_parts=4),)))
    run = world.answer()
    assert world.realtime_ids == set()
    check_complete(run, reference)
    check_paid_once(run)


def test_results_behind_a_thousand_objects_are_found(make_world, reference):
    """One page of a listing holds 1,000 objects: results on the second page would be taken for missing."""
    world = make_world(small(jobs=(JobFault(name="-0000$", extra_objects=1100),)))
    run = world.answer()
    client = world.local.client("s3")
    folder = f"output/{run.summary['run_id']}/{first_job(world).id}/"
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=folder)
    assert sum(page["KeyCount"] for page in pages) == 1102
    assert world.realtime_ids == set()
    check_complete(run, reference)
    check_paid_once(run)


@pytest.mark.parametrize(("kind", "warned"), [("wrong", True), ("absent", False)])
def test_manifest_that_is_wrong_or_absent_changes_no_row(make_world, reference, kind, warned):
    """The totals are a check: rows must not depend on them, and a difference must be told."""
    world = make_world(small(jobs=(JobFault(manifest=kind),)))
    run = world.answer()
    assert run.logged("manifest=21 processed records") is warned
    assert [entry["manifest"] is None for entry in run.jobs] == [kind == "absent"] * 3
    check_complete(run, reference)
    check_paid_once(run)


def test_manifest_totals_stand_in_the_summary(make_world):
    """The token totals of a job would be lost: only the manifest has them."""
    run = make_world().answer()
    manifests = [entry["manifest"] for entry in run.jobs]
    assert sum(each["success_record_count"] for each in manifests) == 60
    assert sum(each["output_token_count"] for each in manifests) == run.summary["tokens"]["batch_output_tokens"]
    assert sum(each["input_token_count"] for each in manifests) == run.summary["tokens"]["batch_input_tokens"]
