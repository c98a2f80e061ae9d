"""The local Bedrock as one object: start it, point boto3 at it, read afterwards what really happened."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from moto.backends import get_backend

from local_bedrock.account import AccountDesk
from local_bedrock.answers import Answerer, AnswerSource
from local_bedrock.batch import BatchWork
from local_bedrock.behaviour import Behaviour
from local_bedrock.catalogue import Catalogue
from local_bedrock.control_plane import ControlPlane
from local_bedrock.converse import ConverseRecordWriter, read_converse_record
from local_bedrock.faults import FaultDesk, refuse_unknown_operations
from local_bedrock.http import HttpServer
from local_bedrock.jobs import Job, JobRunner
from local_bedrock.journal import Call, Hook, Journal
from local_bedrock.models import ModelDesk
from local_bedrock.records import RecordProcessor
from local_bedrock.runtime import Runtime
from local_bedrock.service import Operation, Service
from local_bedrock.storage import INTERNAL_MARK, Storage, make_client
from local_bedrock.wire import ServiceModels

_running = 0
_running_lock = threading.Lock()


class LocalBedrock:
    """Bedrock and S3 over HTTP on loopback.

    `answers` is a JSON schema (mapping or file) that every answer is valid for, or a function of model id and question;
    `speed` divides the durations of the jobs' phases. Servers of one process share their buckets; the last one that
    stops empties them.
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
        self._desk = ModelDesk(self.behaviour, Answerer(self.behaviour, answers))
        self._journal = Journal(time.time)
        self._clients: list[Any] = []
        self._plain_clients: dict[str, Any] = {}
        self._closing = threading.Event()
        self._http: HttpServer | None = None
        self._runner: JobRunner | None = None
        self._control: ControlPlane | None = None

    def start(self) -> LocalBedrock:
        """Open the port and serve until `stop()`."""
        self._http = HttpServer(*self._address)
        _count_server(1)
        self._closing.clear()
        faults = FaultDesk(self.behaviour, self._journal, self._closing.wait)
        account = AccountDesk(self.behaviour)
        service = Service(self._models, self._operations(), self._journal, faults, account)
        self._http.exchange = service.exchange
        self._http.start()
        return self

    def stop(self) -> None:
        """End every job and connection, wait for the threads and free the port."""
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
        """The URL of both Bedrock services and of S3."""
        if self._http is None:
            raise RuntimeError("the local Bedrock is not running: call start() or use it as a context manager")
        return f"http://{self._address[0]}:{self._http.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that lead any AWS SDK here, with dummy credentials."""
        services = ("BEDROCK", "BEDROCK_RUNTIME", "S3", "STS", "IAM", "SERVICE_QUOTAS")
        return {
            **{f"AWS_ENDPOINT_URL_{service}": self.endpoint_url for service in services},
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local-bedrock",
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str, **config: Any) -> Any:
        """A boto3 client (`s3`, `bedrock`, `bedrock-runtime`, `sts`) here; `config` is for botocore's Config."""
        plain = self._plain_clients.get(service) if not config else None
        if plain is not None:
            return plain
        client = make_client(service, self.endpoint_url, self.region, **config)
        self._clients.append(client)
        if not config:
            self._plain_clients[service] = client
        return client

    def create_bucket(self, name: str) -> str:
        """Create a bucket, also when it is there already; gives its name back."""
        client = make_client("s3", self.endpoint_url, "us-east-1", INTERNAL_MARK)
        with contextlib.closing(client):
            client.create_bucket(Bucket=name)
        return name

    def create_role(self, name: str, trusted_service: str = "bedrock.amazonaws.com") -> str:
        """Create a role that a service may take on, also when it is there already; gives its ARN."""
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
        """Have `hook` called before and after every call; a `CallFault` that it returns is committed at once."""
        self.hooks.append(hook)

    @property
    def hooks(self) -> list[Hook]:
        """What is called before and after every call: a hook can be added and removed at any time."""
        return self._journal.hooks

    @property
    def calls(self) -> list[Call]:
        """The calls so far (the last 200,000), in order of arrival."""
        return list(self._journal.calls)

    def count(self, operation: str) -> int:
        """How many calls of one operation (`Converse`, `S3.PutObject`) there were."""
        return self._journal.count(operation)

    @property
    def jobs(self) -> list[Job]:
        """Every job so far, in order of creation, with what really happened to each record."""
        return list(self._control.jobs) if self._control is not None else []

    @property
    def realtime_answers(self) -> Counter[str]:
        """How often each prompt, by `prompt_hash`, was answered in real time."""
        return Counter(self._journal.realtime_answers)

    @property
    def charges(self) -> Counter[str]:
        """How often each prompt, by `prompt_hash`, was paid for: in real time and in jobs together."""
        total = self.realtime_answers
        for job in self.jobs:
            total.update(fate.prompt for fate in job.fates.values() if fate.charged)
        return total

    def wait_for_jobs(self, timeout: float = 60.0) -> None:
        """Wait until every job is over; TimeoutError when one is not in time."""
        for job in self.jobs:
            if not job.over.wait(timeout):
                raise TimeoutError(f"the job {job.name} is still {job.status} after {timeout} s")

    def _operations(self) -> Mapping[str, Operation]:
        client = make_client("s3", self.endpoint_url, self.region, INTERNAL_MARK, max_pool_connections=50)
        self._clients.append(client)
        storage = Storage(client)
        self._runner = JobRunner(self.behaviour.phases, self._speed, _now, lambda: self._make_work(storage))
        self._control = ControlPlane(
            self._desk, self._runner, self.behaviour, storage.bucket_exists, _now, self.region, self._account_id
        )
        runtime = Runtime(self._desk, self._journal)
        catalogue = Catalogue(self._desk, self.behaviour, self.region, self._account_id, _now())
        return {
            "CreateModelInvocationJob": self._control.create_job,
            "GetModelInvocationJob": self._control.get_job,
            "ListModelInvocationJobs": self._control.list_jobs,
            "StopModelInvocationJob": self._control.stop_job,
            "InvokeModel": runtime.invoke_model,
            "Converse": runtime.converse,
            "CountTokens": runtime.count_tokens,
            "ListFoundationModels": catalogue.list_models,
            "GetFoundationModel": catalogue.get_model,
            "GetFoundationModelAvailability": catalogue.get_availability,
            "ListInferenceProfiles": catalogue.list_profiles,
            "GetInferenceProfile": catalogue.get_profile,
        }

    def _make_work(self, storage: Storage) -> BatchWork:
        return BatchWork(storage, self.behaviour, self._make_processor)

    def _make_processor(self, job: Job) -> RecordProcessor:
        desk, model = self._desk, job.model
        operation = self._models.operation("Converse")
        if job.request.get("modelInvocationType") == "Converse" and operation is not None:
            return RecordProcessor(
                desk,
                model,
                lambda body: desk.check(model, read_converse_record(operation, body), in_batch=True),
                ConverseRecordWriter(operation),
                self.behaviour,
                job.fault,
            )
        return RecordProcessor(
            desk,
            model,
            lambda body: desk.read_body(model, body, in_batch=True),
            lambda answer: desk.write_body(model, answer),
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
