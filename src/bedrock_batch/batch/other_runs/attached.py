"""Attaches a run to jobs of other runs: waits for them, and keeps their answers in the answer store."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bedrock_batch.answer_store.questions import DIGEST_BYTES
from bedrock_batch.answer_store.store import AnswerStore, Positions
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.invocation_jobs import get_job
from bedrock_batch.batch.job_files.files import JobFile
from bedrock_batch.batch.jobs.cutover import CLOSING_SECONDS, cutover_time
from bedrock_batch.batch.jobs.download import download_results
from bedrock_batch.batch.jobs.job import Job, ended_state
from bedrock_batch.batch.jobs.losses import find_loss
from bedrock_batch.batch.jobs.monitor import TIMEOUT_GRACE_SECONDS, JobMonitor
from bedrock_batch.batch.other_runs.elsewhere import JobElsewhere, join_positions
from bedrock_batch.batch.results.reader import ResultCounts, SentRecords, read_outputs
from bedrock_batch.environment.context import RunContext, make_storage
from bedrock_batch.environment.private_files import FOLDER_MODE
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import RunError, RunSubmitted
from bedrock_batch.ledger.journal import LabelledAnswer
from bedrock_batch.realtime.open_runs import AnswerAdoption, log_adopted, log_unusable, note_collected

# The longest uninterrupted wait, so that a signal is noticed.
_SLICE_SECONDS = 1.0


@dataclass(slots=True)
class _Attached:
    """A job of another run with what is known of it by now."""

    elsewhere: JobElsewhere
    job: Job
    kept: int = 0

    @property
    def rows(self) -> int:
        """How many questions of this run the job holds."""
        return len(self.elsewhere.questions)


class AttachedJobs:
    """The jobs of other runs that hold questions of this run.

    `begin` keeps the answers of those that have ended, and `wait` those of the others once they end. The step neither
    stops these jobs nor asks their questions while they run: the run that has created them does as it always did.
    """

    def __init__(
        self, settings: Settings, context: RunContext, store: AnswerStore, folder: Path, jobs: Sequence[JobElsewhere]
    ) -> None:
        self._settings = settings
        self._context = context
        self._store = store
        self._folder = folder / "attached"
        self._monitor = JobMonitor(settings, context)
        self._begun = context.clock()
        self._jobs = jobs
        self._ended: list[_Attached] = []
        self._waiting: list[_Attached] = []

    @property
    def held(self) -> Positions:
        """The questions of this run that the jobs hold."""
        return join_positions(each.questions for each in self._jobs)

    @property
    def waiting(self) -> Positions:
        """The questions of this run in the jobs that have not ended."""
        return join_positions(each.elsewhere.questions for each in self._waiting)

    @property
    def kept(self) -> int:
        """How many answers of these jobs the store has got by now."""
        return sum(each.kept for each in self._ended)

    def begin(self) -> None:
        """Look at each job: keep the answers of one that has ended, and attach to one that runs.

        A job that cannot be looked at, or read, is a line in the log.
        """
        for elsewhere in self._jobs:
            attached = _Attached(elsewhere, _as_job(elsewhere))
            reason = self._look_at(attached)
            if reason is not None:
                log_unusable(self._context, elsewhere.entry.arn or "", reason)

    def _look_at(self, attached: _Attached) -> str | None:
        """Keep the answers of a job or attach to it; return why that is not possible, else None."""
        job, entry = attached.job, attached.elsewhere.entry
        if entry.state in ("ended", "collected") and entry.status:
            job.state = ended_state(entry)
        elif _region_of(job.arn) != self._settings.region_name:
            return f"its region is not {self._settings.region_name}"
        else:
            try:
                job.state = get_job(self._context.clients.bedrock, job.arn or "")
            except AwsError as error:
                if not error.kind.retryable:
                    return str(error)
        if job.state is None or not job.state.terminal:  # unknown for now: the monitor asks again
            self._attach(attached)
            return None
        self._download(attached)
        if job.unreadable is None:
            self._keep(attached)
        return job.unreadable

    def _attach(self, attached: _Attached) -> None:
        self._waiting.append(attached)
        self._monitor.begin(attached.job)
        attached.job.stop_at = float("inf")  # the job belongs to the other run
        self._context.log.info(
            "job=%s attached=%s of the unfinished run %s: %d records of this run wait for it",
            attached.job.name,
            attached.job.arn,
            attached.elsewhere.run.marker.run_id,
            attached.rows,
        )

    def wait(self) -> None:
        """Wait until the attached jobs have ended, and keep their answers; RunSubmitted if the run does not wait.

        RunError if their results cannot be read, if results are lost, or if they do not end in time.
        """
        while self._waiting:
            self._check_time()
            now = self._context.clock()
            for attached in [each for each in self._waiting if each.job.next_poll <= now]:
                if self._monitor.poll(attached.job):
                    self._waiting.remove(attached)
                    self._collect(attached)
            if self._waiting and not self._settings.batch_wait:
                raise self._submitted()
            if self._waiting:
                due = min(each.job.next_poll for each in self._waiting) - self._context.clock()
                self._context.sleep(min(max(due, 0.0), _SLICE_SECONDS))
        note_collected(self._context, self._store, [each.elsewhere.run for each in self._ended])

    def _submitted(self) -> RunSubmitted:
        rows, jobs = sum(each.rows for each in self._waiting), len(self._waiting)
        text = f"{rows} records wait for {jobs} batch jobs of other runs"
        return RunSubmitted(text, attached_jobs=jobs, attached_records=rows)

    def _check_time(self) -> None:
        """RunError if the container or the timeout of a job leaves no time to wait."""
        now, settings = self._context.clock(), self._settings
        longest = self._begun + settings.batch_timeout_hours * 3600.0 + TIMEOUT_GRACE_SECONDS
        rows = sum(each.rows for each in self._waiting)
        deadline = self._context.deadline
        if deadline is not None:
            end, rate = deadline - CLOSING_SECONDS, settings.rate_limit_per_second
            longest = min(longest, cutover_time(end, self._begun, rows, rate, is_stated=False))
        if now < longest:
            return
        first = self._waiting[0]
        raise RunError(
            f"{rows} records wait for {len(self._waiting)} batch jobs of other runs (the first: {first.job.arn} of run "
            f"{first.elsewhere.run.marker.run_id}), and the time of this run is over. They go on, so their records are "
            "not asked again: start this step again with the same inputs once they have ended"
        )

    def _collect(self, attached: _Attached) -> None:
        """Keep the answers of a job that has ended; RunError if results that AWS counted cannot be read."""
        self._download(attached)
        counts = self._keep(attached)
        loss = find_loss(attached.job, None, counts)
        if loss is None:
            return
        self._context.log.warning("job=%s results=lost count=%d: %s", attached.job.name, *loss)
        if not self._settings.batch_accept_lost_results:
            raise RunError(loss[1])

    def _download(self, attached: _Attached) -> None:
        self._folder.mkdir(FOLDER_MODE, exist_ok=True)
        download_results(make_storage(self._settings, self._context), self._context, attached.job, self._folder)

    def _keep(self, attached: _Attached) -> ResultCounts:
        """Keep the answers of a job whose results are on disk."""
        run, counts = attached.elsewhere.run, ResultCounts()
        adoption = AnswerAdoption(self._store, run.marker)
        attached.kept = adoption.keep(self._answers(attached, counts))
        run.kept.add(attached.elsewhere.entry.index)
        self._ended.append(attached)
        if attached.kept:
            log_adopted(self._context, self._store, run, attached.kept)
        for path in attached.job.result_paths:
            path.unlink()
        return counts

    def _answers(self, attached: _Attached, counts: ResultCounts) -> Iterator[LabelledAnswer]:
        sent, state = attached.elsewhere.sent, attached.job.state
        ended = state.end_time if state and state.end_time else self._context.now()
        at = int(ended.timestamp() * 1000)
        numbers = sent.numbers.tolist()
        position = {number: index for index, number in enumerate(numbers)}
        records = SentRecords(
            dict(zip(numbers, sent.checks.tolist(), strict=True)), sent.model_id, sent.prefilled, sent.frame
        )
        for output in read_outputs(attached.job.result_paths, records, counts):
            start = DIGEST_BYTES * position[output.number]
            yield LabelledAnswer(sent.digests[start : start + DIGEST_BYTES], at, output)

    def describe(self) -> list[dict[str, Any]]:
        """Return the jobs as JSON values for the summary."""
        return [_describe(each) for each in (*self._ended, *self._waiting)]


def _describe(attached: _Attached) -> dict[str, Any]:
    state = attached.job.state
    return {
        "run_id": attached.elsewhere.run.marker.run_id,
        "name": attached.job.name,
        "arn": attached.job.arn,
        "status": state.status if state else "unknown",
        "records": len(attached.job.file.numbers),
        "records_of_this_run": attached.rows,
    }


def _as_job(elsewhere: JobElsewhere) -> Job:
    """Return the job as the monitor and the download know it; there is no job file on this machine."""
    entry, sent = elsewhere.entry, elsewhere.sent
    file = JobFile(entry.index, entry.start, entry.stop, Path(), array("q", sent.numbers), array("I", sent.checks))
    return Job(file, entry.name, entry.input_uri, arn=entry.arn)


def _region_of(arn: str | None) -> str:
    parts = (arn or "").split(":")
    return parts[3] if len(parts) > 3 else ""
