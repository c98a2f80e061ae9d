"""BedrockBatchProcessor: the same rows, prompts and columns, answered by model invocation jobs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from bedrock_batch.background import Background
from bedrock_batch.batch_steps import BatchSteps
from bedrock_batch.config import Settings
from bedrock_batch.context import RunContext
from bedrock_batch.decision import Decision, decide_mode
from bedrock_batch.errors import ConfigurationError, RunError
from bedrock_batch.jobs.job import Job
from bedrock_batch.jobs.runner import JobRunner
from bedrock_batch.jsonl import JobLimits
from bedrock_batch.ledger.document import JobEntry
from bedrock_batch.ledger.run import Run
from bedrock_batch.records import ModelInvocationOutput, ModelInvocationRecord, OutputBlock, RecordError, Source
from bedrock_batch.results import JobResults, SentRecords, read_results
from bedrock_batch.staging import StagedJob, read_records, stage_jobs

if TYPE_CHECKING:
    import pandas as pd

# The counts of a job's results that are worth a warning.
ODD_RESULTS = ("missing", "unknown", "repeated", "unreadable", "unverified")


class BedrockBatchProcessor(BatchSteps):
    """Asks a model for every row by batch inference where that is possible and worth it, else in real time.

    Records that batch did not answer are asked in real time, one by one, as `batch_fallback` says. `decision` and
    `jobs` tell what the last run chose and what its jobs did.
    """

    def __init__(self, config: Mapping[str, Any] | Settings, context: RunContext | None = None) -> None:
        super().__init__(config, context)
        self.decision: Decision | None = None
        self.jobs: list[dict[str, Any]] = []

    @property
    def batch_used(self) -> bool:
        """Whether the last run was answered by batch inference."""
        return self.decision is not None and self.decision.use_batch

    def should_use_batch_processing(self, df: pd.DataFrame) -> bool:
        """Whether batch inference would be used for the rows of a frame."""
        return decide_mode(self.settings, len(df)).use_batch

    def invoke_records(self, records: Iterable[ModelInvocationRecord], run: Run) -> Generator[OutputBlock, None, None]:
        """Yield the outputs of a run's records, a block for each job, in the order in which jobs end."""
        self.decision = self._decide(run)
        if not self.decision.use_batch:
            yield from super().invoke_records(records, run)
            return
        settings = self.settings
        limits = JobLimits(settings.min_records_per_job, settings.max_records_per_job, settings.max_job_file_bytes)
        earlier_stops = [entry.stop for entry in run.ledger.jobs]
        staged = stage_jobs(records, self.model_input, limits, run.folder, earlier_stops)
        unanswered = 0
        jobs = Background(
            lambda stop: JobRunner(settings, self.context, self.model_input, run, stop, self.spending).run(staged),
            "jobs",
        )
        for job in jobs:
            block = self._block(job, run)
            unanswered += sum(isinstance(output, RecordError) for output in block.outputs)
            yield block
            self.spending.release(len(job.staged.numbers) if job.state else 0)
            _remove_files(job)
        if unanswered and settings.batch_fallback == "fail":
            raise RunError(
                f"{unanswered} of {run.count} records have no answer and BEDROCK_BATCH_FALLBACK=fail; the answers of "
                "the others stay in the jobs' output folders"
            )

    def expected_source(self, count: int) -> Source:
        """Return how most of `count` records will be asked."""
        return "batch" if decide_mode(self.settings, count).use_batch else "realtime"

    def check_mode(self, count: int) -> None:
        """Raise ConfigurationError where batch is asked for, impossible for `count` rows, and must not be replaced."""
        decision = decide_mode(self.settings, count)
        if self.settings.batch_mode == "batch" and self.settings.batch_fallback == "fail" and not decision.use_batch:
            raise ConfigurationError(
                [f"BEDROCK_BATCH_MODE=batch is not possible: {reason}" for reason in decision.reasons]
            )

    def _decide(self, run: Run) -> Decision:
        """Return the mode of a run and say it, with the reasons, in the log; a run goes on in the mode it began in."""
        self.check_mode(run.count)
        decision = decide_mode(self.settings, run.count)
        if run.ledger.mode is not None:
            decision = Decision(run.ledger.mode == "batch", ("the run was begun so", *decision.reasons))
        run.ledger.set_mode("batch" if decision.use_batch else "realtime")
        refused = self.settings.batch_mode == "batch" and not decision.use_batch
        level, mode = logging.WARNING if refused else logging.INFO, "batch" if decision.use_batch else "realtime"
        self.context.log.log(level, "mode=%s because %s", mode, "; ".join(decision.reasons))
        return decision

    def _block(self, job: Job, run: Run) -> OutputBlock:
        """Return the outputs of all rows that a job stands for, those without an answer asked again as is set."""
        staged = job.staged
        sent = SentRecords(
            dict(zip(staged.numbers, staged.checks, strict=True)), self.model_input.model_id, self.model_input.prefilled
        )
        results = read_results(job.result_paths, sent, unanswered=job.unanswered)
        outputs = results.outputs
        if job.problem:
            outputs.update(
                {n: replace(o, message=job.problem) for n, o in outputs.items() if isinstance(o, RecordError)}
            )
        for number in staged.left_out:
            outputs[number] = RecordError(number, "not_batchable", "no batch job can hold this record", "batch")
        self._note(job, results)
        self._check_collected(run.ledger.job(staged.index), results)
        self._salvage(staged, outputs, run)
        if job.state is not None:
            run.ledger.change_job(staged.index, state="collected", results=asdict(results.counts))
        return OutputBlock(
            staged.start,
            [outputs[number] for number in range(staged.start, staged.stop)],
            lambda numbers: read_records(staged, numbers),
        )

    def _check_collected(self, entry: JobEntry | None, results: JobResults) -> None:
        """Raise RunError when results that were read before are gone: asking again would pay for them twice."""
        if entry is None or entry.state != "collected" or entry.results is None:
            return
        lost = results.counts.missing - entry.results.get("missing", 0)
        if lost > 0:
            raise RunError(
                f"job {entry.arn} has {lost} results less than when they were first read: restore its result files "
                f"under {entry.output_uri}, or set BEDROCK_BATCH_RESUME=false to begin a new run, which pays for all "
                "records again"
            )

    def _salvage(self, staged: StagedJob, outputs: dict[int, ModelInvocationOutput], run: Run) -> None:
        """Ask in real time for the records that batch did not answer, except where asking unchanged cannot help."""
        if self.settings.batch_fallback != "realtime":
            return
        causes = {n: o.kind for n, o in outputs.items() if isinstance(o, RecordError) and o.retryable}
        if not causes or self.spending.refusal():
            return
        self.context.log.warning(
            "realtime=%d records that batch did not answer: %s", len(causes), _counts(causes.values())
        )
        for output in self.realtime.ask_each(read_records(staged, causes), run.ledger.journal, "salvage"):
            outputs[output.number] = replace(output, salvaged_from=causes[output.number])

    def _note(self, job: Job, results: JobResults) -> None:
        """Keep what the summary tells about a job, and say what its results leave to be wished for."""
        counts, state, manifest = results.counts, job.state, job.manifest
        entry: dict[str, Any] = {
            "name": job.name,
            "arn": job.arn,
            "status": state.status if state else "NotCreated",
            "message": (state.message if state else job.problem) or None,
            "records": len(job.staged.numbers),
            "left_out": len(job.staged.left_out),
            "bytes": job.staged.size,
            "submit_time": state.submit_time.isoformat() if state and state.submit_time else None,
            "end_time": state.end_time.isoformat() if state and state.end_time else None,
            "results": asdict(counts),
            "manifest": manifest.model_dump(exclude_none=True) if manifest else None,
        }
        self.jobs.append(entry)
        odd = {name: getattr(counts, name) for name in ODD_RESULTS}
        if any(odd.values()):
            self.context.log.warning("job=%s results: %s", job.name, _counts(Counter(odd).elements()))
        if manifest and manifest.processed_record_count not in (None, counts.lines - counts.repeated - counts.unknown):
            self.context.log.warning(
                "job=%s manifest=%s processed records, but its result files hold %d lines",
                job.name,
                manifest.processed_record_count,
                counts.lines,
            )


def _counts(words: Iterable[str]) -> str:
    return ", ".join(f"{word}={count}" for word, count in Counter(words).most_common())


def _remove_files(job: Job) -> None:
    for path in [*job.result_paths, job.staged.path, *job.staged.aside]:
        path.unlink(missing_ok=True)
