"""BedrockBatchProcessor asks a model for every row of a data set, by batch inference or in real time."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bedrock_batch.answer_store.questions import Digests
from bedrock_batch.answer_store.store import AnswerStore, Positions
from bedrock_batch.answers.blocks import AnswerBlock
from bedrock_batch.batch.batch_run import BatchRun
from bedrock_batch.batch.canary import run_canary
from bedrock_batch.batch.job_files.plan import expected_jobs, job_limits
from bedrock_batch.batch.job_methods import JobMethods
from bedrock_batch.batch.mode import Decision, decide_mode, model_obstacles
from bedrock_batch.batch.other_runs.attached import AttachedJobs
from bedrock_batch.batch.other_runs.elsewhere import find_jobs_elsewhere
from bedrock_batch.batch.public_attributes import PublicBatchAttributes
from bedrock_batch.batch.run_log import RunLog
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import ConfigurationError
from bedrock_batch.families import hides_model
from bedrock_batch.ledger.run import Run
from bedrock_batch.models.model_warnings import find_model_warnings
from bedrock_batch.realtime.open_runs import OpenRun
from bedrock_batch.realtime.reuse.answer_lookup import reachable_frames
from bedrock_batch.records import Record, Source

if TYPE_CHECKING:
    import pandas as pd


class BedrockBatchProcessor(JobMethods, PublicBatchAttributes):
    """Asks a model for every row by batch inference if `batch_mode` says so and nothing prevents it, else in real time.

    `batch_fallback` says what happens to records without an answer from batch. `decision`, `jobs` and `batch_used`
    describe the last run; all other attributes last as long as in `BedrockProcessor`. The state of a job is in `Job`.
    """

    def __init__(self, config: Mapping[str, Any] | Settings, context: RunContext | None = None) -> None:
        super().__init__(config, context)
        self._log = RunLog()

    @property
    def decision(self) -> Decision | None:
        """The mode of the last run with its reasons; None before the first run."""
        return self._log.decision

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The jobs of the last run, as they are in the summary."""
        return self._log.jobs

    @property
    def canary(self) -> dict[str, int] | None:
        """How many records the canary of the last run asked, and how many answers are valid; None without one."""
        return self._log.canary

    @property
    def batch_used(self) -> bool:
        """Whether AWS accepted a job of the last run."""
        return self.decision is not None and self.decision.use_batch and any(job["arn"] for job in self.jobs)

    def should_use_batch_processing(self, df: pd.DataFrame) -> bool:
        """Return whether the rows of a frame would be answered by batch inference."""
        return self.decide_for(len(df)).use_batch

    def process_batch_inference(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with the answer columns added, by batch inference even for few rows."""
        batch = type(self)(replace(self.settings, batch_mode="batch"), self.context)
        batch._log, batch.spending, batch.template = self._log, self.spending, self.template
        return batch.process_batch(df)

    @property
    def attached_jobs(self) -> list[dict[str, Any]]:
        """The jobs of other runs for whose answers the last run has waited, as they are in the summary."""
        return self._log.attached.describe() if self._log.attached else []

    def jobs_elsewhere(
        self, store: AnswerStore, runs: Iterable[OpenRun], digests: Digests, wanted: Positions, folder: Path
    ) -> AttachedJobs | None:
        """Return the jobs of other runs that hold `wanted` questions; None in a run that must not wait for jobs."""
        if self.settings.batch_mode == "realtime":
            return None
        frame, reachable = self.model_input.frame, reachable_frames(self)
        jobs = find_jobs_elsewhere(self.context, runs, frame, reachable, digests, wanted)
        self._log.attached = AttachedJobs(self.settings, self.context, store, folder, jobs)
        return self._log.attached

    def forget_run(self) -> None:
        super().forget_run()
        self._log.forget()

    def invoke_records(self, records: Iterable[Record], run: Run) -> Generator[AnswerBlock, None, None]:
        """Yield the outputs of the records of a run: in batch a block for each job, in the order in which jobs end."""
        decision = self._decide(run)
        self._log.reset(decision)
        if decision.use_batch:
            canary = run_canary(self, run)
            self._log.canary = canary.report
            yield from BatchRun(self, run, self._log, canary).blocks(records)
        else:
            yield from super().invoke_records(records, run)

    def expected_source(self, count: int) -> Source:
        """Return how most of `count` records are expected to be asked."""
        return "batch" if self.decide_for(count).use_batch else "realtime"

    def expected_jobs(self, count: int, line_bytes: int) -> int:
        """Return how many jobs `count` records need whose lines in job files have so many bytes together."""
        if not self.decide_for(count).use_batch:
            return 0
        return expected_jobs(count, line_bytes, job_limits(self.settings, count))

    def check_mode(self, count: int, taken: int = 0) -> Decision:
        """Return the mode for `count` records; ConfigurationError if batch is required but impossible.

        `taken` counts further records whose answers are kept.
        """
        decision = self.decide_for(count)
        if self.settings.batch_mode == "batch" and self.settings.batch_fallback == "fail" and not decision.use_batch:
            rest = (
                f" (the other {taken} are answered already; BEDROCK_BATCH_FALLBACK=realtime asks these in real time, "
                "and BEDROCK_ANSWER_REUSE=false asks all of them)"
            )
            addition = rest if taken else ""
            raise ConfigurationError(
                [f"BEDROCK_BATCH_MODE=batch is not possible: {reason}{addition}" for reason in decision.reasons]
            )
        return decision

    def decide_for(self, count: int) -> Decision:
        """Return the mode in which `count` records are answered, with its reasons."""
        return decide_mode(self.settings, count, self.model_obstacles())

    def model_obstacles(self) -> list[str]:
        """Return what in the primary model makes batch inference impossible; nothing if only real time is allowed."""
        if self.settings.batch_mode == "realtime":
            return []
        return model_obstacles(self.primary_model, self.context.clients.bedrock)

    def _decide(self, run: Run) -> Decision:
        """Return, store and log the mode of a run; a run continues in the mode in which it was begun."""
        decision = self.check_mode(run.count, run.taken)
        if run.ledger.mode is not None:
            decision = Decision(run.ledger.mode == "batch", ("the run was begun in this mode", *decision.reasons))
        run.ledger.set_mode("batch" if decision.use_batch else "realtime")
        refused = self.settings.batch_mode == "batch" and not decision.use_batch
        level, mode = logging.WARNING if refused else logging.INFO, "batch" if decision.use_batch else "realtime"
        self.context.log.log(level, "mode=%s because %s", mode, "; ".join(decision.reasons))
        if not decision.use_batch and not self.settings.batch_wait:
            self.context.log.info("BEDROCK_BATCH_WAIT=false changes nothing here: these records are asked in real time")
        self._warn_of_models(decision)
        return decision

    def _warn_of_models(self, decision: Decision) -> None:
        """Log what there is to say of the models; a run in real time calls the control plane for an opaque ARN only."""
        settings, context = self.settings, self.context
        asks = decision.use_batch or hides_model(settings.inference_profile_arn)
        client = context.clients.bedrock if asks else None
        for warning in find_model_warnings(settings, context.now().date(), client):
            context.log.warning("%s", warning)
