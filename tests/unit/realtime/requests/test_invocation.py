"""The checks before a request, which are repeated after the wait for the rate limiter."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import load_settings
from bedrock_batch.errors import RunError, TakenOverError
from bedrock_batch.families import capabilities_of
from bedrock_batch.ledger.fence import Fence
from bedrock_batch.models.model_input import build_model_input
from bedrock_batch.models.negotiation import NegotiatedModel
from bedrock_batch.realtime.requests.invocation import Gate, RealtimeInvoker
from bedrock_batch.realtime.requests.worker_pool import HaltedError
from bedrock_batch.records import ModelOutput, Record
from helpers.aws_clients import clients_at
from helpers.scripted_http import Reply, ScriptedServer, scripted_server

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
ANSWER = {"content": [{"type": "text", "text": "{}"}], "stop_reason": "end_turn", "usage": {}}


class Machine:
    """A clock that advances during a sleep, and an event during that sleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self.meanwhile: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()

    def invoker(self, server: ScriptedServer) -> RealtimeInvoker:
        """Return an invoker that sends one request per second."""
        settings = load_settings({"BEDROCK_PRIMARY_MODEL_ID": MODEL, "BEDROCK_RATE_LIMIT_PER_SECOND": "1"})[0]
        log = logging.Logger("quiet")
        context = RunContext(clients_at(server.url), log=log, clock=lambda: self.now, sleep=self.sleep)
        able = capabilities_of(MODEL)
        model = NegotiatedModel(able, lambda known: build_model_input(settings, MODEL, capabilities=known), log)
        return RealtimeInvoker(settings, context, model)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server(Reply(body=ANSWER)) as script:
        yield script


def test_a_question_that_waits_for_the_rate_is_not_sent_after_the_end(server: ScriptedServer) -> None:
    """An interrupted run would pay for every request that waited for its turn."""
    machine, halt = Machine(), threading.Event()
    invoker = machine.invoker(server)
    assert isinstance(invoker.ask(Record(0, "a"), Gate(halt)), ModelOutput)
    machine.meanwhile = halt.set
    with pytest.raises(HaltedError):
        invoker.ask(Record(1, "b"), Gate(halt))
    assert len(server.requests) == 1


def test_a_run_that_is_taken_over_during_the_wait_for_the_rate_asks_nothing_more(server: ScriptedServer) -> None:
    """A process that was frozen while it waited would ask the same records as its successor."""
    machine, lease = Machine(), 60.0
    taken_over = threading.Event()

    def prove() -> None:
        readings = fence.read_clocks()
        if taken_over.is_set():
            raise TakenOverError("another process works on the run")
        fence.held_since(readings)

    def freeze() -> None:
        machine.now += 2 * lease
        taken_over.set()

    fence = Fence(prove, (lambda: machine.now,), lease)
    invoker = machine.invoker(server)
    assert isinstance(invoker.ask(Record(0, "a"), Gate(fence=fence)), ModelOutput)
    machine.meanwhile = freeze
    with pytest.raises(RunError):
        invoker.ask(Record(1, "b"), Gate(fence=fence))
    assert len(server.requests) == 1


def test_questions_that_wait_for_the_fence_are_not_sent_at_once_afterwards(server: ScriptedServer) -> None:
    """After each slow write of the ledger, all workers would ask in the same moment, and the service throttle them."""
    machine = Machine()
    invoker = machine.invoker(server)

    def prove() -> None:
        machine.now += 5  # the write takes long, while the rate goes on to hand out starts
        fence.held_since(fence.read_clocks())

    fence = Fence(prove, (lambda: machine.now,), 60.0)
    assert isinstance(invoker.ask(Record(0, "a"), Gate(fence=fence)), ModelOutput)
    assert invoker.limiter.snapshot().starts == 2  # the start from before the write was given up
