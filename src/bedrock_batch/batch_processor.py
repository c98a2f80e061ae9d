"""BedrockBatchProcessor: the same rows, prompts and columns, answered by model invocation jobs."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from shutil import rmtree
from typing import TYPE_CHECKING, Any

from bedrock_batch.aws.clients import sdk_version, supports
from bedrock_batch.background import Background
from bedrock_batch.batch_steps import BatchSteps
from bedrock_batch.config import Settings
from bedrock_batch.context import RunContext
from bedrock_batch.decision import Decision, decide_mode
from bedrock_batch.errors import ConfigurationError, RunError
from bedrock_batch.job_answers import JobAnswers
from bedrock_batch.jobs.job import Job
from bedrock_batch.jobs.runner import JobRunner
from bedrock_batch.jsonl import JobLimits
from bedrock_batch.ledger.document import JobEntry
from bedrock_batch.ledger.identity import run_id_of
from bedrock_batch.ledger.run import Run
from bedrock_batch.model_input import ModelInput
from bedrock_batch.output_blocks import OutputBlock
from bedrock_batch.records import ModelInvocationOutput, ModelInvocationRecord, RecordError, Source
from bedrock_batch.results import JobResults, SentRecords, read_results
from bedrock_batch.staging import EarlierCut, StagedJob, read_records, stage_jobs
from bedrock_batch.text import digest, shorten

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
        self._told = RunStory()  # copies of this processor share it

    @property
    def decision(self) -> Decision | None:
        """The mode of the last run with its reasons, None before the first."""
        return self._told.decision

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The jobs of the last run, as the summary tells them."""
        return self._told.jobs

    @property
    def batch_used(self) -> bool:
        """Whether the last run had a job that the service took."""
        return self.decision is not None and self.decision.use_batch and any(job["arn"] for job in self.jobs)

    def should_use_batch_processing(self, df: pd.DataFrame) -> bool:
        """Whether batch inference would be used for the rows of a frame."""
        return self._decide_for(len(df)).use_batch

    def invoke_records(self, records: Iterable[ModelInvocationRecord], run: Run) -> Generator[OutputBlock, None, None]:
        """Yield the outputs of a run's records, a block for each job, in the order in which jobs end."""
        self._told.jobs = []
        self._told.decision = self._decide(run)
        if not self._told.decision.use_batch:
            yield from super().invoke_records(records, run)
            return
        unanswered: list[RecordError] = []
        for job, outputs, answers in self._run_jobs(records, self.model_input, run):
            block = _block(job.staged, outputs, answers)
            unanswered += (output for output in block.outputs if isinstance(output, RecordError))
            yield block
        if unanswered and self.settings.batch_fallback == "fail":
            raise RunError(
                f"{len(unanswered)} of {run.count} records have no answer and BEDROCK_BATCH_FALLBACK=fail; the answers "
                f"of the others stay in the jobs' output folders ({_counts(error.kind for error in unanswered)}; the "
                f"first: {shorten(unanswered[0].message, 300)})"
            )

    def expected_source(self, count: int) -> Source:
        """Return how most of `count` records will be asked."""
        return "batch" if self._decide_for(count).use_batch else "realtime"

    def check_mode(self, count: int) -> None:
        """Raise ConfigurationError where batch is asked for, impossible for `count` rows, and must not be replaced."""
        decision = self._decide_for(count)
        if self.settings.batch_mode == "batch" and self.settings.batch_fallback == "fail" and not decision.use_batch:
            raise ConfigurationError(
                [f"BEDROCK_BATCH_MODE=batch is not possible: {reason}" for reason in decision.reasons]
            )

    def _decide_for(self, count: int) -> Decision:
        realtime = self.settings.batch_mode == "realtime"  # what a model cannot do in batch does not matter there
        return decide_mode(self.settings, count, () if realtime else self._obstacles_of_model())

    def _obstacles_of_model(self) -> list[str]:
        """Return what in the model, or in how it must be asked, makes batch inference impossible."""
        able, obstacles = self.ladder.capabilities, []
        if able.batch is False:
            obstacles.append(f"the {able.family} family has no batch inference (BEDROCK_MODEL_CAPABILITIES says so)")
        if self.model_input.invocation_type == "Converse":
            client = self.context.clients.bedrock
            if not supports(client, "CreateModelInvocationJob", "modelInvocationType"):
                obstacles.append(
                    f"this model is asked through Converse, which in batch needs botocore 1.42.59 or newer; "
                    f"{sdk_version()} is installed"
                )
        return obstacles

    def _decide(self, run: Run) -> Decision:
        """Return the mode of a run and say it, with the reasons, in the log; a run goes on in the mode it began in."""
        self.check_mode(run.count)
        decision = self._decide_for(run.count)
        if run.ledger.mode is not None:
            decision = Decision(run.ledger.mode == "batch", ("the run was begun so", *decision.reasons))
        run.ledger.set_mode("batch" if decision.use_batch else "realtime")
        refused = self.settings.batch_mode == "batch" and not decision.use_batch
        level, mode = logging.WARNING if refused else logging.INFO, "batch" if decision.use_batch else "realtime"
        self.context.log.log(level, "mode=%s because %s", mode, "; ".join(decision.reasons))
        return decision

    def _run_jobs(
        self, records: Iterable[ModelInvocationRecord], asked: ModelInput, run: Run
    ) -> Iterator[tuple[Job, dict[int, ModelInvocationOutput], JobAnswers]]:
        """Send records in jobs; yield each job that is done with, the outputs of its unanswered rows, its answers."""
        settings = self.settings
        limits = JobLimits(settings.min_records_per_job, settings.max_records_per_job, settings.max_job_file_bytes)
        earlier_cuts = [EarlierCut(entry.stop, entry.max_bytes) for entry in run.ledger.jobs]
        staged = stage_jobs(records, asked, limits, run.folder, earlier_cuts)
        jobs = Background(
            lambda stop: JobRunner(settings, self.context, asked, run, stop, self.spending).run(staged), "jobs"
        )
        for job in jobs:
            folder = run.folder / f"answers-{job.staged.index:05d}"
            answers = self.job_answers(folder)
            yield job, self._outputs(job, asked, run, answers), answers
            _remove_files(job)
            rmtree(folder)

    def _outputs(self, job: Job, asked: ModelInput, run: Run, answers: JobAnswers) -> dict[int, ModelInvocationOutput]:
        """Read a job's `answers`, and return the outputs of all its other rows, asked again as is set."""
        staged = job.staged
        checks = dict(zip(staged.numbers, staged.checks, strict=True))
        sent = SentRecords(checks, asked.model_id, asked.prefilled)
        reason = job.state.message if job.state else ""
        results = read_results(job.result_paths, sent, answers, unanswered=job.unanswered, reason=reason)
        errors = results.errors
        self.spending.release(len(errors) if job.state else 0)
        if job.problem:
            errors = {number: replace(error, message=job.problem) for number, error in errors.items()}
        self._note(job, results)
        self._check_collected(run.ledger.job(staged.index), results)
        outputs: dict[int, ModelInvocationOutput] = {**errors}
        if not answers and (lower := self._lower(asked, errors.values())):
            outputs = self._send_again(staged, lower, run, answers)
        for number in staged.left_out:
            outputs[number] = RecordError(number, "not_batchable", "no batch job can hold this record", "batch")
        self._salvage(staged, outputs, run)
        if job.state is not None:
            run.ledger.change_job(staged.index, state="collected", results=asdict(results.counts))
        return outputs

    def _lower(self, asked: ModelInput, errors: Collection[RecordError]) -> ModelInput | None:
        """Return another way to ask where the service refused every record of a job for the way it was asked."""
        refused = [error.message for error in errors if not error.retryable]
        return self.ladder.lower(asked, refused[0]) if refused and len(refused) == len(errors) else None

    def _send_again(
        self, staged: StagedJob, asked: ModelInput, run: Run, answers: JobAnswers
    ) -> dict[int, ModelInvocationOutput]:
        """Send the records of a job by another rung, in a run within the run: as `_outputs`."""
        self.context.log.warning("batch=again records=%d structure=%s", len(staged.numbers), asked.structure)
        body = digest(json.dumps([asked.head, asked.tail]), 32)
        parts = {"within": run.ledger.run_id, "job": str(staged.index), "parameters": body}
        folder = run.folder / f"again-{staged.index}-{body[:8]}"
        folder.mkdir()
        outputs: dict[int, ModelInvocationOutput] = {}
        with self._open(parts, run_id_of(parts), len(staged.numbers), folder) as inner:
            for _, others, answered in self._run_jobs(read_records(staged, staged.numbers), asked, inner):
                outputs.update(others)
                answers.extend(answered)
            inner.ledger.finish()
        return outputs

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
        new = {n: kind for n, kind in causes.items() if not run.ledger.journal.knows(n, "salvage")}
        if new:
            self.context.log.warning(
                "realtime=%d records that batch did not answer: %s", len(new), _counts(new.values())
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
        if any(odd.values()) and state is not None:
            self.context.log.warning("job=%s results: %s", job.name, _counts(Counter(odd).elements()))
        if manifest and manifest.processed_record_count not in (None, counts.lines - counts.repeated - counts.unknown):
            self.context.log.warning(
                "job=%s manifest=%s processed records, but its result files hold %d lines",
                job.name,
                manifest.processed_record_count,
                counts.lines,
            )


@dataclass(slots=True)
class RunStory:
    """What the last run chose, and what its jobs did."""

    decision: Decision | None = None
    jobs: list[dict[str, Any]] = field(default_factory=list)


def _block(staged: StagedJob, outputs: Mapping[int, ModelInvocationOutput], answers: JobAnswers) -> OutputBlock:
    others = [outputs[number] for number in sorted(outputs)]
    return OutputBlock(staged.start, staged.stop, others, lambda numbers: read_records(staged, numbers), answers)


def _counts(words: Iterable[str]) -> str:
    return ", ".join(f"{word}={count}" for word, count in Counter(words).most_common())


def _remove_files(job: Job) -> None:
    for path in [*job.result_paths, job.staged.path, *job.staged.aside]:
        path.unlink(missing_ok=True)
