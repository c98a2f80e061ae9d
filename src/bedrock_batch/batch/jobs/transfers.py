"""Transfers of job files to S3 and of result files from S3, in threads beside the runner."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.calls.retries import call
from bedrock_batch.batch.jobs.download import download_results
from bedrock_batch.batch.jobs.job import Job
from bedrock_batch.environment.context import RunContext, make_storage
from bedrock_batch.environment.settings import Settings

TRANSFERS_AT_ONCE = 2
UPLOAD_ATTEMPTS = 3


class Transfers:
    """Uploads job files and downloads the results of jobs into `folder`, at most two files at a time.

    The runner asks for the transfers that are done; no method but `wait` and `close` waits for one.
    """

    def __init__(self, settings: Settings, context: RunContext, folder: Path) -> None:
        self._context = context
        self._folder = folder
        self._storage = make_storage(settings, context)
        self._pool = ThreadPoolExecutor(TRANSFERS_AT_ONCE, thread_name_prefix="transfer")
        self._uploads: dict[Future[None], Job] = {}
        self._downloads: dict[Future[None], Job] = {}

    def __len__(self) -> int:
        """Return how many jobs have a transfer that is not done."""
        return len(self._uploads) + len(self._downloads)

    @property
    def uploading(self) -> Collection[Job]:
        """The jobs whose file is being uploaded."""
        return self._uploads.values()

    def abort_earlier_uploads(self, uri: str) -> None:
        """Abort multipart uploads below a URI that an earlier start left when it was killed: S3 charges for them."""
        try:
            count = self._storage.abort_uploads(uri)
        except AwsError as error:  # this needs permissions of its own, and nothing in the run depends on it
            self._context.log.warning("uploads=unknown: parts of an earlier start may lie under %s (%s)", uri, error)
        else:
            self._context.log.info("uploads=aborted count=%d", count)

    def upload(self, job: Job) -> None:
        """Begin to upload the file of a job."""
        self._uploads[self._pool.submit(self._send_file, job)] = job

    def _send_file(self, job: Job) -> None:
        call(
            lambda: self._storage.upload_file(job.file.path, job.input_uri),
            self._context.retry_policy(UPLOAD_ATTEMPTS),
        )

    def download(self, job: Job) -> None:
        """Begin to download the results of a job."""
        future = self._pool.submit(download_results, self._storage, self._context, job, self._folder)
        self._downloads[future] = job

    def uploaded(self) -> Iterator[tuple[Job, AwsError | None]]:
        """Yield each job whose upload is done, with the error if S3 did not take the file."""
        for future in [future for future in self._uploads if future.done()]:
            job = self._uploads.pop(future)
            try:
                future.result()
            except AwsError as error:
                yield job, error
            else:
                yield job, None

    def downloaded(self) -> Iterator[Job]:
        """Yield each job whose download is done."""
        for future in [future for future in self._downloads if future.done()]:
            job = self._downloads.pop(future)
            future.result()
            yield job

    def wait(self, seconds: float) -> None:
        """Wait until a transfer is done, or for some seconds of real time."""
        wait({*self._uploads, *self._downloads}, timeout=seconds, return_when=FIRST_COMPLETED)

    def cancel(self) -> None:
        """Cancel all transfers without waiting for their threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._storage.cancel_transfers()

    def close(self) -> None:
        """Wait until the threads have ended."""
        self._pool.shutdown(wait=True)
