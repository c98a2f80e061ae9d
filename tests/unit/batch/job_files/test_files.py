"""Job files on disk: what they hold while records come, and what is read back from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bedrock_batch.batch.job_files.files import JobFile, read_records, write_job_files
from bedrock_batch.batch.job_files.plan import JobLimits
from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.models.model_input import ModelInput, build_model_input
from bedrock_batch.records import Record, prompt_check

CLAUDE = "us.anthropic.claude-sonnet-4-20250514-v1:0"
NOVA = "us.amazon.nova-lite-v1:0"
LIMITS = JobLimits(2, 4, 10**6)


def model_input(model: str = CLAUDE) -> ModelInput:
    return build_model_input(settings_from_mapping({"primary_model_id": model}), model)


def records(*prompts: str) -> Iterator[Record]:
    return (Record(number, prompt) for number, prompt in enumerate(prompts))


def stage(folder: Path, *prompts: str, limits: JobLimits = LIMITS) -> list[JobFile]:
    return list(write_job_files(records(*prompts), model_input(), limits, folder))


def test_each_line_is_a_record_with_the_body_of_the_real_time_request(tmp_path: Path) -> None:
    """Batch and real time would ask different questions."""
    (job,) = stage(tmp_path, "a", "b \u2028 c", 'quote " and \\')
    lines = [json.loads(line) for line in job.path.read_bytes().split(b"\n")[:-1]]
    assert [line["recordId"] for line in lines] == ["R0000000000", "R0000000001", "R0000000002"]
    assert [line["modelInput"] for line in lines] == [
        model_input().body(prompt) for prompt in ("a", "b \u2028 c", 'quote " and \\')
    ]
    assert job.path.read_bytes().isascii()


def test_only_finished_jobs_are_left_in_the_folder(tmp_path: Path) -> None:
    """The file that was opened for a job which never came would be uploaded by somebody, or fill the disk."""
    jobs = stage(tmp_path, *"abcdefghi")
    assert sorted(tmp_path.iterdir()) == sorted(job.path for job in jobs)
    assert [len(job.numbers) for job in jobs] == [4, 3, 2]


def test_a_source_that_is_left_early_leaves_no_open_file(tmp_path: Path) -> None:
    """A run that is stopped would leave a second error behind the first."""
    job_files = write_job_files(records(*"abcdefghij"), model_input(), LIMITS, tmp_path)
    first = next(job_files)
    job_files.close()  # type: ignore[attr-defined]  # it is a generator
    assert sorted(tmp_path.iterdir()) == [first.path]


def test_no_rows_are_no_jobs(tmp_path: Path) -> None:
    """An empty split would be an empty file, which AWS refuses."""
    assert stage(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_is_too_large_lies_aside_and_can_be_asked(tmp_path: Path) -> None:
    """The largest row would lose its job or itself."""
    huge = "x" * 2000
    limits = JobLimits(2, 4, 1500)
    (job,) = stage(tmp_path, "a", huge, "b", limits=limits)
    assert (list(job.numbers), list(job.set_aside)) == ([0, 2], [1])
    assert huge.encode() not in job.path.read_bytes()
    assert [record.prompt for record in read_records(job, [1])] == [huge]
    assert [record.number for record in read_records(job, [0, 1, 2])] == [1, 0, 2]


def test_too_few_records_are_set_aside_and_can_be_asked(tmp_path: Path) -> None:
    """A rest below the minimum would be sent all the same, or be forgotten."""
    (job,) = stage(tmp_path, "only one")
    assert (list(job.numbers), list(job.set_aside), job.size) == ([], [0], 0)
    assert [record.prompt for record in read_records(job, [0])] == ["only one"]


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
def test_prompts_come_back_as_they_were(tmp_path: Path, model: str) -> None:
    """A record that is asked again would be asked another question."""
    texts = ["plain", "a\u2028b\x85c", 'quo"te \\ back', "\ud800 alone", "\U0001f600", '{"recordId":"R0000000009"}']
    (job,) = write_job_files(records(*texts), model_input(model), JobLimits(2, 9, 10**6), tmp_path)
    assert [record.prompt for record in read_records(job, range(6))] == texts
    assert [prompt_check(text) for text in texts] == list(job.checks)


def test_the_digest_is_that_of_the_content_alone(tmp_path: Path) -> None:
    """A second start would not recognise its own job, or would take another one for it."""
    folders = [tmp_path / name for name in "xyz"]
    for folder in folders:
        folder.mkdir()
    first, same, other = (
        stage(folder, *texts)[0] for folder, texts in zip(folders, ("abc", "abc", "abd"), strict=True)
    )
    assert first.content_digest == same.content_digest != other.content_digest


def test_jobs_come_while_records_are_still_read(tmp_path: Path) -> None:
    """The upload of the first job would wait until the last record is rendered."""
    read: list[int] = []

    def slow() -> Iterator[Record]:
        for record in records(*"abcdefghijklmnopqrst"):
            read.append(record.number)
            yield record

    job_files = write_job_files(slow(), model_input(), LIMITS, tmp_path)
    next(job_files)
    assert len(read) == LIMITS.max_records + LIMITS.min_records
