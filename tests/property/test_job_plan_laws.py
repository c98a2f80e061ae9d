"""Laws of job planning: each record is in one job, each limit holds in the written bytes, and files match the plan."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import ceil
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bedrock_batch.batch.job_files.files import EarlierSplit, JobFile, read_records, write_job_files
from bedrock_batch.batch.job_files.plan import EvenSpread, JobLimits, JobPlan, expected_jobs, plan_jobs
from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.models.model_input import build_model_input
from bedrock_batch.records import Record

MODEL_INPUT = build_model_input(
    settings_from_mapping({"primary_model_id": "us.anthropic.claude-sonnet-4-20250514-v1:0"}),
    "us.anthropic.claude-sonnet-4-20250514-v1:0",
)
EMPTY_LINE = len(MODEL_INPUT.jsonl_line("R0000000000", ""))


@st.composite
def limits(draw: st.DrawFn, most_bytes: int = 400, least_bytes: int = 1) -> JobLimits:
    minimum = draw(st.integers(1, 8))
    # The records of a run are an upper bound if equal prompts share a record; a wrong number breaks no law either.
    spread = draw(st.none() | st.builds(EvenSpread, st.integers(0, 130), st.integers(1, 8)))
    return JobLimits(minimum, draw(st.integers(minimum, 24)), draw(st.integers(least_bytes, most_bytes)), spread)


sizes = st.lists(st.integers(1, 60), max_size=120)
# Prompts whose lines have more bytes than characters: escapes, paired and lone surrogates, line separators.
prompts = st.lists(st.text(st.characters(exclude_categories=()), max_size=40), max_size=60)


def lengths_of(plan: JobPlan) -> list[int]:
    return [len(job) for job in plan.jobs]


def bytes_of(positions: Sequence[int], all_sizes: Sequence[int]) -> int:
    return sum(all_sizes[position] for position in positions)


@given(sizes, limits())
def test_every_record_is_in_one_job_or_in_none_and_known(all_sizes: list[int], bound: JobLimits) -> None:
    """A record would be paid for twice, or never be asked."""
    plan = plan_jobs(all_sizes, bound)
    seen = sorted([*(position for job in plan.jobs for position in job), *plan.set_aside])
    assert seen == list(range(len(all_sizes)))


@given(sizes, limits())
def test_no_job_breaks_a_limit(all_sizes: list[int], bound: JobLimits) -> None:
    """AWS would fail a job that has one record too few, one too many or one byte too many, after its upload."""
    for job in plan_jobs(all_sizes, bound).jobs:
        assert bound.min_records <= len(job) <= bound.max_records
        assert bytes_of(job, all_sizes) <= bound.max_bytes


@given(sizes, limits())
def test_jobs_hold_their_records_in_order(all_sizes: list[int], bound: JobLimits) -> None:
    """Rows of overlapping jobs could not be written to the output block by block."""
    flat = [position for job in plan_jobs(all_sizes, bound).jobs for position in job]
    assert flat == sorted(flat)


@given(sizes, limits())
def test_a_record_is_left_out_only_for_a_reason(all_sizes: list[int], bound: JobLimits) -> None:
    """Records that a job could hold would be asked in real time, at twice the price."""
    plan = plan_jobs(all_sizes, bound)
    fitting = [position for position, size in enumerate(all_sizes) if size <= bound.max_bytes]
    left = [position for position in plan.set_aside if all_sizes[position] <= bound.max_bytes]
    # If only the record limits decide, the records set aside are a remainder below the minimum of a job.
    if bytes_of(fitting, all_sizes) <= bound.max_bytes and left:
        count = len(fitting)
        assert count < bound.min_records or count % bound.max_records < bound.min_records
        assert len(left) < bound.min_records


@given(st.integers(0, 400), limits())
def test_records_of_one_size_give_the_fewest_jobs_and_a_balanced_tail(count: int, bound: JobLimits) -> None:
    """A small last job would take a slot of the quota, or be below the minimum."""
    bound = JobLimits(bound.min_records, bound.max_records, 10**9)
    plan = plan_jobs([10] * count, bound)
    lengths = lengths_of(plan)
    answered = count - len(plan.set_aside)
    assert len(lengths) == -(-answered // bound.max_records)
    assert all(length == bound.max_records for length in lengths[:-2])
    if bound.max_records >= 2 * bound.min_records - 1 and count >= bound.min_records:
        assert not plan.set_aside


@given(st.integers(0, 400), limits(), st.integers(1, 30))
def test_an_even_spread_gives_equal_jobs_in_as_few_rounds_as_the_limits_allow(
    count: int, bound: JobLimits, slots: int
) -> None:
    """A run would wait for one long job while slots are free, or for jobs that get no slot."""
    full = replace(bound, max_bytes=10**9, spread=None)
    even = replace(full, spread=EvenSpread(count, slots))
    filled, plan = plan_jobs([10] * count, full), plan_jobs([10] * count, even)
    lengths = lengths_of(plan)
    assert len(plan.set_aside) <= len(filled.set_aside), "no record falls below the minimum that full jobs would hold"
    if plan.set_aside:
        return
    assert max(lengths, default=0) - min(lengths, default=0) <= 1
    rounds = max(1, ceil(count / (slots * bound.max_records)))
    assert len(lengths) == min(rounds * slots, count // bound.min_records)
    assert max(lengths, default=0) <= max(lengths_of(filled), default=0)
    assert len(lengths) == expected_jobs(count, 10 * count, even)


@given(sizes, limits(), st.integers(1, 8))
def test_an_even_spread_takes_more_jobs_than_slots_only_for_bytes(
    all_sizes: list[int], bound: JobLimits, slots: int
) -> None:
    """Rows would wait for a second round of jobs without need."""
    bound = replace(bound, spread=EvenSpread(len(all_sizes), slots))
    plan = plan_jobs(all_sizes, bound)
    if len(plan.jobs) <= slots or plan.set_aside or len(all_sizes) > slots * bound.max_records:
        return
    assert any(bytes_of(job + following, all_sizes) > bound.max_bytes for job, following in pairwise(plan.jobs))


@given(sizes, limits(), st.integers(0, 130), st.integers(1, 8))
def test_an_even_spread_sets_aside_no_more_if_the_rows_are_fewer_than_expected(
    all_sizes: list[int], bound: JobLimits, expected: int, slots: int
) -> None:
    """Equal prompts share a record, and the records that are left of a share would be asked at the double price."""
    full = replace(bound, max_bytes=10**9, spread=None)
    even = replace(full, spread=EvenSpread(max(expected, len(all_sizes)), slots))
    assert len(plan_jobs(all_sizes, even).set_aside) <= len(plan_jobs(all_sizes, full).set_aside)


def stage(prompts: Sequence[str], bound: JobLimits, folder: Path, cuts: Sequence[EarlierSplit] = ()) -> list[JobFile]:
    records = (Record(number, prompt) for number, prompt in enumerate(prompts))
    return list(write_job_files(records, MODEL_INPUT, bound, folder, cuts))


def as_plan(jobs: Sequence[JobFile]) -> JobPlan:
    left = sorted(number for job in jobs for number in job.set_aside)
    return JobPlan(tuple(tuple(job.numbers) for job in jobs if job.numbers), tuple(left))


@settings(max_examples=60)
@given(prompts, limits(most_bytes=EMPTY_LINE * 12, least_bytes=EMPTY_LINE))
def test_staging_writes_the_plan_byte_for_byte(texts: list[str], bound: JobLimits) -> None:
    """The sent jobs would differ from the planned jobs whose limits are tested."""
    lines = [MODEL_INPUT.jsonl_line(f"R{number:010d}", text) for number, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as name:
        jobs = stage(texts, bound, Path(name))
        assert as_plan(jobs) == plan_jobs([len(line) for line in lines], bound)
        for job in jobs:
            if job.numbers:
                assert job.path.read_bytes() == b"".join(lines[number] for number in job.numbers)
                assert job.size == job.path.stat().st_size <= bound.max_bytes


@settings(max_examples=60)
@given(prompts, limits(most_bytes=EMPTY_LINE * 12, least_bytes=EMPTY_LINE))
def test_staged_jobs_cover_the_rows_without_gap_and_give_each_record_back(texts: list[str], bound: JobLimits) -> None:
    """A row between two jobs would have no answer, or a record could not be read back to ask it again."""
    with tempfile.TemporaryDirectory() as name:
        jobs = stage(texts, bound, Path(name))
        reached = 0
        for job in jobs:
            assert job.start == reached < job.stop
            reached = job.stop
            numbers = range(job.start, job.stop)
            assert sorted([*job.numbers, *job.set_aside]) == list(numbers)
            assert {record.number: record.prompt for record in read_records(job, numbers)} == {
                number: texts[number] for number in numbers
            }
        assert reached == len(texts)


@settings(max_examples=40)
@given(prompts, limits(most_bytes=EMPTY_LINE * 12, least_bytes=EMPTY_LINE), limits(EMPTY_LINE * 12, EMPTY_LINE))
def test_a_second_start_cuts_the_same_jobs_under_other_limits(
    texts: list[str], before: JobLimits, now: JobLimits
) -> None:
    """A user who changes a limit between two starts would pay again for the records of begun jobs."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        begun = stage(texts, before, Path(first))
        cuts = [EarlierSplit(job.stop, job.max_bytes) for job in begun]
        again = stage(texts, now, Path(second), cuts)
        assert [(job.stop, job.content_digest) for job in again] == [(job.stop, job.content_digest) for job in begun]
        assert [sorted([*job.numbers, *job.set_aside]) for job in again] == [
            sorted([*job.numbers, *job.set_aside]) for job in begun
        ]
    with tempfile.TemporaryDirectory() as third:
        half = len(begun) // 2
        other = stage(texts, now, Path(third), cuts[:half])
        assert [job.content_digest for job in other][:half] == [job.content_digest for job in begun][:half]


@settings(max_examples=40)
@given(prompts, limits(most_bytes=EMPTY_LINE * 12, least_bytes=EMPTY_LINE), st.integers(1, 8), st.integers(0, 9))
def test_an_even_run_continues_after_any_job_as_it_was_begun(
    texts: list[str], bound: JobLimits, slots: int, kept: int
) -> None:
    """A run that is killed while it sends its jobs would end with more jobs than slots."""
    bound = replace(bound, spread=EvenSpread(len(texts), slots))
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        begun = stage(texts, bound, Path(first))
        again = stage(texts, bound, Path(second), [EarlierSplit(job.stop, job.max_bytes) for job in begun[:kept]])
        assert [(job.stop, job.content_digest) for job in again] == [(job.stop, job.content_digest) for job in begun]
