"""The local Bedrock as one object: start it, point boto3 at it, and read afterwards what happened."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import partial
from types import TracebackType
from typing import Any

from moto.backends import get_backend

from local_bedrock.answers.schema_answers import Answerer, AnswerSource
from local_bedrock.batch.jobs import Job, JobRunner
from local_bedrock.batch.records import RecordProcessor
from local_bedrock.batch.worker import BatchWorker
from local_bedrock.behaviour import Behaviour
from local_bedrock.faults import FaultInjector, refuse_unknown_operations
from local_bedrock.journal import Call, Hook, Journal
from local_bedrock.models.converse import ConverseRecordWriter, read_converse_record
from local_bedrock.models.registry import ModelRegistry
from local_bedrock.operations.account import AccountOperations
from local_bedrock.operations.catalogue import Catalogue
from local_bedrock.operations.control_plane import ControlPlane
from local_bedrock.operations.dispatcher import Dispatcher, Operation
from local_bedrock.operations.runtime import Runtime
from local_bedrock.operations.streams import StreamSender
from local_bedrock.storage import INTERNAL_MARK, Storage, make_client
from local_bedrock.wire.http import HttpServer
from local_bedrock.wire.protocol import ServiceModels

_running = 0
_running_lock = threading.Lock()


class LocalBedrock:
    """Bedrock and S3 over HTTP on loopback.

    `answers` is a JSON schema (mapping or file) that every answer matches, or a function of model id and question.
    `speed` divides the durations of job phases. Servers of one process share their buckets, which are emptied when the
    last server stops.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        answers: AnswerSource = None,
        speed: float = 1.0,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        region: str = "us-east-1",
        account_id: str = "123456789012",
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.region = region
        self._address = (host, port)
        self._speed = speed
        self._account_id = account_id
        self._models = ServiceModels.load()
        refuse_unknown_operations(self.behaviour, self._models.operation_names)
        self._registry = ModelRegistry(self.behaviour, Answerer(self.behaviour, answers), _now)
        self._journal = Journal(time.time)
        self._clients: list[Any] = []
        self._plain_clients: dict[str, Any] = {}
        self._closing = threading.Event()
        self._http: HttpServer | None = None
        self._runner: JobRunner | None = None
        self._jobs_held = threading.Event()
        self._control: ControlPlane | None = None

    def start(self) -> LocalBedrock:
        """Open the port and serve until `stop()`."""
        self._http = HttpServer(*self._address)
        _count_server(1)
        self._closing.clear()
        faults = FaultInjector(self.behaviour, self._journal, self._closing.wait)
        account = AccountOperations(self.behaviour)
        streams = StreamSender(self.behaviour.seconds_per_token, self._closing.wait)
        dispatcher = Dispatcher(self._models, self._operations(), self._journal, faults, account, streams)
        self._http.exchange = dispatcher.exchange
        self._http.start()
        return self

    def stop(self) -> None:
        """Abandon every job, close the connections, wait for the threads and free the port."""
        if self._http is None:
            return
        self._closing.set()
        if self._runner is not None:
            self._runner.close()
        for client in self._clients:
            client.close()
        self._clients.clear()
        self._plain_clients.clear()
        self._http.stop()
        self._http = None
        _count_server(-1)

    def __enter__(self) -> LocalBedrock:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def endpoint_url(self) -> str:
        """The endpoint URL of every service."""
        if self._http is None:
            raise RuntimeError("the local Bedrock is not running: call start() or use it as a context manager")
        return f"http://{self._address[0]}:{self._http.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that point any AWS SDK here, with dummy credentials."""
        services = ("BEDROCK", "BEDROCK_RUNTIME", "S3", "STS", "IAM", "SERVICE_QUOTAS", "PRICING")
        return {
            **{f"AWS_ENDPOINT_URL_{service}": self.endpoint_url for service in services},
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local-bedrock",
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str, **config: Any) -> Any:
        """Return a boto3 client (`s3`, `bedrock`, ...) for this server; `config` goes to botocore's Config."""
        plain = self._plain_clients.get(service) if not config else None
        if plain is not None:
            return plain
        client = make_client(service, self.endpoint_url, self.region, **config)
        self._clients.append(client)
        if not config:
            self._plain_clients[service] = client
        return client

    def create_bucket(self, name: str) -> str:
        """Create a bucket if it does not exist, and return its name."""
        client = make_client("s3", self.endpoint_url, "us-east-1", INTERNAL_MARK)
        with contextlib.closing(client):
            client.create_bucket(Bucket=name)
        return name

    def create_role(self, name: str, trusted_service: str = "bedrock.amazonaws.com") -> str:
        """Create or update a role that a service may assume, and return its ARN."""
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": trusted_service},
            "Action": "sts:AssumeRole",
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        client = make_client("iam", self.endpoint_url, "us-east-1", INTERNAL_MARK)
        with contextlib.closing(client):
            try:
                client.create_role(RoleName=name, AssumeRolePolicyDocument=policy)
            except client.exceptions.EntityAlreadyExistsException:
                client.update_assume_role_policy(RoleName=name, PolicyDocument=policy)
            return str(client.get_role(RoleName=name)["Role"]["Arn"])

    def on_call(self, hook: Hook) -> None:
        """Call `hook` before and after every call. If it returns a `CallFault`, the call fails with it."""
        self.hooks.append(hook)

    @property
    def hooks(self) -> list[Hook]:
        """The functions that are called before and after every call. Hooks may be added and removed at any time."""
        return self._journal.hooks

    @property
    def calls(self) -> list[Call]:
        """The last 200,000 calls, in order of arrival."""
        return list(self._journal.calls)

    def count(self, operation: str) -> int:
        """Return the number of calls of an operation (`Converse`, `S3.PutObject`)."""
        return self._journal.count(operation)

    @property
    def jobs(self) -> list[Job]:
        """Every job, in order of creation, with what happened to each record."""
        return list(self._control.jobs) if self._control is not None else []

    @property
    def realtime_answers(self) -> Counter[str]:
        """How often each prompt, by `prompt_hash`, was answered in real time."""
        return Counter(self._journal.realtime_answers)

    @property
    def billed_tokens(self) -> Counter[tuple[str, str]]:
        """The tokens of real-time answers that are billed, by service tier and kind, such as `("flex", "input")`."""
        return Counter(self._journal.billed_tokens)

    @property
    def charges(self) -> Counter[str]:
        """How often each prompt, by `prompt_hash`, was charged, in real time and in jobs together."""
        total = self.realtime_answers
        for job in self.jobs:
            total.update(fate.prompt for fate in job.fates.values() if fate.charged)
        return total

    def hold_jobs(self) -> None:
        """Keep jobs in progress until `release_jobs`, so that a test does not depend on how fast it runs."""
        self._jobs_held.set()

    def release_jobs(self) -> None:
        """Let the jobs that `hold_jobs` keeps go on."""
        self._jobs_held.clear()

    def wait_for_jobs(self, timeout: float = 60.0) -> None:
        """Wait until every job is over; raise TimeoutError if one is still running after `timeout` seconds.

        Jobs that `hold_jobs` keeps go on meanwhile. Later jobs are kept again.
        """
        held = self._jobs_held.is_set()
        self.release_jobs()
        for job in self.jobs:
            if not job.over.wait(timeout):
                raise TimeoutError(f"the job {job.name} is still {job.status} after {timeout} s")
        if held:
            self.hold_jobs()

    def _operations(self) -> Mapping[str, Operation]:
        client = make_client("s3", self.endpoint_url, self.region, INTERNAL_MARK, max_pool_connections=50)
        self._clients.append(client)
        storage = Storage(client)
        self._runner = JobRunner(
            self.behaviour.phases, self._speed, _now, lambda: self._make_work(storage), self._jobs_held
        )
        self._control = ControlPlane(
            self._registry, self._runner, self.behaviour, storage.bucket_exists, _now, self.region, self._account_id
        )
        runtime = Runtime(self._registry, self._journal, self.behaviour)
        catalogue = Catalogue(self._registry, self.behaviour, self.region, self._account_id, _now)
        return {
            "CreateModelInvocationJob": self._control.create_job,
            "GetModelInvocationJob": self._control.get_job,
            "ListModelInvocationJobs": self._control.list_jobs,
            "StopModelInvocationJob": self._control.stop_job,
            "InvokeModel": runtime.invoke_model,
            "InvokeModelWithResponseStream": runtime.stream_model,
            "Converse": runtime.converse,
            "ConverseStream": runtime.stream_converse,
            "CountTokens": runtime.count_tokens,
            "ListFoundationModels": catalogue.list_models,
            "GetFoundationModel": catalogue.get_model,
            "GetFoundationModelAvailability": catalogue.get_availability,
            "ListInferenceProfiles": catalogue.list_profiles,
            "GetInferenceProfile": catalogue.get_profile,
        }

    def _make_work(self, storage: Storage) -> BatchWorker:
        return BatchWorker(storage, self.behaviour, self._make_processor)

    def _make_processor(self, job: Job) -> RecordProcessor:
        registry, model = self._registry, job.model
        operation = self._models.operation("Converse")
        if job.request.get("modelInvocationType") == "Converse" and operation is not None:
            return RecordProcessor(
                registry,
                model,
                lambda body: registry.check(model, partial(read_converse_record, operation), body, in_batch=True),
                ConverseRecordWriter(operation),
                self.behaviour,
                job.fault,
            )
        return RecordProcessor(
            registry,
            model,
            lambda body: registry.read_body(model, body, in_batch=True),
            lambda answer: registry.write_body(model, answer),
            self.behaviour,
            job.fault,
        )


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _count_server(change: int) -> None:
    global _running
    with _running_lock:
        _running += change
        if _running == 0:
            _empty_s3()


def _empty_s3() -> None:
    for account in get_backend("s3").values():
        for backend in account.values():
            backend.reset()
