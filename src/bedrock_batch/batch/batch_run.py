"""A batch run: its records are sent in jobs, and asked in another way if a job leaves them without an answer."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from shutil import rmtree

from bedrock_batch.answers.blocks import AnswerBlock
from bedrock_batch.answers.collector import AnswerCollector
from bedrock_batch.batch.canary import Canary
from bedrock_batch.batch.job_blocks import job_block, last_block, not_batchable
from bedrock_batch.batch.job_files.files import EarlierSplit, JobFile, read_records, write_job_files
from bedrock_batch.batch.job_files.plan import job_limits
from bedrock_batch.batch.job_methods import JobMethods
from bedrock_batch.batch.jobs.background import BackgroundIterator
from bedrock_batch.batch.jobs.budget import JobBudget
from bedrock_batch.batch.jobs.job import Job
from bedrock_batch.batch.jobs.losses import find_loss
from bedrock_batch.batch.jobs.runner import JobRunner
from bedrock_batch.batch.jobs.submission import all_ended, note_end, submitted
from bedrock_batch.batch.mode import model_obstacles
from bedrock_batch.batch.other_runs.job_questions import keep_questions
from bedrock_batch.batch.results.reader import JobResults, SentRecords, read_results
from bedrock_batch.batch.run_log import RunLog, count_words
from bedrock_batch.environment.private_files import FOLDER_MODE
from bedrock_batch.errors import RunError
from bedrock_batch.ledger.document import JobEntry
from bedrock_batch.ledger.identity import run_id_of
from bedrock_batch.ledger.run import Run
from bedrock_batch.models.model_input import ModelInput
from bedrock_batch.realtime.run_rows import claim_run
from bedrock_batch.records import Record, RecordError, RecordOutput
from bedrock_batch.text import digest, shorten

Outputs = dict[int, RecordOutput]
"""Outputs by row number."""


class BatchRun:
    """Sends the records of one run in jobs.

    If AWS refuses the model, or one field of all records of a job, their records are sent again: to the fallback model,
    or by another output mode. Such a nested run has its own ledger, so that an interrupt loses nothing of it.
    """

    def __init__(self, processor: JobMethods, run: Run, log: RunLog, canary: Canary | None = None) -> None:
        self._processor = processor
        self._settings = processor.settings
        self._context = processor.context
        self._run = run
        self._log = log
        # Fewer than the rows if equal prompts share a record, which is certain once all are rendered.
        self._records = run.count
        self._counts_first = not self._settings.batch_wait and self._settings.max_cost_usd is not None
        self._canary = canary or Canary()
        _ = processor.realtime  # made here, since the thread of the jobs asks for its rate

    def blocks(self, records: Iterable[Record]) -> Iterator[AnswerBlock]:
        """Yield the outputs of all records, a block for each job, in the order in which jobs end.

        A run that does not wait yields those of the jobs that have ended, and raises RunSubmitted if others are left.
        RunError, after all results are read, if results are lost, or if records have no answer and the settings forbid
        that.
        """
        unanswered: list[RecordError] = [*self._canary.errors]
        others, stop = (record for record in records if record.number not in self._canary.records), 0
        for job, outputs, answers in self._run_jobs(others, self._processor.model_input, self._run):
            block = job_block(job, outputs, answers, self._canary)
            unanswered += (output for output in block.outputs if isinstance(output, RecordError))
            stop = max(stop, block.stop)
            yield block
        if not self._log.left and self._canary.within(stop, self._run.count):
            rest = self._processor.job_answers(self._run.folder / "answers-canary")
            yield last_block(stop, self._run.count, rest, self._canary)
        self._end_over_losses()
        if self._log.left:
            raise submitted(self._run, self._records, self._log.left, self._processor.spending.stopped)
        if unanswered and self._settings.batch_fallback == "fail":
            raise RunError(
                f"{len(unanswered)} of {self._run.count} records have no answer and BEDROCK_BATCH_FALLBACK=fail; the "
                "answers of the others stay in the jobs' output folders "
                f"({count_words(error.kind for error in unanswered)}; the first: "
                f"{shorten(unanswered[0].message, 300)})"
            )

    def _run_jobs(
        self, records: Iterable[Record], asked: ModelInput, run: Run, splits: Sequence[EarlierSplit] = ()
    ) -> Iterator[tuple[Job, Outputs, AnswerCollector]]:
        """Send records in jobs; yield each job that is done, the outputs of its unanswered rows, and its answers.

        Jobs end at `splits`; by default at those of an earlier start, and then by the limits. The records of jobs whose
        model AWS refuses go to the fallback model if it has batch inference.
        """
        ends: list[int] = []
        budget = JobBudget(self._processor.spending, self._context.log, reads_first=self._counts_first)
        jobs = self._begin_jobs(records, asked, run, splits, budget, ends)
        refused: list[Job] = []
        left = len(self._log.left)
        for job in jobs:
            if job.left:
                self._log.add_left(job, self._context.log)
                job.remove_files()
                continue
            if job.refused_model and self._may_ask_fallback(asked):
                refused.append(job)
                continue
            folder = run.folder / f"answers-{job.file.index:05d}"
            answers = self._processor.job_answers(folder)
            outputs = self._outputs(job, asked, run, answers)
            if outputs is not None:
                yield job, outputs, answers
            if job.state is not None:
                budget.note_read()
            job.remove_files()
            rmtree(folder)
        self._records = ends[0] if ends and run is self._run else self._records
        fallback = self._processor.fallback_model
        # The nested run numbers its jobs by the refused ones, so it begins when it is certain which those are.
        if refused and fallback is not None and len(self._log.left) == left:
            yield from self._send_to_fallback(refused, fallback.current, run)

    def _begin_jobs(
        self,
        records: Iterable[Record],
        asked: ModelInput,
        run: Run,
        splits: Sequence[EarlierSplit],
        budget: JobBudget,
        ends: list[int],
    ) -> BackgroundIterator[Job]:
        """Run jobs in the background and return those that are done; see `note_end` for `ends`."""
        settings = self._settings
        # A nested run asks the records of single jobs again, and these have a slot each.
        limits = job_limits(settings, run.count if run is self._run else None)
        splits = splits or [EarlierSplit(entry.stop, entry.max_bytes) for entry in run.ledger.jobs]
        files = note_end(write_job_files(records, asked, limits, run.folder, splits), ends)
        # Without the answers of the collected jobs, their cost would not count towards a limit.
        skips = not (settings.batch_wait or self._counts_first or all_ended(run))
        recorder = self._processor.recorder
        keep = partial(keep_questions, asked=asked, recorder=recorder, ledger=run.ledger, context=self._context)
        begin = partial(JobRunner, settings, self._context, asked, run, per_second=self._processor.per_second)
        return BackgroundIterator(lambda stop: begin(stop, budget, keep, skip_collected=skips).run(files), "jobs")

    def _may_ask_fallback(self, asked: ModelInput) -> bool:
        """Return whether the fallback model can take the jobs of a model that was refused."""
        model = self._processor.fallback_model
        if model is None or model.current.model_id == asked.model_id:
            return False
        return not model_obstacles(model, self._context.clients.bedrock)

    @contextmanager
    def _nested_run(
        self, parts: Mapping[str, str], count: int, folder_name: str, run: Run, asked: ModelInput
    ) -> Iterator[Run]:
        """Hold a nested run with its own ledger and folder, and finish it at the end of the block if no job is left."""
        left = len(self._log.left)
        folder = run.folder / folder_name
        folder.mkdir(FOLDER_MODE)
        parts = {"within": run.ledger.run_id, **parts}
        with claim_run(self._processor, parts, run_id_of(parts), count, folder, run.options) as nested:
            if (recorder := self._processor.recorder) is not None and not nested.ledger.finished:
                recorder.open(nested.ledger.absolute_location, asked.frame, nested.ledger.run_id)
                nested.ledger.journal.label = recorder.label
            yield nested
            self._end_over_losses()
            if len(self._log.left) == left:
                nested.ledger.finish()

    def _send_to_fallback(
        self, refused: list[Job], asked: ModelInput, run: Run
    ) -> Iterator[tuple[Job, Outputs, AnswerCollector]]:
        """Send the records of refused jobs to another model, in jobs that end at the same rows."""
        refused.sort(key=lambda job: job.file.start)
        count = sum(len(job.file.numbers) for job in refused)
        self._context.log.warning(
            "batch=fallback model=%s takes %d jobs with %d records: %s",
            asked.model_id,
            len(refused),
            count,
            shorten(refused[0].problem or "", 300),
        )
        records = (record for job in refused for record in read_records(job.file, set(job.file.numbers)))
        beginnings = [job.file.numbers[0] for job in refused[1:]]
        splits = [EarlierSplit(number, None) for number in beginnings] + [EarlierSplit(refused[-1].file.stop, None)]
        name = digest(json.dumps([asked.model_id, asked.head, asked.tail]), 32)
        parts = {"fallback": asked.model_id, "parameters": name}
        with self._nested_run(parts, count, f"fallback-{name[:8]}", run, asked) as nested:
            for job, outputs, answers in self._run_jobs(records, asked, nested, splits):
                earlier = refused[job.file.index]
                self._log.add_job(earlier, None, self._context.log)
                oversized: Outputs = not_batchable(earlier.file)
                self._ask_in_real_time(earlier.file, oversized, run)
                earlier.ended_earlier = job.ended_earlier
                yield earlier, {**outputs, **oversized}, answers
                earlier.remove_files()

    def _outputs(self, job: Job, asked: ModelInput, run: Run, answers: AnswerCollector) -> Outputs | None:
        """Read the answers of a job into `answers` and return the outputs of all its other rows.

        Records without an answer are asked again as the settings say, by another output mode or in real time. None if
        a later start collects these answers.
        """
        job_file, left = job.file, len(self._log.left)
        results = self._read_results(job, asked, answers)
        errors = results.errors
        self._processor.spending.release(len(errors) if job.state else 0)
        if job.problem:
            errors = {number: replace(error, message=job.problem) for number, error in errors.items()}
        self._log.add_job(job, results, self._context.log)
        outputs: Outputs = {**errors}
        if self._is_lost(job, run.ledger.job(job_file.index), results):
            return outputs | not_batchable(job_file)
        if not answers and (downgraded := self._downgrade(asked, errors.values())):
            outputs = self._send_again(job_file, downgraded, run, answers)
            if len(self._log.left) > left:
                return None
        outputs |= not_batchable(job_file)
        self._ask_in_real_time(job_file, outputs, run)
        if job.state is not None:
            run.ledger.change_job(job_file.index, state="collected", results=asdict(results.counts))
        return outputs

    def _read_results(self, job: Job, asked: ModelInput, answers: AnswerCollector) -> JobResults:
        checks = dict(zip(job.file.numbers, job.file.checks, strict=True))
        sent = SentRecords(checks, asked.model_id, asked.prefilled, asked.frame)
        reason = job.state.message if job.state else ""
        return read_results(job.result_paths, sent, answers, unanswered=job.unanswered, reason=reason)

    def _downgrade(self, asked: ModelInput, errors: Collection[RecordError]) -> ModelInput | None:
        """Return the model input of the next output mode if one of these errors refuses a field, else None.

        Records may also have failed for other reasons, so each distinct message is tried.
        """
        models = (self._processor.primary_model, self._processor.fallback_model)
        model = next((each for each in models if each and each.current.model_id == asked.model_id), None)
        if model is None:
            return None
        refusals = dict.fromkeys(error.message for error in errors if not error.retryable)
        return next((lower for text in refusals if (lower := model.downgrade(asked, text))), None)

    def _send_again(self, job_file: JobFile, asked: ModelInput, run: Run, answers: AnswerCollector) -> Outputs:
        """Send the records of a job by another output mode: see `_outputs`."""
        self._context.log.warning("batch=again records=%d output_mode=%s", len(job_file.numbers), asked.output_mode)
        body = digest(json.dumps([asked.head, asked.tail]), 32)
        parts = {"job": str(job_file.index), "parameters": body}
        outputs: Outputs = {}
        records = read_records(job_file, job_file.numbers)
        folder = f"again-{job_file.index}-{body[:8]}"
        with self._nested_run(parts, len(job_file.numbers), folder, run, asked) as nested:
            for _, others, answered in self._run_jobs(records, asked, nested):
                outputs.update(others)
                answers.extend(answered)
        return outputs

    def _is_lost(self, job: Job, entry: JobEntry | None, results: JobResults) -> bool:
        """Log lost results of a job; return True if the run must end for them, once all other results are read."""
        loss = find_loss(job, entry, results.counts)
        if loss is None:
            return False
        self._context.log.warning("job=%s results=lost count=%d: %s", job.name, *loss)
        if self._settings.batch_accept_lost_results:
            return False
        self._log.losses.append(loss[1])
        return True

    def _end_over_losses(self) -> None:
        """Raise RunError if results are lost; call it after the results of all jobs are read."""
        losses = self._log.losses
        if losses:
            others = f" ({len(losses)} jobs in all; the log names each)" if len(losses) > 1 else ""
            raise RunError(f"{losses[0]}{others}")

    def _ask_in_real_time(self, job_file: JobFile, outputs: Outputs, run: Run) -> None:
        """Ask in real time for the records without an answer, except those whose errors are permanent."""
        processor = self._processor
        causes = {n: o.kind for n, o in outputs.items() if isinstance(o, RecordError) and o.retryable}
        if self._settings.batch_fallback != "realtime" or not causes or processor.spending.refusal():
            return
        new = {n: kind for n, kind in causes.items() if not run.ledger.journal.knows(n, "salvage")}
        if new:
            self._context.log.warning(
                "realtime=%d records that batch did not answer: %s", len(new), count_words(new.values())
            )
        asked = processor.realtime.ask_each(read_records(job_file, causes), run.ledger.journal, "salvage")
        for output in processor.spending.count_ahead(asked):
            outputs[output.number] = replace(output, salvaged_from=causes[output.number])
