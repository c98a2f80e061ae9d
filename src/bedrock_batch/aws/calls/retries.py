"""The one retry layer over AWS: which failures are retried, how often, and after how long.

The SDK's own retries are set to a single attempt for Bedrock (see `clients`), so that the two layers never multiply.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception

from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError, translating

T = TypeVar("T")

MORE_FOR_THROTTLES = 7
TIMEOUT_TRIES = 2
RETRY_AFTER_LIMIT = 300.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call is tried and how long to wait between two tries.

    `attempts` limits the tries that failed for transient reasons. Throttled tries have their own limit,
    `throttle_attempts` (by default `attempts` + 7): the service refused them before it did any work, so they cost
    nothing. A read timeout is retried at most once, whatever `attempts` says: each try may be a full generation that is
    charged although its answer never arrives.

    Waits grow exponentially from `base` to `cap` seconds, with full jitter
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), and are never shorter than the service
    asked for (bounded at 300 s). No try starts at or after `deadline`, a reading of `clock`.
    """

    attempts: int = 3
    throttle_attempts: int | None = None
    base: float = 1.0
    cap: float = 20.0
    deadline: float | None = None
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic
    uniform: Callable[[float, float], float] = random.uniform

    @property
    def most_failures(self) -> int:
        return max(1, self.attempts)

    @property
    def most_throttles(self) -> int:
        return self.most_failures + MORE_FOR_THROTTLES if self.throttle_attempts is None else self.throttle_attempts


@dataclass(frozen=True, slots=True)
class Retry:
    """A try that failed and will be repeated: the error, its number (from 1) and the seconds until the next one."""

    error: AwsError
    attempt: int
    wait: float


def call(
    function: Callable[[], T],
    policy: RetryPolicy = RetryPolicy(),
    on_retry: Callable[[Retry], None] | None = None,
) -> T:
    """Return what `function` returns, repeating it after failures that may pass.

    `on_retry` is called with every failure that will be repeated, before the wait. The last failure is raised as an
    `AwsError` whose `attempts` is the number of tries. Errors that do not come from AWS pass through untouched.
    """
    budget = _Budget(policy)

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
        policy.sleep(seconds)

    retrying = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, AwsError) and error.kind.retryable),
        stop=lambda _: budget.is_spent(),
        wait=lambda _: budget.wait,
        sleep=pause,
        before_sleep=report,
        reraise=True,
    )
    return retrying(attempt)


@dataclass(slots=True)
class _Budget:
    """Counts the failures of one call, and says whether the policy allows another try and after which wait."""

    policy: RetryPolicy
    throttles: int = 0
    failures: int = 0
    timeouts: int = 0
    wait: float = 0.0

    def count(self, error: AwsError) -> None:
        if error.kind.unprocessed:
            self.throttles += 1
        else:
            self.failures += 1
            self.timeouts += error.kind is ErrorKind.TIMEOUT
        error.attempts = self.throttles + self.failures
        self.wait = self._draw(error)

    def _draw(self, error: AwsError) -> float:
        """Return the next wait: full jitter over the doubled base, or the longer time that the service asked for."""
        doublings = (self.throttles if error.kind.unprocessed else self.failures) - 1
        longest = min(self.policy.cap, self.policy.base * 2.0 ** min(doublings, 30))
        jitter = self.policy.uniform(0.0, longest)
        if error.retry_after is None:
            return jitter
        # Callers that were given the same time must not come back together, so the jitter is added.
        return min(error.retry_after, RETRY_AFTER_LIMIT) + min(jitter, 1.0)

    def is_spent(self) -> bool:
        policy = self.policy
        spent = (
            self.throttles >= policy.most_throttles
            or self.failures >= policy.most_failures
            or self.timeouts >= TIMEOUT_TRIES
        )
        return spent or (policy.deadline is not None and policy.clock() + self.wait >= policy.deadline)
