"""Asks models in real time: one record with its retries and fallback model, or many records with a bounded pool."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from bedrock_batch.aws.calls.contact import Contact
from bedrock_batch.aws.calls.error_codes import OUT_OF_REACH, REFUSED_MODEL, ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.calls.retries import Retry, call
from bedrock_batch.aws.runtime import ask_model
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import HopelessError
from bedrock_batch.histogram import Histogram
from bedrock_batch.ledger.fence import Fence
from bedrock_batch.ledger.journal import AnswerJournal
from bedrock_batch.models.model_input import ModelInput
from bedrock_batch.models.negotiation import NegotiatedModel
from bedrock_batch.realtime.requests.prompt_caching import CacheUse
from bedrock_batch.realtime.requests.rate_limiter import RateLimiter
from bedrock_batch.realtime.requests.service_tiers import ServiceTiers
from bedrock_batch.realtime.requests.worker_pool import HaltedError, map_in_order
from bedrock_batch.records import ModelOutput, Record, RecordError, RecordOutput, prompt_check

# If this many records at the beginning all fail for the same reason, all others would fail, too.
BEGINNING = 100
# The parts in which two messages with the same reason may differ.
_PARTICULARS = re.compile(r"\(HTTP [^)]*\)|\d+")


class Gate:
    """Lets a request pass while the work goes on and the fence says that this process holds the run."""

    def __init__(self, halt: threading.Event | None = None, fence: Fence | None = None) -> None:
        self._halt = halt
        self._fence = fence

    def check(self) -> bool:
        """Return True if the request may pass at once, False if it had to wait for the fence.

        HaltedError if the work has ended, RunError if another process has taken over the run.
        """
        if self._halt is not None and self._halt.is_set():
            raise HaltedError
        return self._fence is None or self._fence.check()


class RealtimeInvoker:
    """Asks the primary model and its fallback, record by record; safe to use from many threads."""

    def __init__(
        self,
        settings: Settings,
        context: RunContext,
        primary: NegotiatedModel,
        fallback: NegotiatedModel | None = None,
        refusal: Callable[[], str | None] = lambda: None,
        beginning: str = "",
    ) -> None:
        self._settings = settings
        self._context = context
        self._primary = primary
        self._fallback = fallback
        self._refusal = refusal
        self._latency_lock = threading.Lock()
        self.latency = Histogram()
        """Seconds from request to response, without retries and waiting."""
        self._primary_refused = threading.Event()
        self._told_of_throttling = threading.Event()
        # A timeout does not show that the service is out of reach: a long generation may exceed the read timeout.
        reached_late = OUT_OF_REACH - {ErrorKind.TIMEOUT}
        self.tiers = ServiceTiers(settings.service_tier, context)
        self.caching = CacheUse(settings, context, beginning)
        self._contact = Contact("bedrock-runtime", context.log, context.clock, reached_late)
        self.limiter = RateLimiter(
            settings.rate_limit_per_second,
            clock=context.clock,
            sleep=context.sleep,
            adaptive=settings.adaptive_rate,
        )

    def per_second(self, expected_seconds: float) -> float:
        """Return how many records a second are answered, with the latency measured so far.

        Before the first answer, each is taken to last `expected_seconds`.
        """
        workers = 1 if self._settings.concurrency_mode == "sequential" else self._settings.max_concurrent_workers
        with self._latency_lock:
            seconds = self.latency.total / self.latency.count if self.latency.count else expected_seconds
        return min(self.limiter.snapshot().current, workers / max(seconds, 0.001))

    def ask_once(
        self,
        record: Record,
        journal: AnswerJournal,
        purpose: str = "first",
        halt: threading.Event | None = None,
    ) -> RecordOutput:
        """Return the output that the journal has for a record and a purpose, or ask the model and store its output."""
        check = prompt_check(record.prompt)
        known = journal.find(record.number, purpose, check)
        if known is not None:
            return known
        if reason := self._refusal():  # not stored: a later start with a higher limit asks
            return RecordError(record.number, "cost_limit", f"not asked: {reason}", "realtime", attempts=0)
        output = self.ask(record, Gate(halt, journal.fence), purpose)
        journal.keep(output, purpose, check)
        return output

    def ask(self, record: Record, gate: Gate | None = None, purpose: str = "first") -> RecordOutput:
        """Return the output for a record and a purpose, or the error that explains why there is none.

        If the primary model refuses the output mode, a lower mode is used; for any other ValidationException, the
        fallback model is asked. HopelessError if no other record could be answered either. Also raises what `gate`
        raises, before a request is sent.
        """
        gate = gate or Gate()
        if self._fallback is not None and self._primary_refused.is_set():
            return self._ask_last(self._fallback, record, gate, purpose)
        try:
            return self._ask_model(self._primary, record, gate, purpose)
        except AwsError as error:
            if self._fallback is None or not _is_refusal(error):
                return self._failure(record, error, self._primary.current.model_id)
            self._note_refusal(self._fallback, error)
        return self._ask_last(self._fallback, record, gate, purpose)

    def ask_each(
        self, records: Iterable[Record], journal: AnswerJournal, purpose: str = "first"
    ) -> Generator[RecordOutput, None, None]:
        """Yield the output of each record in order; records with an output in the journal are not asked again.

        HopelessError ends the work at once, also if the first hundred records all fail for the same reason. The outputs
        until then are stored.
        """
        halt = threading.Event()
        ask = partial(self.ask_once, journal=journal, purpose=purpose, halt=halt)
        if self._settings.concurrency_mode == "sequential":
            outputs: Iterator[RecordOutput] = map(ask, records)
        else:
            outputs = map_in_order(ask, records, workers=self._settings.max_concurrent_workers, halt=halt)
        try:
            yield from _watch_beginning(outputs) if purpose == "first" else outputs
        finally:
            halt.set()

    def _note_refusal(self, fallback: NegotiatedModel, refusal: AwsError) -> None:
        """Stop asking the primary model for the rest of the run if the service refuses the model and not one record."""
        if refusal.kind in REFUSED_MODEL and not self._primary_refused.is_set():
            self._primary_refused.set()
            self._log.warning(
                "model=%s refused (%s); fallback_model=%s answers the rest of the run",
                self._primary.current.model_id,
                refusal.kind.value,
                fallback.current.model_id,
            )

    def _ask_last(self, negotiated: NegotiatedModel, record: Record, gate: Gate, purpose: str) -> RecordOutput:
        """Return the output of the last model to ask: its refusal is an error, since no other model follows."""
        try:
            return self._ask_model(negotiated, record, gate, purpose)
        except AwsError as error:
            return self._failure(record, error, negotiated.current.model_id)

    def _ask_model(self, negotiated: NegotiatedModel, record: Record, gate: Gate, purpose: str) -> ModelOutput:
        """Return the output of a model; downgrade service tier and output mode as long as the service refuses them."""
        earlier = 0
        while True:
            model = negotiated.current
            tier = self.tiers.of(negotiated, purpose)
            request, is_marked = self.caching.request(negotiated.capabilities, model, record.prompt)
            try:
                with self.caching.turn(model.model_id, marked=is_marked, check=gate.check):
                    return self._send(model, request, tier, record, gate, earlier)
            except AwsError as error:
                if not (
                    self.tiers.give_up(model.model_id, tier, error)
                    or self.caching.give_up(model.model_id, error, marked=is_marked)
                    or (error.kind is ErrorKind.VALIDATION and negotiated.downgrade(model, error.message))
                ):
                    raise
                earlier += error.attempts

    def _send(
        self,
        model: ModelInput,
        request: bytes | Mapping[str, Any],
        tier: str | None,
        record: Record,
        gate: Gate,
        earlier: int,
    ) -> ModelOutput:
        tries, started = earlier, 0.0

        def attempt() -> dict[str, Any]:
            nonlocal tries, started
            started = self._admit(gate)
            tries += 1
            client = self._context.clients.bedrock_runtime
            begun = self._context.clock()
            try:
                output = ask_model(client, model.model_id, request, tier)
            except AwsError as error:
                self._contact.failed(error)
                raise
            self._contact.answered()
            with self._latency_lock:
                self.latency.add(self._context.clock() - begun)
            return output

        body = call(
            attempt,
            self._context.retry_policy(self._settings.max_retries),
            on_retry=lambda retry: self._note(model, record, retry, started),
        )
        self.limiter.succeeded()
        return ModelOutput(record.number, body, model.model_id, "realtime", tries, model.prefilled, frame=model.frame)

    def _admit(self, gate: Gate) -> float:
        """Return the time at which a request starts, as soon as the rate and the gate allow it."""
        while True:
            started = self.limiter.acquire()
            if gate.check():  # else all that waited for the fence would start at once
                return started

    def _note(self, model: ModelInput, record: Record, retry: Retry, started: float) -> None:
        if retry.error.kind is ErrorKind.THROTTLED:
            self.limiter.throttled(retry.error.retry_after, started=started)
            if not self._told_of_throttling.is_set():
                self._told_of_throttling.set()
                self._log.warning(
                    "throttled: each request reserves its input tokens and max_tokens=%d from the quota of tokens per "
                    "minute",
                    model.max_tokens,
                )
        # Throttling may come thousands of times; the warning above reports it once.
        level = logging.DEBUG if retry.error.kind is ErrorKind.THROTTLED else logging.INFO
        self._log.log(
            level,
            "record=%s attempt=%d failed=%s wait=%.1fs",
            record.record_id,
            retry.attempt,
            retry.error.kind.value,
            retry.wait,
        )

    def _failure(self, record: Record, error: AwsError, model_id: str) -> RecordError:
        """Return the error of a record; raise HopelessError if every other record would fail in the same way."""
        if error.kind.hopeless:
            raise self._contact.ending(error) from error
        return RecordError(
            record.number,
            error.kind.value,
            str(error),
            "realtime",
            retryable=error.kind.retryable,
            attempts=error.attempts,
            model_id=model_id,
        )

    @property
    def _log(self) -> logging.Logger:
        return self._context.log


def _watch_beginning(outputs: Iterator[RecordOutput]) -> Iterator[RecordOutput]:
    """Yield the outputs; HopelessError if the first hundred are errors with the same reason."""
    first: RecordError | None = None
    for count, output in enumerate(outputs, 1):
        if not isinstance(output, RecordError) or output.attempts == 0 or _reason(output) != _reason(first or output):
            yield output
            break
        first = first or output
        if count == BEGINNING:
            raise HopelessError(
                f"the first {BEGINNING} records all failed for the same reason, and no other record was asked: "
                f"{first.kind}: {first.message}. Correct the cause and start again; records that the service refused "
                "as invalid are asked again only with other settings or with BEDROCK_BATCH_RESUME=false"
            )
        yield output
    yield from outputs


def _reason(error: RecordError) -> tuple[str, str]:
    return error.kind, _PARTICULARS.sub("", error.message)


def _is_refusal(error: AwsError) -> bool:
    return error.kind is ErrorKind.VALIDATION or error.kind in REFUSED_MODEL
