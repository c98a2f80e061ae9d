"""A simulated model invocation job: it answers record by record until it reaches one of the five terminal statuses."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from faults.simulation.model_answers import answer_to, question_in
from faults.simulation.service_errors import refusal

if TYPE_CHECKING:
    from faults.simulation.bedrock_model import BedrockModel
    from faults.simulation.s3_model import S3Model

TERMINAL = frozenset({"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"})
# A job answers this many records before it checks whether it was stopped.
AT_ONCE = 3
SLOWNESS = 20.0


class BatchJob:
    """A job; `records` are the ids and questions of its file, in order."""

    def __init__(self, model: BedrockModel, request: dict[str, Any], ordinal: int) -> None:
        self.model = model
        self.request = request
        self.name: str = request["jobName"]
        self.id = f"job{ordinal:09d}"
        self.arn = f"arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/{self.id}"
        self.status = "Submitted"
        self.message = ""
        self.submitted_at = model.network.scheduler.now
        self.submitted: datetime = model.s3.time()
        self.ended: datetime | None = None
        self.records: list[tuple[str, dict[str, Any]]] = []
        self.processed = self.errors = 0
        self._lines: list[bytes] = []
        self._rates = model.rates
        self._statuses = [self.status]
        draw = model.network.scheduler.random
        self._ending = "Completed"
        if draw.random() < self._rates.bad_ending:
            self._ending = draw.choice(("PartiallyCompleted", "Failed", "FailedInValidating", "Expired", "Stopped"))
        self._pace = draw.choice((2.0, 6.0, 20.0)) * (SLOWNESS if model.has_slow_jobs else 1.0)

    @property
    def questions(self) -> list[str]:
        return [question_in(body) for _, body in self.records]

    def begin(self) -> None:
        self._later(self._validate)

    def _later(self, action: Any) -> None:
        seconds = self._pace * self.model.network.scheduler.random.uniform(0.2, 1.8)
        self.model.network.scheduler.after(seconds, action)

    def _set(self, status: str, message: str = "") -> None:
        self._statuses.append(status)
        self.status, self.message = status, message
        if status in TERMINAL:
            self.ended = self.model.s3.time()

    def _validate(self) -> None:
        if self.status != "Submitted":
            return
        self._set("Validating")
        key = _key_of(self.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])
        found = self.model.s3.objects.get(key)
        if found is None or self._ending == "FailedInValidating":
            self._set("Failed", "Could not validate GetObject permissions for the input S3URI")
            return
        self.records = _records_in(found.data)
        self._later(self._schedule)

    def _schedule(self) -> None:
        if self.status == "Validating":
            self._set("Scheduled")
            self._later(self._start)

    def _start(self) -> None:
        if self.status == "Scheduled":
            if self._ending == "Expired":
                self._set("Expired", "the job waited too long")
                return
            self._set("InProgress")
            order = list(range(len(self.records)))
            self.model.network.scheduler.random.shuffle(order)
            if self._ending != "Completed":
                order = order[: self.model.network.scheduler.random.randint(0, len(order))]
            self._later(lambda: self._process(order))

    def _process(self, order: list[int]) -> None:
        if self.status != "InProgress":
            return
        for index in order[:AT_ONCE]:
            lines = self._lines_of(*self.records[index])
            self._lines += lines
            self.processed += bool(lines)
        if order[AT_ONCE:]:
            self._later(lambda: self._process(order[AT_ONCE:]))
        else:
            self._end(self._ending)

    def _end(self, status: str) -> None:
        """Write the results in another order than the input, and end the job."""
        folder = _key_of(self.request["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"]).rstrip("/") + f"/{self.id}"
        name = self.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"].rsplit("/", 1)[-1]
        if self._lines:
            self.model.s3.put(f"{folder}/{name}.out", b"\n".join(self._lines) + b"\n")
            totals = {
                "totalRecordCount": len(self.records),
                "processedRecordCount": self.processed,
                "successRecordCount": self.processed - self.errors,
                "errorRecordCount": self.errors,
            }
            self.model.s3.put(f"{folder}/manifest.json.out", json.dumps(totals).encode())
        self._set(status, "" if status == "Completed" else f"it ended as {status}")

    def _lines_of(self, record_id: str, body: dict[str, Any]) -> list[bytes]:
        """Answer one record and return its lines in the result file, usually one."""
        draw, rates, question = self.model.network.scheduler.random.random, self._rates, question_in(body)
        line: dict[str, Any] = {"recordId": record_id, "modelInput": body}
        if self.model.refuses(question):
            self.errors += 1
            line["error"] = {"errorCode": 400, "errorMessage": "the input is refused", "retryable": False}
        elif draw() < rates.missing:
            self.model.charges.failures[question] += 1
            return []
        elif draw() < rates.record_error:
            self.errors += 1
            self.model.charges.failures[question] += 1
            line["error"] = {"errorCode": 500, "errorMessage": "the model failed", "retryable": True}
        else:
            self.model.charges.charge(question, f"job {self.name}")
            line["modelOutput"] = answer_to(body)
            if draw() < rates.swapped:  # the line of one record under the id of another
                self.model.charges.failures[question] += 1
                self.model.charges.excuse(question, "another record's line stood under its id")
                other = self.records[int(draw() * len(self.records))][1]
                line |= {"modelInput": other, "modelOutput": answer_to(other)}
        data = json.dumps(line).encode()
        if draw() < rates.damaged:
            self.model.charges.failures[question] += 1
            if "modelOutput" in line:
                self.model.charges.excuse(question, "its line in the result file is damaged")
            return [data[: len(data) // 2]]
        return [data, data] if draw() < rates.repeated else [data]

    def stop(self) -> None:
        """Begin to stop unless the service refuses; the answers so far are written."""
        if self.status in TERMINAL or self.status == "Stopping":
            raise refusal("StopModelInvocationJob", "ConflictException", 409, f"the job is {self.status}")
        draw = self.model.network.scheduler.random
        if draw.random() < self._rates.stop_refused:
            raise refusal("StopModelInvocationJob", "AccessDeniedException", 403, "not allowed to stop")
        self._set("Stopping")
        self.model.network.scheduler.after(draw.uniform(1.0, 30.0), lambda: self._end("Stopped"))

    def summary(self) -> dict[str, Any]:
        """Return the job as a listing describes it."""
        request = self.request
        told = {
            "jobArn": self.arn,
            "jobName": self.name,
            "modelId": request["modelId"],
            "clientRequestToken": request["clientRequestToken"],
            "roleArn": request["roleArn"],
            "status": self.status,
            "submitTime": self.submitted,
            "lastModifiedTime": self.model.s3.time(),
            "inputDataConfig": request["inputDataConfig"],
            "outputDataConfig": request["outputDataConfig"],
            "timeoutDurationInHours": request["timeoutDurationInHours"],
            "jobExpirationTime": self.submitted + timedelta(hours=request["timeoutDurationInHours"]),
        }
        told |= {"message": self.message} if self.message else {}
        return told | ({"endTime": self.ended} if self.ended else {})

    def describe(self) -> dict[str, Any]:
        """Return the job as Get describes it; with some lag it has its previous status."""
        told = self.summary()
        if self.status in TERMINAL and self.model.network.scheduler.random.random() < self.model.rates.get_lag:
            told.pop("endTime", None)
            told.pop("message", None)
            told["status"] = next(status for status in reversed(self._statuses) if status not in TERMINAL)
            return told
        if self.status in TERMINAL:
            told |= {
                "totalRecordCount": len(self.records),
                "processedRecordCount": self.processed,
                "successRecordCount": self.processed - self.errors,
                "errorRecordCount": self.errors,
            }
        return told


def _key_of(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[2]


def _records_in(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    records = map(json.loads, data.splitlines())
    return [(record["recordId"], record["modelInput"]) for record in records]


def questions_in(s3: S3Model, request: dict[str, Any]) -> list[str]:
    """Return the questions in the input file of a creation request."""
    found = s3.objects.get(_key_of(request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]))
    return [question_in(body) for _, body in _records_in(found.data)] if found else []
