"""Running the jobs of a run: upload, creation as slots become free, monitoring, download."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from bedrock_batch.aws.calls.advice import hopeless_error
from bedrock_batch.aws.calls.error_codes import MISCONFIGURED
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.s3 import join_uri
from bedrock_batch.batch.job_files.files import JobFile, set_all_aside
from bedrock_batch.batch.jobs.background import StopFlag
from bedrock_batch.batch.jobs.budget import JobBudget
from bedrock_batch.batch.jobs.creation import JobCreator
from bedrock_batch.batch.jobs.cutover import Cutover
from bedrock_batch.batch.jobs.job import Job, ended_state
from bedrock_batch.batch.jobs.monitor import JobMonitor
from bedrock_batch.batch.jobs.transfers import TRANSFERS_AT_ONCE, Transfers
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import RunError
from bedrock_batch.ledger.document import JobEntry
from bedrock_batch.ledger.run import Run
from bedrock_batch.models.model_input import ModelInput

# The longest uninterrupted wait, so that a stop of the run is noticed.
_SLICE_SECONDS = 1.0


class JobRunner:
    """Runs the jobs of one run, from one thread.

    At most `max_concurrent_batch_jobs` run at a time; the next is created as one ends. When `stop` is set, jobs keep
    running if the run can be resumed, and are stopped otherwise. The ledger stores each step of a job before it is
    acted upon, and `keep_questions` tells other runs of it. A run that does not wait creates what fits, polls
    each job once and ends; with `skip_collected` it does not read again what earlier starts have read. Before a
    deadline, jobs are stopped in time for real time, which answers `per_second()` records a second.
    """

    def __init__(
        self,
        settings: Settings,
        context: RunContext,
        model_input: ModelInput,
        run: Run,
        stop: StopFlag,
        budget: JobBudget,
        keep_questions: Callable[[JobFile], None],
        *,
        per_second: Callable[[], float],
        skip_collected: bool = False,
    ) -> None:
        self._settings = settings
        self._context = context
        self._ledger = run.ledger
        self._stopped_jobs = run.stopped_jobs
        self._stop = stop
        self._budget = budget
        self._keep_questions = keep_questions
        self._creator = JobCreator(settings, context, model_input, run.ledger.run_id)
        self._monitor = JobMonitor(settings, context)
        self._transfers = Transfers(settings, context, run.folder)
        self._ready: deque[Job] = deque()
        self._active: list[Job] = []
        self._skip_collected = skip_collected
        end = context.end if per_second() > 0 else context.deadline  # late answers are better than none
        stated = end is not None and end == context.due
        self._cutover = None if end is None or not settings.batch_wait else Cutover(end, context.clock(), stated)
        self._per_second = per_second
        self._count = self._untaken = run.count  # more than the records if equal prompts share one
        self._ends = False

    def run(self, job_files: Iterable[JobFile]) -> Iterator[Job]:
        """Yield each job once its results are on disk, it is certain that it has none, or it is left as it is."""
        source = iter(job_files)
        exhausted = False
        try:
            self._abort_uploads()
            while not self._stop:
                if not exhausted and not self._ends and self._has_room():
                    following = next(source, None)
                    exhausted = following is None
                    self._untaken = 0 if following is None else max(0, self._count - following.stop)
                    yield from self._take(following) if following else ()
                yield from self._advance()
                if (exhausted or self._ends) and self._is_idle():
                    return
                if self._is_submitted(exhausted=exhausted):
                    yield from self._leave()
                    return
                if exhausted or self._ends or not self._has_room():
                    self._pause()
        finally:
            self._finish()
            close = getattr(source, "close", None)
            if close is not None:  # its files are in a folder that is removed with the run
                close()

    def _abort_uploads(self) -> None:
        """Abort the uploads of an earlier start if it was killed during one."""
        if any(entry.state == "planned" for entry in self._ledger.jobs):
            self._transfers.abort_earlier_uploads(
                join_uri(self._settings.batch_input_s3_path, self._ledger.run_id) + "/"
            )

    def _has_room(self) -> bool:
        """Return whether another job file may be written: only as many wait on disk as will be sent soon."""
        if self._creator.closed is not None:
            return True
        if self._creator.no_room is not None:
            return False
        unfinished = len(self._transfers) + len(self._ready) + len(self._active)
        ahead = int(self._settings.batch_wait)  # a file that waits for the end of a job
        uploading = len(self._transfers.uploading)
        return uploading < TRANSFERS_AT_ONCE and unfinished < self._settings.max_concurrent_batch_jobs + ahead

    def _is_idle(self) -> bool:
        return not (self._transfers or self._active or (self._ready and not self._ends))

    def _take(self, job_file: JobFile) -> Iterator[Job]:
        """Begin or continue a job; a job that cannot be sent is yielded at once."""
        job = self._creator.prepare(job_file)
        known = self._ledger.job(job_file.index)
        if self._budget.refuses(job, known):
            yield job
        elif known is not None:
            yield from self._continue(job, known)
        elif self._creator.closed or not job_file.numbers:
            yield self._refuse(job, self._creator.closed or "no job of the minimum size can hold these records")
        else:
            self._keep_questions(job_file)
            self._ledger.put_job(job.entry("planned"))
            self._upload(job)

    def _upload(self, job: Job) -> None:
        self._ledger.fence.check()
        self._transfers.upload(job)

    def _download(self, job: Job) -> None:
        self._budget.expect_read()
        self._transfers.download(job)

    def _refuse(self, job: Job, problem: str) -> Job:
        job.problem = problem
        job.refused_model |= self._creator.closed_to_model and problem == self._creator.closed
        self._ledger.put_job(job.entry("refused"))
        return job

    def _continue(self, job: Job, known: JobEntry) -> Iterator[Job]:
        """Continue a job at the point where an earlier start left it."""
        if known.content_digest != job.file.content_digest:
            raise RunError(
                f"job {known.name} of the ledger {self._ledger.location} was made of other prompts "
                "than these inputs give now: set BEDROCK_BATCH_RESUME=false to begin a new run"
            )
        # The job is found by the name under which it was created, whatever prefix the settings name now.
        job.name, job.input_uri, job.arn = known.name, known.input_uri, known.arn
        match known.state:
            case "refused":
                job.problem, job.refused_model = known.message, known.refused_model
                if not known.records:
                    set_all_aside(job.file)
                yield job
            case "created":
                self._budget.reserve_begun(job)
                self._monitor.begin(job)
                self._active.append(job)
            case "ended" | "collected":
                self._budget.reserve_begun(job)
                job.state = ended_state(known)
                job.ended_earlier = True
                job.left = self._skip_collected and known.state == "collected"
                if job.left:
                    yield job
                else:
                    self._download(job)
            case "planned" | "uploaded":
                job.may_exist = known.state == "uploaded"
                self._upload(job)

    def _advance(self) -> Iterator[Job]:
        """Do everything that is due without waiting, and yield the finished jobs."""
        self._cut_over_in_time()
        yield from self._take_uploaded()
        yield from self._create_ready()
        now = self._context.clock()
        for job in [job for job in self._active if job.next_poll <= now]:
            if self._monitor.poll(job):
                self._active.remove(job)
                self._ledger.put_job(job.entry("ended"))
                self._download(job)
        for job in self._transfers.downloaded():
            # Running jobs are still collected, but no new job is paid for whose results could not be read either.
            self._ends = self._ends or (job.unreadable is not None and not self._settings.batch_accept_lost_results)
            yield job

    def _take_uploaded(self) -> Iterator[Job]:
        for job, error in self._transfers.uploaded():
            if error is None:
                self._ledger.put_job(job.entry("uploaded"))
                self._context.log.info("job=%s uploaded=%s bytes=%d", job.name, job.input_uri, job.file.size)
            elif not self._may_use_earlier_file(job, error):
                yield self._refuse(job, f"the batch file could not be uploaded: {error}")
                continue
            if job.may_exist:  # look for it before another job takes its slot
                self._ready.appendleft(job)
            else:
                self._ready.append(job)

    def _may_use_earlier_file(self, job: Job, error: AwsError) -> bool:
        """Return whether a job whose upload failed can use the file that an earlier start has uploaded.

        RunError if no upload can succeed.
        """
        if error.kind in MISCONFIGURED:
            raise hopeless_error(error) from error
        self._context.log.warning("job=%s upload=failed: %s", job.name, error)
        return job.may_exist

    def _create_ready(self) -> Iterator[Job]:
        while self._ready and not (self._ends or self._stop or self._budget.must_wait(self._active)):
            if self._creator.closed is not None and not self._ready[0].may_exist:
                yield self._refuse(self._ready.popleft(), self._creator.closed)
                continue
            if not self._may_create() or self._context.clock() < self._creator.not_before:
                return
            if not self._budget.reserve(self._ready[0]):
                yield self._ready.popleft()
                continue
            if not self._creator.create(self._ready[0], self._ledger.fence):
                self._budget.release(self._ready[0])
                return
            job = self._ready.popleft()
            if job.problem:
                self._budget.release(job)
                yield self._refuse(job, job.problem)
            else:
                self._ledger.put_job(job.entry("created"))
                self._monitor.begin(job)
                self._active.append(job)

    def _may_create(self) -> bool:
        """Return whether a slot is free for the next job; jobs that may exist take slots, too."""
        waiting = () if self._ready[0].may_exist else (*self._transfers.uploading, *self._ready)
        running = len(self._active) + sum(job.may_exist for job in waiting)
        return running < self._settings.max_concurrent_batch_jobs

    def _is_submitted(self, *, exhausted: bool) -> bool:
        """Return whether a run that does not wait has done all that it can do now."""
        if self._settings.batch_wait or self._transfers or self._budget.is_behind:
            return False
        may_go_on = self._creator.no_room is None and not self._ends
        if may_go_on and (self._may_create() if self._ready else not exhausted and self._has_room()):
            return False
        return all(job.state is not None for job in self._active)

    def _leave(self) -> Iterator[Job]:
        """Yield the jobs that a later start continues."""
        for job in (*self._active, *self._ready):
            job.left, job.problem = True, self._creator.no_room
            yield job
        self._active.clear()

    def _cut_over_in_time(self) -> None:
        """Stop the jobs that end too late when just enough time is left to ask for their records in real time."""
        if self._cutover is None:
            return
        running = [job for job in self._active if not job.stop_sent]
        sent_soon = (*self._transfers.uploading, *self._ready)
        waiting = 0 if self._creator.closed else self._untaken + sum(len(job.file.numbers) for job in sent_soon)
        late = self._cutover.choose(self._context.clock(), running, waiting, self._per_second())
        if late is None:
            return
        reason = self._context.end_reason
        self._creator.closed = self._creator.closed or f"no batch job was begun: {reason}"
        self._ledger.fence.check()
        for job in late:
            self._monitor.stop(job, reason)

    def _pause(self) -> None:
        """Wait until the next poll, creation or end of a transfer."""
        times = [job.next_poll for job in self._active]
        if self._ready and self._may_create() and not (self._ends or self._budget.must_wait(self._active)):
            times.append(self._creator.not_before)
        seconds = min(times, default=self._context.clock() + _SLICE_SECONDS) - self._context.clock()
        seconds = min(max(seconds, 0.0), _SLICE_SECONDS)
        if self._transfers:
            self._transfers.wait(seconds)
        else:
            self._context.sleep(seconds)

    def _finish(self) -> None:
        self._transfers.cancel()
        for job in self._active:
            if self._settings.batch_resume:
                self._context.log.warning("job=%s left=running arn=%s", job.name, job.arn)
            elif self._monitor.stop(job, "the run ends") and job.arn:
                self._stopped_jobs.append(job.arn)
        self._transfers.close()
