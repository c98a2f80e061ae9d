"""Asking models in real time: one record with its retries and fallback model, or many with bounded work in flight."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import Any

from bedrock_batch.aws.retries import AwsError, ErrorKind, Retry, call, hopeless_error
from bedrock_batch.aws.runtime import converse, invoke_model
from bedrock_batch.config import Settings
from bedrock_batch.context import RunContext
from bedrock_batch.distributions import Histogram
from bedrock_batch.errors import HopelessError
from bedrock_batch.ladder import ModelLadder
from bedrock_batch.ledger.journal import AnswerJournal
from bedrock_batch.limiter import RateLimiter
from bedrock_batch.model_input import ModelInput
from bedrock_batch.ordered import HaltedError, map_in_order
from bedrock_batch.records import ModelAnswer, ModelInvocationOutput, ModelInvocationRecord, RecordError

# When this many records have all failed for one reason, the others would too.
BEGINNING = 100
# Refusals that concern the model and not the record: the next record would get the same.
_MODEL_REFUSALS = frozenset({ErrorKind.ON_DEMAND_UNSUPPORTED, ErrorKind.MODEL_NOT_FOUND, ErrorKind.MODEL_UNSUPPORTED})
_NEVER = threading.Event()
# What differs between two messages of one reason.
_PARTICULARS = re.compile(r"\(HTTP [^)]*\)|\d+")


class RealTimeModel:
    """The primary model and its fallback, asked record by record; safe to use from many threads."""

    def __init__(
        self,
        settings: Settings,
        context: RunContext,
        primary: ModelLadder,
        fallback: ModelLadder | None = None,
        refusal: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._context = context
        self._primary = primary
        self._fallback = fallback
        self._refusal = refusal
        self._latency_lock = threading.Lock()
        self.latency = Histogram()
        """Seconds that answers took, retries and waiting not included."""
        self._primary_refused = threading.Event()
        self._told_of_throttling = threading.Event()
        self.limiter = RateLimiter(
            settings.rate_limit_per_second,
            clock=context.clock,
            sleep=context.sleep,
            adaptive=settings.adaptive_rate,
        )

    def ask_once(
        self,
        record: ModelInvocationRecord,
        journal: AnswerJournal,
        purpose: str = "first",
        halt: threading.Event = _NEVER,
    ) -> ModelInvocationOutput:
        """Return the output that the journal keeps for a record and a purpose, or ask for it and keep it."""
        known = journal.find(record.number, purpose)
        if known is not None:
            return known
        if reason := self._refusal():  # not kept: a later start with a higher limit asks
            return RecordError(record.number, "cost_limit", f"not asked: {reason}", "realtime", attempts=0)
        output = self.ask(record, halt)
        journal.keep(output, purpose)
        return output

    def ask(self, record: ModelInvocationRecord, halt: threading.Event = _NEVER) -> ModelInvocationOutput:
        """Return the answer to a record, or the reason why there is none.

        A ValidationException of the primary model is asked again by a lower rung where it is known to be about the
        rung, and else of the fallback model. Raises HopelessError when no other record could be answered either, and
        HaltedError instead of beginning a request after `halt` is set.
        """
        if self._fallback is not None and self._primary_refused.is_set():
            return self._ask_last(self._fallback, record, halt)
        try:
            return self._ask_model(self._primary, record, halt)
        except AwsError as error:
            if self._fallback is None or not _is_refusal(error):
                return _failure(record, error, self._primary.current.model_id)
            self._note_refusal(self._fallback, error)
        return self._ask_last(self._fallback, record, halt)

    def ask_each(
        self, records: Iterable[ModelInvocationRecord], journal: AnswerJournal, purpose: str = "first"
    ) -> Generator[ModelInvocationOutput, None, None]:
        """Yield the output of each record, in their order; what the journal keeps is not asked again.

        HopelessError ends the asking at once, also when the first hundred records all fail for one reason. Answers
        that came until then are kept.
        """
        halt = threading.Event()
        ask = partial(self.ask_once, journal=journal, purpose=purpose, halt=halt)
        if self._settings.concurrency_mode == "sequential":
            outputs: Iterator[ModelInvocationOutput] = map(ask, records)
        else:
            outputs = map_in_order(ask, records, workers=self._settings.max_concurrent_workers, halt=halt)
        try:
            yield from _watch_beginning(outputs) if purpose == "first" else outputs
        finally:
            halt.set()

    def _note_refusal(self, fallback: ModelLadder, refusal: AwsError) -> None:
        """Leave the primary model for the rest of the run where it is refused as such, and not one record."""
        if refusal.kind in _MODEL_REFUSALS and not self._primary_refused.is_set():
            self._primary_refused.set()
            self._log.warning(
                "model=%s refused (%s); fallback_model=%s takes the rest of the run",
                self._primary.current.model_id,
                refusal.kind.value,
                fallback.current.model_id,
            )

    def _ask_last(
        self, ladder: ModelLadder, record: ModelInvocationRecord, halt: threading.Event
    ) -> ModelInvocationOutput:
        """Return the answer of a model behind which there is no other."""
        try:
            return self._ask_model(ladder, record, halt)
        except AwsError as error:
            return _failure(record, error, ladder.current.model_id)

    def _ask_model(self, ladder: ModelLadder, record: ModelInvocationRecord, halt: threading.Event) -> ModelAnswer:
        """Return a model's answer, asked by lower rungs while the service refuses the present one."""
        earlier = 0
        while True:
            model = ladder.current
            try:
                return self._send(model, record, halt, earlier)
            except AwsError as error:
                if error.kind is not ErrorKind.VALIDATION or ladder.lower(model, error.message) is None:
                    raise
                earlier += error.attempts

    def _send(
        self, model: ModelInput, record: ModelInvocationRecord, halt: threading.Event, earlier: int
    ) -> ModelAnswer:
        body = model.body(record.prompt)
        tries, started = earlier, 0.0

        def attempt() -> dict[str, Any]:
            nonlocal tries, started
            started = self.limiter.acquire()
            if halt.is_set():
                raise HaltedError
            tries += 1
            client = self._context.clients.bedrock_runtime
            begun = self._context.clock()
            answer = (invoke_model if model.api == "invoke_model" else converse)(client, model.model_id, body)
            with self._latency_lock:
                self.latency.add(self._context.clock() - begun)
            return answer

        answer = call(
            attempt,
            attempts=self._settings.max_retries,
            sleep=self._context.sleep,
            clock=self._context.clock,
            uniform=self._context.uniform,
            on_retry=lambda retry: self._note(model, record, retry, started),
        )
        self.limiter.succeeded()
        return ModelAnswer(record.number, answer, model.model_id, "realtime", tries, model.prefilled)

    def _note(self, model: ModelInput, record: ModelInvocationRecord, retry: Retry, started: float) -> None:
        if retry.error.kind is ErrorKind.THROTTLED:
            self.limiter.throttled(retry.error.retry_after, started=started)
            if not self._told_of_throttling.is_set():
                self._told_of_throttling.set()
                self._log.warning(
                    "throttled: each request reserves its input and max_tokens=%d of the tokens per minute",
                    model.max_tokens,
                )
        # Throttling comes in thousands, and was told above.
        level = logging.DEBUG if retry.error.kind is ErrorKind.THROTTLED else logging.INFO
        self._log.log(
            level,
            "record=%s attempt=%d failed=%s wait=%.1fs",
            record.record_id,
            retry.attempt,
            retry.error.kind.value,
            retry.wait,
        )

    @property
    def _log(self) -> logging.Logger:
        return self._context.log


