"""The one retry layer over AWS: which failures are tried again, how often and after how long.

The SDK's own retries are set to a single attempt for Bedrock (see `clients`), so that the two never multiply.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception

from bedrock_batch.aws.advice import advice, hopeless_error
from bedrock_batch.aws.failures import AwsError, ErrorKind, classify, translate, translating

__all__ = [
    "AwsError",
    "ErrorKind",
    "Retry",
    "advice",
    "call",
    "classify",
    "hopeless_error",
    "translate",
    "translating",
]

T = TypeVar("T")

MORE_FOR_THROTTLES = 7
TIMEOUT_TRIES = 2
RETRY_AFTER_LIMIT = 300.0


@dataclass(frozen=True, slots=True)
class Retry:
    """A try that failed and will be repeated: the error, its number (from 1) and the seconds until the next one."""

    error: AwsError
    attempt: int
    wait: float


@dataclass(slots=True)
class _Budget:
    """Counts the failures of one call by what they cost, and answers tenacity's three questions from the counts."""

    attempts: int
    throttle_attempts: int
    base: float
    cap: float
    uniform: Callable[[float, float], float]
    clock: Callable[[], float]
    deadline: float | None
    throttles: int = 0
    failures: int = 0
    timeouts: int = 0
    wait: float = field(default=0.0)

    def count(self, error: AwsError) -> None:
        if error.kind.unprocessed:
            self.throttles += 1
        else:
            self.failures += 1
            self.timeouts += error.kind is ErrorKind.TIMEOUT
        error.attempts = self.throttles + self.failures
        self.wait = self._draw(error)

    def _draw(self, error: AwsError) -> float:
        """Return the next wait: full jitter over the doubled base, or what the service asked for where that is more."""
        doublings = (self.throttles if error.kind.unprocessed else self.failures) - 1
        jitter = self.uniform(0.0, min(self.cap, self.base * 2.0 ** min(doublings, 30)))
        if error.retry_after is None:
            return jitter
        # The jitter is added: the callers that were told the same time must not come back together.
        return min(error.retry_after, RETRY_AFTER_LIMIT) + min(jitter, 1.0)

    def is_spent(self) -> bool:
        spent = (
            self.throttles >= self.throttle_attempts or self.failures >= self.attempts or self.timeouts >= TIMEOUT_TRIES
        )
        return spent or (self.deadline is not None and self.clock() + self.wait >= self.deadline)


def call(
    function: Callable[[], T],
    *,
    attempts: int = 3,
    throttle_attempts: int | None = None,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    on_retry: Callable[[Retry], None] | None = None,
    base: float = 1.0,
    cap: float = 20.0,
    deadline: float | None = None,
    uniform: Callable[[float, float], float] = random.uniform,
) -> T:
    """Return what `function` returns, trying again after failures that can pass.

    `attempts` counts tries that failed for transient reasons. Throttles are counted apart, up to `throttle_attempts`
    (default `attempts` + 7): the service refused them before it did any work, so they cost nothing. A read timeout is
    repeated at most once, whatever `attempts` says: each try may be a full generation that is charged although its
    answer never came. Waits are exponential from `base` to `cap` seconds with full jitter
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), and never shorter than the service
    asked for (bounded at 300 s). No try starts at or after `deadline`, a reading of `clock`.

    `on_retry` is told of every failure that is repeated, before the wait; the last failure is raised as an `AwsError`
    whose `attempts` tells how many tries were made. Errors that are not of AWS pass through untouched.
    """
    budget = _Budget(
        max(1, attempts),
        throttle_attempts if throttle_attempts is not None else max(1, attempts) + MORE_FOR_THROTTLES,
        base,
        cap,
        uniform,
        clock,
        deadline,
    )

    def attempt() -> T:
        try:
            with translating(""):
                return function()
        except AwsError as error:
            budget.count(error)
            raise

    def report(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if on_retry is not None and isinstance(error, AwsError):
            on_retry(Retry(error, error.attempts, budget.wait))

    def pause(seconds: float) -> None:
        sleep(seconds)

    retrying = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, AwsError) and error.kind.retryable),
        stop=lambda _: budget.is_spent(),
        wait=lambda _: budget.wait,
        sleep=pause,
        before_sleep=report,
        reraise=True,
    )
    return retrying(attempt)
