"""The plan of jobs in examples that the property tests do not show, and the lines of result files."""

from __future__ import annotations

from array import array

import pytest

from bedrock_batch.batch.job_files.plan import JobLimits, next_job, plan_jobs
from bedrock_batch.batch.results.lines import OutputLine, parse_output_line


def lengths(count: int, limits: JobLimits) -> list[int]:
    return [len(job) for job in plan_jobs([10] * count, limits).jobs]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, []),
        (99, []),
        (100, [100]),
        (500, [500]),
        (501, [251, 250]),
        (550, [275, 275]),
        (599, [300, 299]),
        (600, [500, 100]),
        (1000, [500, 500]),
        (1001, [500, 251, 250]),
        (50_050, [500] * 99 + [275, 275]),
    ],
    ids=str,
)
def test_a_tail_below_the_minimum_is_balanced(count: int, expected: list[int]) -> None:
    """The last rows of a run would be too few for a job, or push the job before them over its limit."""
    assert lengths(count, JobLimits(100, 500, 10**9)) == expected


def test_aws_own_limits_do_not_give_a_job_of_fifty() -> None:
    """50,050 records would become 50,000 and 50, which AWS refuses after the upload."""
    assert lengths(50_050, JobLimits(100, 50_000, 10**9)) == [25_025, 25_025]


@pytest.mark.parametrize(
    ("sizes", "limits", "jobs", "left"),
    [
        ([5, 11, 5], JobLimits(1, 10, 10), ((0, 2),), (1,)),
        ([10, 10], JobLimits(1, 10, 10), ((0,), (1,)), ()),
        ([6, 6], JobLimits(2, 10, 10), (), (0, 1)),
        ([4, 4, 4, 4], JobLimits(2, 3, 10), ((0, 1), (2, 3)), ()),
        ([1] * 160, JobLimits(100, 150, 10**9), (tuple(range(150)),), tuple(range(150, 160))),
    ],
    ids=["one record too large", "exactly full", "no two fit", "balanced by bytes", "no two jobs reach the minimum"],
)
def test_bytes_and_records_decide_together(
    sizes: list[int], limits: JobLimits, jobs: tuple[tuple[int, ...], ...], left: tuple[int, ...]
) -> None:
    """A job over one limit while it keeps the other is refused all the same."""
    plan = plan_jobs(sizes, limits)
    assert (plan.jobs, plan.set_aside) == (jobs, left)


def test_a_job_is_cut_only_when_the_rest_can_be_a_job_too() -> None:
    """A job that is sent too early would leave a tail below the minimum, which nothing can balance any more."""
    limits = JobLimits(3, 5, 10**9)
    cuts = [next_job(array("q", [1] * count), limits, final=False) for count in range(9)]
    assert cuts == [0, 0, 0, 0, 0, 0, 0, 0, 5]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"recordId":"R0000000007","modelOutput":{"a":1}}\n', OutputLine(7, {"a": 1})),
        (b'{"recordId":"R0000000007","error":{"errorCode":400}}', OutputLine(7, None, {"errorCode": 400})),
        (b' {"modelOutput": {}, "recordId": "R0000000000"} \r\n', OutputLine(0, {})),
        (b'{"recordId":"somebody","modelOutput":{}}', OutputLine(None, {})),
        (b'{"recordId":"R00000000071","modelOutput":{}}', OutputLine(None, {})),
        (b'{"recordId":"R\\u0660000000000","modelOutput":{}}', OutputLine(None, {})),
        (b'{"recordId":"R0000000001","modelOutput":"text"}', OutputLine(1)),
        (b'{"recordId":"R0000000001","modelOutput":null,"error":null,"modelInput":[]}', OutputLine(1)),
        (b'{"recordId":"R0000000001","modelOutput":{"a":"\\ud800"}}', OutputLine(1, {"a": "\ud800"})),
        ('{"recordId":"R0000000001","modelOutput":{"a":"b\u2028c"}}'.encode(), OutputLine(1, {"a": "b\u2028c"})),
        (b'{"recordId":7,"modelOutput":{}}', None),
        (b'{"modelOutput":{}}', None),
        (b'[{"recordId":"R0000000001"}]', None),
        (b"null", None),
        (b'"R0000000001"', None),
        (b'{"recordId":"R0000000001","modelOutput":{"a":', None),
        (b'{"recordId":"R0000000001","modelOutput":{"a":"\xff"}}', None),
        (b"[" * 100_000, None),
        (b'{"recordId":"R0000000001","modelOutput":' + b'{"a":' * 5000 + b"1" + b"}" * 5001, None),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else "",
)
def test_a_line_is_read_or_refused_and_never_raises(line: bytes, expected: OutputLine | None) -> None:
    """One strange line would end the reading of a file of paid answers."""
    assert parse_output_line(line) == expected
