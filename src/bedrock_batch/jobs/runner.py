"""Running the jobs of a run: upload, create as slots become free, watch, fetch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from bedrock_batch.aws.retries import AwsError
from bedrock_batch.aws.s3 import join_uri
from bedrock_batch.background import StopFlag
from bedrock_batch.config import Settings
from bedrock_batch.context import RunContext, make_storage
from bedrock_batch.errors import RunError
from bedrock_batch.jobs.creation import JobCreator
from bedrock_batch.jobs.fetch import fetch_results
from bedrock_batch.jobs.job import Job, cutover_time, ended_state
from bedrock_batch.jobs.watch import JobWatch
from bedrock_batch.ledger.document import JobEntry
from bedrock_batch.ledger.run import Run
from bedrock_batch.model_input import ModelInput
from bedrock_batch.spending import Spending
from bedrock_batch.staging import StagedJob, leave_all_out

TRANSFERS_AT_ONCE = 2
# Waits are cut into pieces of this many seconds, so that a stop of the run is noticed.
_SLICE_SECONDS = 1.0


class JobRunner:
    """Takes the jobs of one run through their life, from one thread.

    Never more than `max_concurrent_batch_jobs` are in flight; the next is created as one ends. When `stop` is set,
    jobs are left running where the run can be resumed, and stopped otherwise. Every step of a job is in the ledger
    before and after it is taken.
    """

    def __init__(
        self,
        settings: Settings,
        context: RunContext,
        model_input: ModelInput,
        run: Run,
        stop: StopFlag,
        spending: Spending,
    ) -> None:
        self._settings = settings
        self._context = context
        self._folder = run.folder
        self._ledger = run.ledger
        self._stop = stop
        self._spending = spending
        self._storage = make_storage(settings, context)
        self._creator = JobCreator(settings, context, model_input, run.ledger.run_id)
        self._watch = JobWatch(settings, context)
        self._pool = ThreadPoolExecutor(TRANSFERS_AT_ONCE, thread_name_prefix="transfer")
        self._uploading: dict[Future[None], Job] = {}
        self._ready: deque[Job] = deque()
        self._active: list[Job] = []
        self._fetching: dict[Future[None], Job] = {}
        self._begun = context.clock()
        self._left = run.count

    def run(self, staged: Iterable[StagedJob]) -> Iterator[Job]:
        """Yield each job once it has ended and its results are on disk, or once it is sure that it has none."""
        source = iter(staged)
        exhausted = False
        try:
            self._abort_uploads()
            while not self._stop:
                if not exhausted and self._has_room():
                    following = next(source, None)
                    exhausted = following is None
                    yield from self._take(following) if following else ()
                for job in self._advance():
                    self._left -= len(job.staged.numbers)
                    yield job
                if exhausted and self._is_idle():
                    return
                if exhausted or not self._has_room():
                    self._pause()
        finally:
            self._finish()
            close = getattr(source, "close", None)
            if close is not None:  # its files lie in a folder that ends with the run
                close()

    def _abort_uploads(self) -> None:
        """Remove the parts of files that an earlier start was uploading when it was killed: they are charged for."""
        if all(entry.state != "planned" for entry in self._ledger.jobs):
            return
        uri = join_uri(self._settings.batch_input_s3_path, self._ledger.run_id) + "/"
        try:
            count = self._storage.abort_uploads(uri)
        except AwsError as error:  # it needs permissions of its own, and nothing in the run depends on it
            self._context.log.warning("uploads=unknown: parts of an earlier start may lie under %s (%s)", uri, error)
        else:
            self._context.log.info("uploads=aborted count=%d", count)

    def _has_room(self) -> bool:
        """Whether a further file may be staged: no more wait on disk than will soon be sent."""
        if self._creator.closed is not None:
            return True
        unfinished = len(self._uploading) + len(self._ready) + len(self._active) + len(self._fetching)
        return len(self._uploading) < TRANSFERS_AT_ONCE and unfinished <= self._settings.max_concurrent_batch_jobs

    def _is_idle(self) -> bool:
        return not (self._uploading or self._ready or self._active or self._fetching)

    def _take(self, staged: StagedJob) -> Iterator[Job]:
        """Begin or continue with a job; one that cannot be sent is yielded at once."""
        job = self._creator.prepare(staged)
        known = self._ledger.job(staged.index)
        if self._is_over_cost(job, known):
            yield job
        elif known is not None:
            yield from self._continue(job, known)
        elif self._creator.closed or not staged.numbers:
            yield self._refuse(job, self._creator.closed or "no job of the minimum size can hold these records")
        else:
            self._ledger.put_job(job.entry("planned"))
            self._upload(job)

    def _is_over_cost(self, job: Job, known: JobEntry | None) -> bool:
        """Whether a job is not begun because of its cost; the ledger keeps it as it is, for a start with more."""
        begun = known is not None and known.state not in ("planned", "uploaded")
        if begun or not job.staged.numbers or (reason := self._spending.refusal()) is None:
            return False
        job.is_over_cost, job.problem = True, f"not asked: {reason}"
        return True

    def _upload(self, job: Job) -> None:
        self._uploading[self._pool.submit(self._storage.upload_file, job.staged.path, job.input_uri)] = job

    def _refuse(self, job: Job, problem: str) -> Job:
        job.problem = problem
        self._ledger.put_job(job.entry("refused"))
        return job

    def _continue(self, job: Job, known: JobEntry) -> Iterator[Job]:
        """Take a job up where an earlier start left it."""
        if known.content_digest != job.staged.content_digest:
            raise RunError(
                f"job {known.name} of the ledger {self._ledger.where} was made of other prompts than these inputs give "
                "now: set BEDROCK_BATCH_RESUME=false to begin a new run"
            )
        job.arn = known.arn
        match known.state:
            case "refused":
                job.problem = known.message
                if not known.records:
                    leave_all_out(job.staged)
                yield job
            case "created":
                self._spending.reserve(len(job.staged.numbers), force=True)
                self._watch.begin(job)
                self._active.append(job)
            case "ended" | "collected":
                self._spending.reserve(len(job.staged.numbers), force=True)
                job.state = ended_state(known)
                self._fetch(job)
            case "planned" | "uploaded":
                job.may_exist = known.state == "uploaded"
                self._upload(job)

    def _fetch(self, job: Job) -> None:
        self._fetching[self._pool.submit(fetch_results, self._storage, self._context, job, self._folder)] = job

    def _advance(self) -> Iterator[Job]:
        """Do all that is due, without waiting; yield the jobs that are done with."""
        self._cut_over_in_time()
        yield from self._take_uploaded()
        yield from self._create_ready()
        now = self._context.clock()
        for job in [job for job in self._active if job.next_poll <= now]:
            if self._watch.poll(job):
                self._active.remove(job)
                self._ledger.put_job(job.entry("ended"))
                self._fetch(job)
        for future in [future for future in self._fetching if future.done()]:
            job = self._fetching.pop(future)
            future.result()
            yield job

    def _take_uploaded(self) -> Iterator[Job]:
        for future in [future for future in self._uploading if future.done()]:
            job = self._uploading.pop(future)
            try:
                future.result()
            except AwsError as error:
                self._context.log.warning("job=%s upload=failed: %s", job.name, error)
                yield self._refuse(job, f"the batch file could not be uploaded: {error}")
            else:
                self._ledger.put_job(job.entry("uploaded"))
                self._context.log.info("job=%s uploaded=%s bytes=%d", job.name, job.input_uri, job.staged.size)
                self._ready.append(job)

    def _create_ready(self) -> Iterator[Job]:
        while self._ready:
            if self._creator.closed is not None and not self._ready[0].may_exist:
                yield self._refuse(self._ready.popleft(), self._creator.closed)
                continue
            if len(self._active) >= self._settings.max_concurrent_batch_jobs or self._is_too_soon():
                return
            if not self._reserve(self._ready[0]):
                yield self._ready.popleft()
                continue
            if not self._creator.create(self._ready[0]):
                self._spending.release(len(self._ready[0].staged.numbers))
                return
            job = self._ready.popleft()
            if job.problem:
                self._spending.release(len(job.staged.numbers))
                yield self._refuse(job, job.problem)
            else:
                self._ledger.put_job(job.entry("created"))
                self._watch.begin(job)
                self._active.append(job)

    def _reserve(self, job: Job) -> bool:
        """Set the expected cost of a job aside; where there is not enough left, note it on the job."""
        if job.may_exist:  # perhaps it is paid for already
            return self._spending.reserve(len(job.staged.numbers), force=True)
        if self._spending.reserve(len(job.staged.numbers)):
            return True
        job.is_over_cost, job.problem = True, f"not asked: {self._spending.stopped}"
        self._context.log.warning("job=%s creation=stopped: %s", job.name, self._spending.stopped)
        return False

    def _is_too_soon(self) -> bool:
        return self._context.clock() < self._creator.not_before

    def _cut_over_in_time(self) -> None:
        """Give batch up when just enough time is left to ask in real time for what it has not answered."""
        per_second = self._settings.rate_limit_per_second
        if self._context.clock() < cutover_time(self._context.deadline, self._begun, self._left, per_second):
            return
        reason = "the time of this container runs out"
        self._creator.closed = self._creator.closed or f"no batch job was begun: {reason}"
        for job in self._active:
            self._watch.stop(job, reason)

    def _pause(self) -> None:
        """Wait until something can be due."""
        times = [job.next_poll for job in self._active]
        times += [self._creator.not_before] if self._ready else []
        seconds = min(times, default=self._context.clock() + _SLICE_SECONDS) - self._context.clock()
        seconds = min(max(seconds, 0.0), _SLICE_SECONDS)
        transfers = {*self._uploading, *self._fetching}
        if transfers:
            wait(transfers, timeout=seconds, return_when=FIRST_COMPLETED)
        else:
            self._context.sleep(seconds)

    def _finish(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for job in self._active:
            if self._settings.batch_resume:
                self._context.log.warning("job=%s left=running arn=%s", job.name, job.arn)
            else:
                self._watch.stop(job, "the run ends")
