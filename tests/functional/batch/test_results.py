"""Unexpected result lines: which row they affect, and what the user is told."""

from __future__ import annotations

from importlib import metadata

import pytest

from helpers.batch_runs import ids_in, jobs_in_order, sent_ids, small
from helpers.run_checks import check_complete, check_paid_once
from local_bedrock import AnswerFaults, JobFault, RecordFaults


def rows_with(world, outcome):
    """The ids of all rows whose record had an outcome in its job."""
    return {row_id for job in world.local.jobs for row_id in ids_in(world, job, outcome)}


def counted(run, name):
    """What all jobs of the summary together count under a name."""
    return sum(job["results"][name] for job in run.jobs)


def test_shuffled_results_return_to_their_rows(make_world, reference):
    """A join by position would give every row another row's answer."""
    world = make_world()
    run = world.answer()
    job = jobs_in_order(world)[0]
    assert list(job.fates) != sent_ids(world, job), "the local Bedrock did shuffle"
    check_complete(run, reference)
    assert [row["llm_source"] for row in run.all_rows] == ["batch"] * 60


@pytest.mark.parametrize(
    ("outcome", "count", "cause", "paid_twice"),
    [
        ("missing", "missing", "missing", False),
        ("not_json", "unreadable", "unreadable", True),
        ("unknown_id", "unknown", "missing", True),
    ],
)
def test_row_whose_line_is_lost_is_asked_again_alone(make_world, reference, outcome, count, cause, paid_twice):
    """One broken line would cost the job, or its row would be without an answer and without a word."""
    world = make_world(small(records=RecordFaults(**{outcome: 0.15})))
    run = world.answer()
    rows = rows_with(world, outcome)
    assert 3 < len(rows) < 20
    assert counted(run, count) == len(rows)
    assert run.salvaged == {cause: len(rows)}
    assert world.realtime_ids == rows
    check_complete(run, reference)
    check_paid_once(run, twice=rows if paid_twice else ())


def test_line_with_bytes_that_are_no_utf8_costs_only_its_row(make_world, reference):
    """A decoding error would end the reading of a file of 45,000 paid answers."""
    world = make_world(small(records=RecordFaults(invalid_utf8=0.15)))
    run = world.answer()
    rows = rows_with(world, "invalid_utf8")
    assert world.realtime_ids == rows
    assert counted(run, "unreadable") == len(rows) > 3
    check_complete(run, reference)
    check_paid_once(run, twice=rows)


def test_echo_that_cannot_be_compared_is_counted_and_its_answer_kept(make_world, reference):
    """A change of AWS's echo would make every answer suspect and buy all of them again, at full price."""
    world = make_world(small(records=RecordFaults(wrong_echo=0.15)))
    run = world.answer()
    assert counted(run, "unverified") == len(rows_with(world, "wrong_echo")) > 3
    assert run.logged("unverified=")
    assert world.realtime_ids == set()
    check_complete(run, reference)
    check_paid_once(run)


def test_repeated_result_counts_once(make_world, reference):
    """A repeated line would become a second row, or move every row behind it."""
    world = make_world(small(records=RecordFaults(repeated=0.2)))
    run = world.answer()
    assert counted(run, "repeated") == len(rows_with(world, "repeated")) > 3
    assert world.realtime_ids == set()
    check_complete(run, reference)
    check_paid_once(run)


def test_unknown_result_becomes_no_row(make_world, reference):
    """A result of somebody else's record would become a row of this table."""
    world = make_world(small(records=RecordFaults(unknown_id=0.1)))
    run = world.answer()
    assert len(run.all_rows) == 60
    assert run.logged("unknown=")
    check_complete(run, reference)


def test_all_kinds_of_broken_lines_together_lose_no_row(make_world, reference):
    """What is right for each fault alone must be right for all of them in one file."""
    faults = RecordFaults(throttled=0.05, missing=0.05, repeated=0.1, unknown_id=0.05, not_json=0.05, invalid_utf8=0.05)
    world = make_world(small(records=faults, jobs=(JobFault(output_parts=3),)))
    run = world.answer()
    broken = rows_with(world, "not_json") | rows_with(world, "invalid_utf8") | rows_with(world, "unknown_id")
    check_complete(run, reference)
    check_paid_once(run, twice=broken)


def test_raw_line_separators_inside_answers_do_not_break_records(make_world):
    """U+2028 inside an answer would split its line in two for a reader of text lines: both halves would be lost."""
    world = make_world(small(answers=AnswerFaults(line_separator=1.0)))
    run = world.answer()
    assert counted(run, "lines") == 60
    assert counted(run, "unreadable") == 0
    assert any("\u2028" in (row["llm_reason"] or "") for row in run.all_rows)
    assert world.realtime_ids == set()
    check_paid_once(run)


@pytest.mark.parametrize("fault", ["truncated", "refused", "not_json", "invalid"])
def test_answer_that_cannot_be_used_is_paid_once_and_kept(make_world, fault):
    """An answer that came but does not validate would be bought again without being asked for, or be lost."""
    if fault == "not_json" and tuple(map(int, metadata.version("json_repair").split(".")[:2])) < (0, 60):
        pytest.skip("an old json_repair reads an object out of the prose that this answer is")
    world = make_world(small(answers=AnswerFaults(**{fault: 0.3})))
    run = world.answer()
    bad = [row for row in run.all_rows if row["llm_parse_status"] != "success"]
    assert len(bad) > 5
    assert all(row["llm_status"] == "success" and row["llm_validation_error"] for row in bad)
    assert world.realtime_ids == set()
    check_paid_once(run)
