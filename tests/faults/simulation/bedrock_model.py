"""A simulated Bedrock in memory: control plane and runtime, with clients that look like boto3's."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from typing import Any

from botocore.exceptions import ClientError

from faults.simulation.batch_job import TERMINAL, BatchJob, questions_in
from faults.simulation.charges import Charges
from faults.simulation.conduct import RETRY_AFTER, Conduct
from faults.simulation.model_answers import answer_to, code_of, question_in
from faults.simulation.network import CALM, Network
from faults.simulation.s3_model import Paginator, S3Model
from faults.simulation.scenario import JobRates, Scenario
from faults.simulation.scheduler import Machine, current_task
from faults.simulation.service_errors import refusal

QUOTA = 3
PAGE = 2


class BedrockModel:
    """The jobs of an account and the questions to its models.

    `conduct` gets the calls that a process may not make at any time.
    """

    def __init__(self, s3: S3Model, network: Network, charges: Charges, conduct: Conduct, scenario: Scenario) -> None:
        self.s3 = s3
        self.network = network
        self.charges = charges
        self.conduct = conduct
        self.jobs: list[BatchJob] = []
        self.most_running = 0
        self._rates = scenario.jobs
        self.has_slow_jobs = scenario.slow_jobs
        self._scenario = scenario
        self._questions_before_denial = scenario.denied_after
        self._by_token: dict[str, BatchJob] = {}
        self._refused: set[str] = set()

    @property
    def rates(self) -> JobRates:
        """The current fault rates; all are zero in calm weather."""
        return JobRates() if self.network.rates is CALM else self._rates

    @property
    def running(self) -> list[BatchJob]:
        return [job for job in self.jobs if job.status not in TERMINAL]

    def refuses(self, question: str) -> bool:
        """Return whether all models refuse a question, in batch and in real time."""
        return code_of(question) % 1000 < self._scenario.refused_share * 1000

    def denies(self, machine: Machine) -> bool:
        """Count a question and return whether its process has lost access."""
        if self._questions_before_denial is None or not machine.name.endswith("-0"):
            return False
        self._questions_before_denial -= 1
        return self._questions_before_denial < 0

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        known = self._by_token.get(request["clientRequestToken"])
        now, draw = self.network.scheduler.now, self.network.scheduler.random.random
        is_late = current_task() is None
        if is_late and request["clientRequestToken"] in self._refused:
            # Nobody can know of a creation that is carried out after its repetition was refused.
            raise refusal("CreateModelInvocationJob", "ValidationException", 400, "the request is not valid")
        if known is not None and now - known.submitted_at <= self._scenario.token_memory:
            if known.request != request:
                raise refusal("CreateModelInvocationJob", "ConflictException", 409, "token with another request")
            return {"jobArn": known.arn}
        if any(job.name == request["jobName"] for job in self.jobs):
            raise refusal("CreateModelInvocationJob", "ConflictException", 409, "name is already in use")
        if draw() < self.rates.unavailable:
            self._refused.add(request["clientRequestToken"])
            raise refusal("CreateModelInvocationJob", "AccessDeniedException", 403, "not allowed to create jobs")
        if draw() < self.rates.refused:
            self._refused.add(request["clientRequestToken"])
            raise refusal("CreateModelInvocationJob", "ValidationException", 400, "the request is not valid")
        if draw() < self.rates.quota or len(self.running) >= QUOTA:
            raise refusal("CreateModelInvocationJob", "ServiceQuotaExceededException", 400, "too many jobs")
        if is_late:  # the process may have given the job up and asked its questions in another way
            for question in questions_in(self.s3, request):
                self.charges.excuse(question, "its job was created after nobody waited for it any more")
        job = BatchJob(self, request, len(self.jobs))
        self.jobs.append(job)
        self._by_token[request["clientRequestToken"]] = job
        self.most_running = max(self.most_running, len(self.running))
        job.begin()
        return {"jobArn": job.arn}

    def find(self, arn: str, operation: str) -> BatchJob:
        job = next((job for job in self.jobs if job.arn == arn), None)
        if job is None:
            raise refusal(operation, "ResourceNotFoundException", 404)
        return job

    def visible_jobs(self, name_contains: str) -> list[BatchJob]:
        """Return the jobs of a listing, newest first; with some lag the newest are missing."""
        lag = self.network.scheduler.random.random() < self.rates.list_lag
        horizon = self.network.scheduler.now - (30.0 if lag else 0.0)
        jobs = [job for job in self.jobs if name_contains in job.name and job.submitted_at <= horizon]
        return jobs[::-1]


class ControlPlaneClient:
    """The client `bedrock`."""

    def __init__(self, model: BedrockModel, meta: Any) -> None:
        self._model = model
        self.meta = meta

    def create_model_invocation_job(self, **request: Any) -> dict[str, Any]:
        conduct, machine, name = self._model.conduct, current_task().machine, request["jobName"]
        conduct.begin(machine, "CreateModelInvocationJob", name)
        self._model.charges.creating[machine] = questions_in(self._model.s3, request)
        try:
            return self._send("CreateModelInvocationJob", name, lambda: self._model.create(request))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ServiceQuotaExceededException":
                conduct.refuse_creation(machine, name)
            raise
        finally:
            del self._model.charges.creating[machine]

    def get_model_invocation_job(self, *, jobIdentifier: str) -> dict[str, Any]:
        def read() -> dict[str, Any]:
            return self._model.find(jobIdentifier, "GetModelInvocationJob").describe()

        self._model.conduct.look(current_task().machine, jobIdentifier)
        return self._send("GetModelInvocationJob", jobIdentifier, read)

    def stop_model_invocation_job(self, *, jobIdentifier: str) -> dict[str, Any]:
        def stop() -> dict[str, Any]:
            self._model.find(jobIdentifier, "StopModelInvocationJob").stop()
            return {}

        self._model.conduct.begin(current_task().machine, "StopModelInvocationJob", f"stop {jobIdentifier}")
        return self._send("StopModelInvocationJob", jobIdentifier, stop)

    def list_model_invocation_jobs(
        self,
        *,
        sortBy: str,
        sortOrder: str,
        nameContains: str = "",
        statusEquals: str = "",
        submitTimeAfter: datetime | None = None,
        nextToken: str = "0",
    ) -> dict[str, Any]:
        def read() -> dict[str, Any]:
            jobs, start = self._model.visible_jobs(nameContains), int(nextToken)
            page: dict[str, Any] = {"invocationJobSummaries": [job.summary() for job in jobs[start : start + PAGE]]}
            return page | ({"nextToken": str(start + PAGE)} if len(jobs) > start + PAGE else {})

        return self._send("ListModelInvocationJobs", nameContains, read)

    def get_foundation_model(self, *, modelIdentifier: str) -> dict[str, Any]:
        """Describe an active model at once: nothing depends on the answer, which the run only logs."""
        arn = f"arn:aws:bedrock:us-east-1::foundation-model/{modelIdentifier}"
        return {"modelDetails": {"modelArn": arn, "modelLifecycle": {"status": "ACTIVE"}}}

    def get_paginator(self, operation: str) -> Paginator:
        return Paginator(getattr(self, operation), "nextToken", "nextToken")

    def _send(self, operation: str, detail: str, effect: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return self._model.network.call(operation, effect, detail=detail, refuse=_refuse(operation), latency=0.2)


class RuntimeClient:
    """The client `bedrock-runtime`."""

    def __init__(self, model: BedrockModel, meta: Any) -> None:
        self._model = model
        self.meta = meta

    def invoke_model(self, *, modelId: str, body: bytes, contentType: str, accept: str) -> dict[str, Any]:
        asked = json.loads(body)
        question, model, task = question_in(asked), self._model, current_task()
        charges, operation = model.charges, "InvokeModel"
        charges.begin(task.machine, task.name, question)
        model.conduct.begin(task.machine, operation, question)
        denied = model.denies(task.machine)

        def answer() -> dict[str, Any]:
            if denied:
                raise refusal(operation, "AccessDeniedException", 403, "not allowed to invoke this model")
            if model.refuses(question):
                raise refusal(operation, "ValidationException", 400, "the input is refused")
            charges.charge(question, f"real time, {task.machine.name}:{task.name}")
            return answer_to(asked)

        try:
            result = model.network.call(
                operation,
                answer,
                detail=question,
                refuse=_refuse(operation),
                latency=1.0,
                can_repeat=False,  # Bedrock repeats nothing, and the SDK is configured not to
                on_lost=lambda: charges.excuse(question, "its answer was lost on the way"),
            )
        except Exception as error:
            charges.failures[question] += 1
            model.conduct.fail(task.machine, question, error)
            raise
        finally:
            model.conduct.end(task.machine)
        return {
            "body": BytesIO(json.dumps(result).encode()),
            "contentType": "application/json",
            "ResponseMetadata": {"HTTPStatusCode": 200, "RequestId": "simulated"},
        }


def _refuse(operation: str) -> Callable[[str], Exception]:
    def make(outcome: str) -> Exception:
        if outcome == "throttled":
            return refusal(
                operation, "ThrottlingException", 429, "Too many requests", **{"retry-after": f"{RETRY_AFTER:g}"}
            )
        return refusal(operation, "InternalServerException", 500)

    return make
