"""Laws of the rate limiter for any rate, any number of threads and any delay of their sleeps."""

from __future__ import annotations

import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from bedrock_batch.realtime.requests.rate_limiter import RateLimiter
from helpers.virtual_time import VirtualTime

rates = st.one_of(st.integers(1, 40).map(float), st.floats(0.2, 40.0))
# What a thread does between two starts: it works for a while and learns the result of its request.
steps = st.lists(
    st.tuples(st.floats(0.0, 0.5), st.sampled_from(["succeeded", "throttled", "retry_after", "nothing"])),
    min_size=1,
    max_size=15,
)


def run(rate: float, threads: list[list[tuple[float, str]]], seed: int, lateness: float, adaptive: bool) -> list[float]:
    chance = random.Random(seed)
    time = VirtualTime(lambda: chance.random() * lateness)
    limiter = RateLimiter(rate, clock=time.clock, sleep=time.sleep, adaptive=adaptive)
    starts: list[float] = []

    def work(plan: list[tuple[float, str]]) -> None:
        for thought, outcome in plan:
            started = limiter.acquire()
            starts.append(started)
            time.sleep(thought)
            if outcome == "succeeded":
                limiter.succeeded()
            elif outcome != "nothing":
                limiter.throttled(0.7 if outcome == "retry_after" else None, started=started)

    time.run([lambda plan=plan: work(plan) for plan in threads])  # type: ignore[misc]  # mypy: lambda default
    assert limiter.snapshot().starts == len(starts)
    return starts


@settings(max_examples=60, deadline=None)
@given(
    rate=rates,
    threads=st.lists(steps, min_size=1, max_size=8),
    seed=st.integers(0, 2**32),
    lateness=st.sampled_from([0.0, 0.001, 0.05, 1.5]),
    adaptive=st.booleans(),
)
def test_no_second_has_more_starts_than_the_rate(
    rate: float, threads: list[list[tuple[float, str]]], seed: int, lateness: float, adaptive: bool
) -> None:
    """A run would exceed the quota to which the user has set the rate."""
    starts = run(rate, threads, seed, lateness, adaptive)
    allowed = max(1, math.floor(rate))
    shortest = 1.0 if rate >= 1 else 1.0 / rate
    assert starts == sorted(starts)
    # The closed second that begins at any start contains at most `allowed` starts.
    assert all(later - earlier > shortest for earlier, later in zip(starts, starts[allowed:], strict=False))


@settings(max_examples=30, deadline=None)
@given(rate=st.integers(1, 40), threads=st.integers(1, 8), each=st.integers(1, 15), seed=st.integers(0, 2**32))
def test_busy_threads_use_the_whole_rate(rate: int, threads: int, each: int, seed: int) -> None:
    """A run would be slower than its rate, and more so with more threads."""
    starts = run(float(rate), [[(0.0, "nothing")] * each] * threads, seed, 0.0, True)
    assert starts[-1] - starts[0] <= (len(starts) - 1) / rate + 1e-3
