"""The blocks of a batch run: one for each job, with the records of the canary among and behind those of its file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from bedrock_batch.answers.blocks import AnswerBlock
from bedrock_batch.answers.collector import AnswerCollector
from bedrock_batch.batch.canary import Canary
from bedrock_batch.batch.job_files.files import JobFile, read_records
from bedrock_batch.batch.jobs.job import Job
from bedrock_batch.records import Record, RecordError, RecordOutput


def job_block(job: Job, outputs: Mapping[int, RecordOutput], answers: AnswerCollector, canary: Canary) -> AnswerBlock:
    """Return the block of a job: `outputs` are those of its unanswered records, `answers` hold the others."""
    job_file, others = job.file, [outputs[number] for number in sorted(outputs)]
    earlier = job_file.stop - job_file.start if job.ended_earlier else 0
    answers.replaceable.update(canary.within(job_file.start, job_file.stop))

    def records(numbers: Collection[int]) -> Iterator[Record]:
        yield from canary.find_records(numbers)
        yield from read_records(job_file, numbers)

    return AnswerBlock(job_file.start, job_file.stop, others, records, answers, earlier)


def last_block(start: int, stop: int, answers: AnswerCollector, canary: Canary) -> AnswerBlock:
    """Return the block of the canary's records from `start` on, behind those of the last job."""
    rest = canary.within(start, stop)
    answers.replaceable.update(rest)
    return AnswerBlock(start, max(rest) + 1, [], canary.find_records, answers)


def not_batchable(job_file: JobFile) -> dict[int, RecordOutput]:
    """Return the errors of the records that no batch job can hold."""
    message = "no batch job can hold this record"
    return {number: RecordError(number, "not_batchable", message, "batch") for number in job_file.set_aside}
