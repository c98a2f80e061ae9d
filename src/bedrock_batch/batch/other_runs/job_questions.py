"""Tells other runs which questions a job of this run asks, so that they wait for it instead of asking them, too."""

from __future__ import annotations

from bedrock_batch.answer_store.recorder import AnswerRecorder
from bedrock_batch.batch.job_files.files import JobFile
from bedrock_batch.environment.context import RunContext
from bedrock_batch.errors import RunError
from bedrock_batch.ledger.job_questions import JobQuestions
from bedrock_batch.ledger.ledger import Ledger
from bedrock_batch.models.model_input import ModelInput


def keep_questions(
    job_file: JobFile, *, asked: ModelInput, recorder: AnswerRecorder | None, ledger: Ledger, context: RunContext
) -> None:
    """Store the questions of a job beside the ledger, unless the run keeps no answers for others (`recorder`)."""
    if recorder is None:
        return
    numbers = job_file.numbers
    digests = recorder.questions_of(numbers)
    questions = JobQuestions.of(asked.frame, asked.model_id, asked.prefilled, numbers, job_file.checks, digests)
    try:
        ledger.keep_questions(job_file.index, job_file.content_digest, questions)
    except RunError as error:  # only other runs need it
        context.log.warning("job=%05d questions=not kept: %s", job_file.index, error)
