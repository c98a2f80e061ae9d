"""Asking models in real time: one record with its retries and fallback model, or many with bounded work in flight."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from bedrock_batch.aws.retries import AwsError, ErrorKind, Retry, call, hopeless_error
from bedrock_batch.aws.runtime import converse, invoke_model
from bedrock_batch.config import Settings
from bedrock_batch.context import RunContext
from bedrock_batch.ledger.journal import AnswerJournal
from bedrock_batch.limiter import RateLimiter
from bedrock_batch.model_input import ModelInput
from bedrock_batch.records import ModelAnswer, ModelInvocationOutput, ModelInvocationRecord, RecordError

# Futures waiting behind the one whose turn it is, per worker: enough that a slow record does not idle the others.
WINDOW_PER_WORKER = 4
# Refusals that concern the model and not the record: the next record would get the same.
_MODEL_REFUSALS = frozenset({ErrorKind.ON_DEMAND_UNSUPPORTED, ErrorKind.MODEL_NOT_FOUND, ErrorKind.MODEL_UNSUPPORTED})


class RealTimeModel:
    """The primary model and its fallback, asked record by record; safe to use from many threads."""

    def __init__(
        self,
        settings: Settings,
        context: RunContext,
        primary: ModelInput,
        fallback: ModelInput | None = None,
        refusal: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._context = context
        self._primary = primary
        self._fallback = fallback
        self._refusal = refusal
        self._primary_refused = threading.Event()
        self.limiter = RateLimiter(
            settings.rate_limit_per_second,
            clock=context.clock,
            sleep=context.sleep,
            adaptive=settings.adaptive_rate,
        )

    def ask_once(
        self, record: ModelInvocationRecord, journal: AnswerJournal, purpose: str = "first"
    ) -> ModelInvocationOutput:
        """Return the output that the journal keeps for a record and a purpose, or ask for it and keep it."""
        known = journal.find(record.number, purpose)
        if known is not None:
            return known
        if reason := self._refusal():  # not kept: a later start with a higher limit asks
            return RecordError(record.number, "cost_limit", f"not asked: {reason}", "realtime", attempts=0)
        output = self.ask(record)
        journal.keep(output, purpose)
        return output

    def ask(self, record: ModelInvocationRecord) -> ModelInvocationOutput:
        """Return the answer to a record, or the reason why there is none.

        A ValidationException of the primary model is asked again of the fallback model. Raises HopelessError when no
        other record could be answered either.
        """
        try:
            if self._fallback is None or not self._primary_refused.is_set():
                return self._ask_model(self._primary, record)
            return self._ask_model(self._fallback, record)
        except AwsError as error:
            if self._fallback is not None and _is_refusal(error) and not self._primary_refused.is_set():
                return self._ask_fallback(self._fallback, record, error)
            return _failure(record, error, self._primary.model_id)

    def ask_each(
        self, records: Iterable[ModelInvocationRecord], journal: AnswerJournal, purpose: str = "first"
    ) -> Iterator[ModelInvocationOutput]:
        """Yield the output of each record, in their order; what the journal keeps is not asked again."""
        ask = partial(self.ask_once, journal=journal, purpose=purpose)
        if self._settings.concurrency_mode == "sequential":
            yield from map(ask, records)
        else:
            yield from map_in_order(ask, records, workers=self._settings.max_concurrent_workers)

    def _ask_fallback(
        self, fallback: ModelInput, record: ModelInvocationRecord, refusal: AwsError
    ) -> ModelInvocationOutput:
        if refusal.kind in _MODEL_REFUSALS and not self._primary_refused.is_set():
            self._primary_refused.set()
            self._log.warning(
                "model=%s refused (%s); fallback_model=%s takes the rest of the run",
                self._primary.model_id,
                refusal.kind.value,
                fallback.model_id,
            )
        try:
            return self._ask_model(fallback, record)
        except AwsError as error:
            return _failure(record, error, fallback.model_id)

    def _ask_model(self, model: ModelInput, record: ModelInvocationRecord) -> ModelAnswer:
        body = model.body(record.prompt)
        tries = 0

        def attempt() -> dict[str, Any]:
            nonlocal tries
            self.limiter.acquire()
            tries += 1
            client = self._context.clients.bedrock_runtime
            return (invoke_model if model.api == "invoke_model" else converse)(client, model.model_id, body)

        answer = call(
            attempt,
            attempts=self._settings.max_retries,
            sleep=self._context.sleep,
            clock=self._context.clock,
            uniform=self._context.uniform,
            on_retry=lambda retry: self._note(record, retry),
        )
        self.limiter.succeeded()
        return ModelAnswer(record.number, answer, model.model_id, "realtime", tries, model.prefilled)

    def _note(self, record: ModelInvocationRecord, retry: Retry) -> None:
        if retry.error.kind is ErrorKind.THROTTLED:
            self.limiter.throttled(retry.error.retry_after)
        self._log.info(
            "record=%s attempt=%d failed=%s wait=%.1fs",
            record.record_id,
            retry.attempt,
            retry.error.kind.value,
            retry.wait,
        )

    @property
    def _log(self) -> logging.Logger:
        return self._context.log


def map_in_order(
    function: Callable[[ModelInvocationRecord], ModelInvocationOutput],
    records: Iterable[ModelInvocationRecord],
    *,
    workers: int,
) -> Iterator[ModelInvocationOutput]:
    """Yield `function` of each record in order, `workers` at a time, reading records only a bounded window ahead.

    An exception of `function` is raised when its turn comes; what has not begun by then is not begun.
    """
    window: deque[Future[ModelInvocationOutput]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ask")
    try:
        for record in records:
            window.append(pool.submit(function, record))
            if len(window) >= workers * WINDOW_PER_WORKER:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


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
