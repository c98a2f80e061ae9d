"""The state of a batch job, and the runner that moves each job through its statuses in a thread."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from local_bedrock.batch.records import Fate
from local_bedrock.behaviour import JobFault, Phases
from local_bedrock.models.registry import Model

TERMINAL = frozenset({"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"})
_DEFAULT_TIMEOUT_HOURS = 24
_DEFAULT_MESSAGES = {
    "FailedInValidating": "Could not validate GetObject or PutObject permissions for the input or output S3URI",
    "Failed": "Customer doesn't have permissions to invokeModel",
}


class JobFailure(Exception):  # noqa: N818 - named after the job's status
    """The job ends with the status `Failed` and this message."""


class JobStopped(Exception):  # noqa: N818 - not an error: a client asked for it
    """A client stopped the job, or the server shuts down."""


@dataclass(slots=True)
class Job:
    """One model invocation job: its request, its state, and what happened to each record."""

    id: str
    arn: str
    name: str
    model: Model
    request: dict[str, Any]
    fault: JobFault
    ordinal: int
    submitted: datetime
    modified: datetime
    status: str = "Submitted"
    message: str | None = None
    ended: datetime | None = None
    total: int = 0
    processed: int = 0
    succeeded: int = 0
    failed: int = 0
    fates: dict[str, Fate] = field(default_factory=dict)
    """By record id. A record that is missing here was not processed."""
    output_keys: list[str] = field(default_factory=list)
    stop_requested: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    """Set when the job has ended and its output is complete."""

    @property
    def ids_by_outcome(self) -> dict[str, list[str]]:
        """Return the record ids by outcome."""
        result: dict[str, list[str]] = {}
        for record_id, fate in self.fates.items():
            result.setdefault(fate.outcome, []).append(record_id)
        return result

    @property
    def outcomes(self) -> Counter[str]:
        """Return the number of records by outcome."""
        return Counter(fate.outcome for fate in self.fates.values())

    @property
    def charged_ids(self) -> list[str]:
        """Return the ids of the records that were charged."""
        return [record_id for record_id, fate in self.fates.items() if fate.charged]

    def describe(self) -> dict[str, Any]:
        """Return the response of GetModelInvocationJob. Members that are None are not sent."""
        hours = self.request.get("timeoutDurationInHours", _DEFAULT_TIMEOUT_HOURS)
        copied = ("clientRequestToken", "roleArn", "inputDataConfig", "outputDataConfig", "vpcConfig")
        return {
            "jobArn": self.arn,
            "jobName": self.name,
            "modelId": self.request["modelId"],
            **{name: self.request.get(name) for name in copied},
            "status": self.status,
            "message": self.message,
            "submitTime": self.submitted,
            "lastModifiedTime": self.modified,
            "endTime": self.ended,
            "timeoutDurationInHours": hours,
            "jobExpirationTime": self.submitted + timedelta(hours=hours),
            "modelInvocationType": self.request.get("modelInvocationType", "InvokeModel"),
            "totalRecordCount": self.total,
            "processedRecordCount": self.processed,
            "successRecordCount": self.succeeded,
            "errorRecordCount": self.failed,
        }


class JobWork:
    """What a job does in each phase. `local_bedrock.batch.worker.BatchWorker` implements it."""

    def validate(self, job: Job) -> None:
        """Read and check the input; raise `JobFailure` if it is invalid."""
        raise NotImplementedError

    def process(self, job: Job, pause: Callable[[float], bool]) -> bool:
        """Process the records.

        Call `pause(share of the phase)` between them, and return False as soon as it returns False.
        """
        raise NotImplementedError

    def write_output(self, job: Job) -> None:
        """Write the result files and the manifest."""
        raise NotImplementedError

    def close(self) -> None:
        """Remove the temporary files."""
        raise NotImplementedError


class JobRunner:
    """Runs each job in a thread, through the statuses that AWS documents.

    While `held` is set, no job leaves the status InProgress by itself.
    """

    def __init__(
        self,
        phases: Phases,
        speed: float,
        now: Callable[[], datetime],
        work: Callable[[], JobWork],
        held: threading.Event,
    ) -> None:
        self._phases = phases
        self._speed = speed
        self._now = now
        self._make_work = work
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        self._held = held

    def start(self, job: Job) -> None:
        """Start a job in a thread."""
        thread = threading.Thread(target=self._run, args=(job,), name=f"local-bedrock-job-{job.id}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Abandon every job and wait for the threads."""
        self._closing.set()
        for thread in self._threads:
            thread.join()

    def set_status(self, job: Job, status: str, message: str | None = None) -> None:
        """Move a job to a status. A job that has ended keeps its status."""
        with self._lock:  # a job that ends while a client stops it must not go back to Stopping
            if job.status in TERMINAL or (job.status == "Stopping" and status not in TERMINAL):
                return
            job.message = message
            job.modified = self._now()
            if status in TERMINAL:
                job.ended = job.modified
            job.status = status

    def _run(self, job: Job) -> None:
        work = self._make_work()
        try:
            status, message = self._pass_phases(job, work)
        except JobFailure as failure:
            status, message = "Failed", str(failure)
        except JobStopped:
            status, message = "Stopped", None
        except Exception as error:  # a bug must end the job; otherwise it would run for ever
            status, message = "Failed", f"Internal error of the local Bedrock: {type(error).__name__}: {error}"
        finally:
            work.close()
        if not self._closing.is_set():
            self.set_status(job, status, message)
        job.over.set()

    def _pass_phases(self, job: Job, work: JobWork) -> tuple[str, str | None]:
        fault = job.fault
        phases = fault.phases or self._phases
        self._wait(job, phases.submitted)
        self.set_status(job, "Validating")
        self._wait(job, phases.validating)
        if fault.ends == "FailedInValidating":
            raise JobFailure(fault.message or _DEFAULT_MESSAGES["FailedInValidating"])
        work.validate(job)
        self.set_status(job, "Scheduled")
        self._wait(job, phases.scheduled)
        while fault.ends == "NeverStarts":
            self._wait(job, 3600)
        if fault.ends == "Expired":
            return "Expired", fault.message
        self.set_status(job, "InProgress")
        stopped = not work.process(job, lambda share: self._pause(job, phases.in_progress * share, self._held))
        while fault.ends == "NeverEnds" and not stopped:
            stopped = not self._pause(job, 3600)
        if self._closing.is_set():
            raise JobStopped
        if fault.writes_output:
            work.write_output(job)
        if stopped:
            raise JobStopped
        if fault.ends == "Failed":
            raise JobFailure(fault.message or _DEFAULT_MESSAGES["Failed"])
        return fault.ends, fault.message

    def _wait(self, job: Job, seconds: float) -> None:
        if not self._pause(job, seconds):
            raise JobStopped

    def _pause(self, job: Job, seconds: float, held: threading.Event | None = None) -> bool:
        """Wait; return False if the job must stop. It polls, because any of several events ends the wait."""
        remaining = seconds / self._speed
        while not job.stop_requested.is_set() and not self._closing.is_set():
            if remaining <= 0 and not (held and held.is_set()):
                return True
            job.stop_requested.wait(min(max(remaining, 0.02), 0.1))
            remaining -= 0.1
        return False
