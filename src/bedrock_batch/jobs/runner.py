"""Running the jobs of a run: upload, create as slots become free, watch, fetch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from bedrock_batch.aws.retries import AwsError
from bedrock_batch.aws.s3 import S3Storage
from bedrock_batch.background import StopFlag
from bedrock_batch.config import Settings
from bedrock_batch.context import RunContext
from bedrock_batch.jobs.creation import JobCreator
from bedrock_batch.jobs.fetch import fetch_results
from bedrock_batch.jobs.job import Job, cutover_time
from bedrock_batch.jobs.watch import JobWatch
from bedrock_batch.model_input import ModelInput
from bedrock_batch.staging import StagedJob

TRANSFERS_AT_ONCE = 2
# Waits are cut into pieces of this many seconds, so that a stop of the run is noticed.
_SLICE_SECONDS = 1.0


class JobRunner:
    """Takes the jobs of one run through their life, from one thread.

    Never more than `max_concurrent_batch_jobs` are in flight; the next is created as one ends. `count` is the number
    of records of the run. When `stop` is set, jobs are left running where the run can be resumed, and stopped
    otherwise.
    """

    def __init__(
        self, settings: Settings, context: RunContext, model_input: ModelInput, folder: Path, count: int, stop: StopFlag
    ) -> None:
        self._settings = settings
        self._context = context
        self._folder = folder
        self._stop = stop
        self._storage = S3Storage(
            context.clients.s3,
            kms_key_id=settings.batch_kms_key_id or None,
            bucket_owner=settings.batch_bucket_owner or None,
        )
        self._creator = JobCreator(settings, context, model_input)
        self._watch = JobWatch(settings, context)
        self._pool = ThreadPoolExecutor(TRANSFERS_AT_ONCE, thread_name_prefix="transfer")
        self._uploading: dict[Future[None], Job] = {}
        self._ready: deque[Job] = deque()
        self._active: list[Job] = []
        self._fetching: dict[Future[None], Job] = {}
        self._begun = context.clock()
        self._left = count

    def run(self, staged: Iterable[StagedJob]) -> Iterator[Job]:
        """Yield each job once it has ended and its results are on disk, or once it is sure that it has none."""
        source = iter(staged)
        exhausted = False
        try:
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

    def _has_room(self) -> bool:
        """Whether a further file may be staged: no more wait on disk than will soon be sent."""
        if self._creator.closed is not None:
            return True
        unfinished = len(self._uploading) + len(self._ready) + len(self._active) + len(self._fetching)
        return len(self._uploading) < TRANSFERS_AT_ONCE and unfinished <= self._settings.max_concurrent_batch_jobs

    def _is_idle(self) -> bool:
        return not (self._uploading or self._ready or self._active or self._fetching)

    def _take(self, staged: StagedJob) -> Iterator[Job]:
        """Begin the upload of a job's file; a job that cannot be sent is yielded at once."""
        job = self._creator.prepare(staged)
        job.problem = self._creator.closed
        if job.problem or not staged.numbers:
            yield job
        else:
            self._uploading[self._pool.submit(self._storage.upload_file, staged.path, job.input_uri)] = job

    def _advance(self) -> Iterator[Job]:
        """Do all that is due, without waiting; yield the jobs that are done with."""
        self._cut_over_in_time()
        yield from self._take_uploaded()
        yield from self._create_ready()
        now = self._context.clock()
        for job in [job for job in self._active if job.next_poll <= now]:
            if self._watch.poll(job):
                self._active.remove(job)
                future = self._pool.submit(fetch_results, self._storage, self._context, job, self._folder)
                self._fetching[future] = job
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
                job.problem = f"the batch file could not be uploaded: {error}"
                self._context.log.warning("job=%s upload=failed: %s", job.name, error)
                yield job
            else:
                self._context.log.info("job=%s uploaded=%s bytes=%d", job.name, job.input_uri, job.staged.size)
                self._ready.append(job)

    def _create_ready(self) -> Iterator[Job]:
        while self._ready:
            if self._creator.closed is not None:
                job = self._ready.popleft()
                job.problem = self._creator.closed
                yield job
                continue
            if len(self._active) >= self._settings.max_concurrent_batch_jobs or self._is_too_soon():
                return
            if not self._creator.create(self._ready[0]):
                return
            job = self._ready.popleft()
            if job.problem:
                yield job
            else:
                self._watch.begin(job)
                self._active.append(job)

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