def _watch_beginning(outputs: Iterator[ModelInvocationOutput]) -> Iterator[ModelInvocationOutput]:
    """Yield the outputs; HopelessError where the first hundred are failures for one and the same reason."""
    first: RecordError | None = None
    for count, output in enumerate(outputs, 1):
        if not isinstance(output, RecordError) or output.attempts == 0 or _reason(output) != _reason(first or output):
            yield output
            break
        first = first or output
        if count == BEGINNING:
            raise HopelessError(
                f"the first {BEGINNING} records all failed for one reason, and the rest was not asked: {first.kind}: "
                f"{first.message}. Mend the cause and start again; what was refused as invalid is asked again only "
                "with other settings, or with BEDROCK_BATCH_RESUME=false"
            )
        yield output
    yield from outputs


def _reason(error: RecordError) -> tuple[str, str]:
    return error.kind, _PARTICULARS.sub("", error.message)


def _is_refusal(error: AwsError) -> bool:
    return error.kind is ErrorKind.VALIDATION or error.kind in _MODEL_REFUSALS


def _failure(record: ModelInvocationRecord, error: AwsError, model_id: str) -> RecordError:
    """Return the failure as a value; raises HopelessError for one that every other record would meet too."""
    if error.kind.hopeless:
        raise hopeless_error(error) from error
    return RecordError(
        record.number,
        error.kind.value,
        str(error),
        "realtime",
        retryable=error.kind.retryable,
        attempts=error.attempts,
        model_id=model_id,
    )
