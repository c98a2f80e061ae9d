"""Limits the rate at which requests start, exactly and over all threads; throttling lowers it, success raises it."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

# The factor of botocore's adaptive mode. The recovery is slow, so that few requests are throttled again.
DECREASE = 0.7
RECOVERY_SECONDS = 50.0
LOWEST_SHARE = 0.02
PAUSE_SECONDS = 0.25
RETRY_AFTER_LIMIT = 300.0
# Without a margin, rounding can make two starts less than one second apart that are one second apart by our sum.
MARGIN = 1e-6


@dataclass(frozen=True, slots=True)
class RateSnapshot:
    """The figures of a rate limiter for the summary; rates are starts per second."""

    configured: float
    current: float
    lowest: float
    starts: int
    throttles: int
    decreases: int


class RateLimiter:
    """Admits at most `rate_per_second` starts in any second, over all threads that share it.

    A start is the time at which `acquire` reads the clock and returns. The limit holds in every closed interval of one
    second. A rate above one is rounded down (2.5 admits 2); a rate below one stretches the interval (0.5 admits one
    start in two seconds). Starts are spread evenly: each waiting thread gets a slot of its own, first come, first
    served, so that one thread wakes up per start.

    With `adaptive`, `throttled` multiplies the rate by 0.7 and pauses all threads, at most once per second and per
    round trip. `succeeded` raises the rate again, by the configured rate in 50 s and never above it. The quotas of AWS
    count tokens and not requests, so only throttling shows the right rate
    (https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html).
    """

    def __init__(
        self,
        rate_per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        adaptive: bool = True,
    ) -> None:
        if not 0 < rate_per_second < math.inf:
            raise ValueError(f"rate_per_second must be a positive number, not {rate_per_second!r}")
        self._clock = clock
        self._sleep = sleep
        self._adaptive = adaptive
        self._configured = float(rate_per_second)
        self._rate = self._lowest = self._configured
        self._floor = min(self._configured, max(self._configured * LOWEST_SHARE, 0.1))
        self._lock = threading.Lock()
        self._starts: deque[float] = deque(maxlen=max(1, math.floor(self._configured)))
        self._count = self._throttles = self._decreases = 0
        self._last_slot = -math.inf
        self._not_before = -math.inf
        self._decreased_at = -math.inf
        # Slots from before a decrease are too close together: in a new epoch, their holders ask for new ones.
        self._epoch = 0

    def acquire(self) -> float:
        """Block until a request may start and return the time, which `throttled` takes as `started`."""
        epoch: int | None = None
        while True:
            with self._lock:
                now = self._clock()
                if epoch != self._epoch:
                    epoch, slot = self._epoch, self._reserve(now)
                ready = max(slot, self._earliest())
                if now >= ready:
                    self._starts.append(now)
                    self._count += 1
                    return now
            self._sleep(ready - now)

    def throttled(self, retry_after: float | None = None, *, started: float | None = None) -> None:
        """Lower the rate after the service refused a request because of load.

        `retry_after`, in seconds, delays the starts of all threads (at most 300 s). `started` is what `acquire`
        returned for the request: a request from before the last decrease does not lower the rate again.
        """
        with self._lock:
            now = self._clock()
            self._throttles += 1
            if not self._adaptive:
                return
            if retry_after is not None:
                self._hold(now + min(max(0.0, retry_after), RETRY_AFTER_LIMIT))
            is_old_news = started is not None and started <= self._decreased_at
            if not is_old_news and now - self._decreased_at >= 1.0:
                self._decrease(now)

    def succeeded(self) -> None:
        """Raise the rate after a successful request, by the configured rate in 50 s."""
        with self._lock:
            if self._rate < self._configured and self._clock() - self._decreased_at >= 1.0:
                step = self._configured / RECOVERY_SECONDS / max(1.0, self._rate)
                self._rate = min(self._configured, self._rate + step)

    def snapshot(self) -> RateSnapshot:
        """Return the figures so far."""
        with self._lock:
            return RateSnapshot(
                self._configured, self._rate, self._lowest, self._count, self._throttles, self._decreases
            )

    def _limit(self) -> tuple[int, float]:
        """Return the number of starts allowed in a window, and the window in seconds."""
        return (math.floor(self._rate), 1.0) if self._rate >= 1 else (1, 1.0 / self._rate)

    def _reserve(self, now: float) -> float:
        count, window = self._limit()
        self._last_slot = max(now, self._last_slot + window / count)
        return self._last_slot

    def _earliest(self) -> float:
        """Return the earliest time that the starts so far and a pause allow."""
        count, window = self._limit()
        if len(self._starts) < count:
            return self._not_before
        return max(self._not_before, self._starts[-count] + window + MARGIN)

    def _hold(self, until: float) -> None:
        """Let no request start before `until`, and assign all slots again from there on."""
        self._not_before = self._last_slot = max(until, self._not_before)
        self._epoch += 1

    def _decrease(self, now: float) -> None:
        self._rate = max(self._floor, self._rate * DECREASE)
        self._lowest = min(self._lowest, self._rate)
        self._decreased_at = now
        self._decreases += 1
        self._hold(now + PAUSE_SECONDS)
