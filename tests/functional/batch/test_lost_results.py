"""Results that AWS counted and that cannot be read: the run reports them, and does not pay for them again."""

from __future__ import annotations

import json
import threading

import pytest

from bedrock_batch.errors import RunError
from helpers.batch_runs import BUCKET, World, small
from helpers.botocore_models import RECORD_COUNTS
from helpers.run_checks import check_complete, check_paid_once
from local_bedrock import CallFault, JobFault

LISTING = "S3.ListObjectsV2"
ACCEPT = {"BEDROCK_BATCH_ACCEPT_LOST_RESULTS": "true"}


class Thief:
    """Changes the results of the first job before they are read, and restores them on request."""

    def __init__(self, world: World, results: str = "delete", manifest: str = "keep") -> None:
        self.world = world
        self.kept: dict[str, bytes] = {}
        self._results = results
        self._manifest = manifest
        self._lock = threading.Lock()
        world.local.on_call(self._watch)

    def _watch(self, call):
        if call.operation == LISTING and call.when == "before":
            with self._lock:  # two jobs may be fetched at once
                self._steal()

    def _steal(self):
        jobs = sorted(self.world.local.jobs, key=lambda job: job.name)
        if self.kept or not jobs or not jobs[0].output_keys:
            return
        client = self.world.local.client("s3")
        (key,) = jobs[0].output_keys
        manifest = key.rpartition("/")[0] + "/manifest.json.out"
        self.kept = {
            name: client.get_object(Bucket=BUCKET, Key=name)["Body"].read()
            for name, change in ((key, self._results), (manifest, self._manifest))
            if change != "keep"
        }
        for name, data in self.kept.items():
            if name == key and self._results == "cut":
                client.put_object(Bucket=BUCKET, Key=name, Body=b"".join(data.splitlines(keepends=True)[:15]))
            elif name == key and self._results == "page":
                client.put_object(Bucket=BUCKET, Key=name, Body=b"<html>\n<p>Sign in</p>\n</html>\n")
            else:
                client.delete_object(Bucket=BUCKET, Key=name)

    def restore(self) -> None:
        for name, data in self.kept.items():
            self.world.local.client("s3").put_object(Bucket=BUCKET, Key=name, Body=data)


CASES = [
    pytest.param("delete", "keep", 20, id="results deleted"),
    pytest.param("delete", "delete", 20, id="everything deleted", marks=RECORD_COUNTS),
    pytest.param("cut", "keep", 5, id="a part of the results"),
    pytest.param("cut", "delete", 5, id="a part of the results and no manifest", marks=RECORD_COUNTS),
    pytest.param("page", "keep", 17, id="a page in place of the results"),
]


@pytest.mark.parametrize(("results", "manifest", "lost"), CASES)
def test_results_that_were_counted_and_are_gone_end_the_run(make_world, reference, results, manifest, lost):
    """A life-cycle rule that deletes results too soon would have all of them paid again, without a word."""
    world: World = make_world()
    thief = Thief(world, results, manifest)
    failed = world.run()
    assert isinstance(failed.error, RunError)
    job = min(world.local.jobs, key=lambda each: each.name)
    message = str(failed.error)
    assert f"{lost} of 20 results" in message
    assert f"s3://{BUCKET}/{job.output_keys[0].rpartition('/')[0]}/" in message
    assert "BEDROCK_BATCH_ACCEPT_LOST_RESULTS=true" in message
    assert world.realtime_ids == set()
    assert failed.rows == {}
    again = world.run()
    assert isinstance(again.error, RunError), "a restart does not forget what AWS counted"
    assert world.realtime_ids == set()
    thief.restore()
    run = world.answer()
    assert len(world.local.jobs) == 3
    assert world.realtime_ids == set()
    check_complete(run, reference)
    check_paid_once(run)


def test_other_jobs_are_collected_before_the_run_ends(make_world):
    """While a user restores the results of one job, those of the others would be deleted too."""
    world: World = make_world()
    Thief(world)
    assert isinstance(world.run().error, RunError)
    assert ledger_states(world) == ["ended", "collected", "collected"]


@pytest.mark.parametrize(("results", "manifest", "lost"), CASES)
def test_loss_that_is_accepted_goes_where_unanswered_records_go(make_world, reference, results, manifest, lost):
    """A user whose results are gone for good could never finish the run."""
    world: World = make_world()
    Thief(world, results, manifest)
    assert isinstance(world.run().error, RunError)
    run = world.answer(**ACCEPT)
    assert run.logged(f"results=lost count={lost}")
    assert len(world.realtime_ids) == {"delete": 20, "cut": 5, "page": 20}[results]
    check_complete(run, reference)
    check_paid_once(run, twice=world.realtime_ids)
    check_paid_once(world.answer(), twice=world.realtime_ids)


def test_loss_after_the_first_reading_can_be_accepted_too(make_world, reference):
    """The finished run of last month could be written again only by paying for all of it."""
    world: World = make_world()
    world.answer()
    thief = Thief(world)
    failed = world.run()
    assert isinstance(failed.error, RunError)
    assert "than when they were first read" in str(failed.error)
    assert thief.kept
    run = world.answer(**ACCEPT)
    assert len(world.realtime_ids) == 20
    check_complete(run, reference)


def test_listing_that_is_no_listing_is_not_an_empty_one(make_world, reference):
    """A page of a proxy with HTTP 200 would be read as a job without results, and all be paid again."""
    world: World = make_world()
    broken = [True]

    def answer_by_a_page(call):
        is_hit = broken and call.operation == LISTING and call.when == "before" and world.local.jobs
        return CallFault(LISTING, body="<html><body>Sign in</body></html>") if is_hit else None

    world.local.on_call(answer_by_a_page)
    failed = world.run()
    assert isinstance(failed.error, RunError)
    assert "cannot be read" in str(failed.error)
    assert world.realtime_ids == set()
    broken.clear()
    run = world.answer()
    assert world.realtime_ids == set()
    check_complete(run, reference)
    check_paid_once(run)


def test_no_further_job_is_created_once_results_cannot_be_read(make_world):
    """With a policy that forbids reading, forty jobs would be paid before the user hears of it."""
    denied = CallFault(LISTING, code="AccessDenied", message="Access Denied")
    world: World = make_world(files={"train/a.csv": 60}, BEDROCK_MAX_CONCURRENT_BATCH_JOBS="1")
    broken = [True]
    world.local.on_call(
        lambda call: (
            denied if broken and call.operation == LISTING and call.when == "before" and world.local.jobs else None
        )
    )
    assert isinstance(world.run().error, RunError)
    assert len(world.local.jobs) < 3
    broken.clear()
    check_paid_once(world.answer())


@pytest.mark.parametrize("ends", ["PartiallyCompleted", "Stopped"])
def test_what_aws_did_not_process_is_no_loss(make_world, reference, ends):
    """A job that ran out of time would end the run, although nothing of it is gone."""
    world: World = make_world(small(jobs=(JobFault(name="-0000$", ends=ends, share=0.5),)))
    run = world.answer()
    assert len(world.realtime_ids) == 10
    check_complete(run, reference)
    check_paid_once(run)


def ledger_states(world: World) -> list[str]:
    client = world.local.client("s3")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="input/")
    (key,) = [item["Key"] for page in pages for item in page["Contents"] if item["Key"].endswith("/ledger.json")]
    document = json.loads(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    return [job["state"] for job in document["jobs"]]
