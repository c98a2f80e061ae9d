"""The rate limiter under a manual clock: exact, even, lowered by throttling and raised again."""

from __future__ import annotations

import random

import pytest

from bedrock_batch.realtime.requests.rate_limiter import RateLimiter
from helpers.virtual_time import VirtualTime


def make(rate: float, time: VirtualTime | None = None, *, adaptive: bool = True) -> tuple[RateLimiter, VirtualTime]:
    time = time or VirtualTime()
    return RateLimiter(rate, clock=time.clock, sleep=time.sleep, adaptive=adaptive), time


def starts_of(limiter: RateLimiter, time: VirtualTime, *, threads: int, each: int) -> list[float]:
    starts: list[float] = []

    def work() -> None:
        starts.extend(limiter.acquire() for _ in range(each))

    time.run([work] * threads)
    return starts


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        pytest.param(4, [0.0, 0.25, 0.5, 0.75, 1.0, 1.25], id="whole"),
        pytest.param(0.5, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0], id="below one"),
        pytest.param(2.5, [0.0, 0.5, 1.0, 1.5, 2.0, 2.5], id="a fraction is rounded down"),
        pytest.param(1, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], id="one"),
    ],
)
def test_starts_are_spread_evenly(rate: float, expected: list[float]) -> None:
    """Requests would start in bursts, which the service throttles first."""
    limiter, time = make(rate)
    assert starts_of(limiter, time, threads=2, each=3) == pytest.approx(expected, abs=1e-4)


def test_a_thousand_starts_take_twenty_seconds_at_fifty() -> None:
    """A run would be slower than the configured rate, or exceed it and be throttled."""
    limiter, time = make(50, VirtualTime(random.Random(7).random))  # each sleep ends up to a second too late
    starts = starts_of(limiter, time, threads=64, each=16)
    assert all(later - earlier >= 1.0 for earlier, later in zip(starts, starts[50:], strict=False))
    limiter, time = make(50, VirtualTime(lambda: 0.001))
    starts = starts_of(limiter, time, threads=64, each=16)
    assert len([start for start in starts if start < 20.0]) in range(980, 1001)


def test_one_thread_wakes_for_each_start() -> None:
    """Sixty-four threads that wake for every start would take the processor time that the requests need."""
    sleeps = 0

    class Counting(VirtualTime):
        def sleep(self, seconds: float) -> None:
            nonlocal sleeps
            sleeps += 1
            super().sleep(seconds)

    limiter, time = make(50, Counting())
    starts_of(limiter, time, threads=64, each=10)
    assert sleeps <= 2 * 640


def test_threads_take_turns() -> None:
    """A record could wait forever while others pass it."""
    limiter, time = make(10)
    order: list[int] = []

    def worker(number: int) -> None:
        for _ in range(5):
            limiter.acquire()
            order.append(number)

    time.run([lambda number=number: worker(number) for number in range(4)])  # type: ignore[misc]  # mypy: lambda default
    assert order == [0, *[0, 1, 2, 3] * 4, 1, 2, 3]  # the first thread begins before the others arrive


def test_a_rest_is_not_made_up_for() -> None:
    """After a quiet minute, the unused starts would follow in one burst."""
    limiter, time = make(4)
    starts: list[float] = []

    def work() -> None:
        starts.append(limiter.acquire())
        time.sleep(60.0)
        starts.extend(limiter.acquire() for _ in range(3))

    time.run([work])
    assert starts == pytest.approx([0.0, 60.0, 60.25, 60.5])


def test_throttles_of_one_moment_lower_the_rate_once() -> None:
    """Sixty-four simultaneous throttles would lower the rate to almost zero for minutes."""
    limiter, _ = make(50)
    for _ in range(64):
        limiter.throttled()
    figures = limiter.snapshot()
    assert (figures.current, figures.lowest, figures.throttles, figures.decreases) == (35.0, 35.0, 64, 1)


def test_throttles_a_second_apart_lower_the_rate_each_time() -> None:
    """The rate would stay far above the rate that the service allows."""
    limiter, time = make(50)
    for _ in range(3):
        limiter.throttled()
        time.now += 1.0
    assert limiter.snapshot().current == pytest.approx(50 * 0.7**3)


def test_a_request_from_before_the_last_decrease_says_nothing_new() -> None:
    """Late throttles of old requests would lower the rate again and again."""
    limiter, time = make(50)
    started = limiter.acquire()
    time.now += 5.0
    limiter.throttled()
    time.now += 5.0
    limiter.throttled(started=started)
    assert limiter.snapshot().decreases == 1
    limiter.throttled(started=limiter.acquire())
    assert limiter.snapshot().decreases == 2


def test_the_rate_never_falls_below_a_fiftieth() -> None:
    """After long throttling, a run would never end, even if the service recovers."""
    limiter, time = make(50)
    for _ in range(100):
        limiter.throttled()
        time.now += 1.0
    assert limiter.snapshot().current == 1.0


def test_all_threads_pause_after_a_throttle() -> None:
    """The other threads would be throttled, too."""
    limiter, time = make(10)
    starts: list[float] = []

    def throttled() -> None:
        starts.append(limiter.acquire())
        limiter.throttled()

    def other() -> None:
        time.sleep(0.01)
        starts.append(limiter.acquire())

    time.run([throttled] + [other] * 3)
    assert starts[0] == 0.0
    assert all(start >= 0.25 for start in starts[1:])
    assert starts[1:] == sorted(starts[1:])
    assert starts[3] - starts[1] == pytest.approx(2 / 7)  # the lower rate of 7, counted from the first start


@pytest.mark.parametrize(("asked", "waited"), [(30.0, 30.0), (9999.0, 300.0), (0.0, 0.25), (-5.0, 0.25)])
def test_all_threads_wait_as_long_as_the_service_asks(asked: float, waited: float) -> None:
    """Other threads would be throttled although the service named a time, or an absurd time would hang the run."""
    limiter, time = make(10)
    limiter.throttled(retry_after=asked)
    assert starts_of(limiter, time, threads=2, each=1)[0] == pytest.approx(waited, abs=0.2)
    assert time.now >= waited


def test_success_brings_the_rate_back_and_not_beyond() -> None:
    """A run that was throttled once would stay slow, or exceed the configured rate."""
    limiter, time = make(50)
    limiter.throttled()
    limiter.succeeded()
    assert limiter.snapshot().current == 35.0  # answers to requests that started before the decrease prove nothing
    time.now += 1.0
    limiter.succeeded()
    assert 35.0 < limiter.snapshot().current < 35.1
    for _ in range(2000):
        limiter.succeeded()
    assert limiter.snapshot().current == 50.0
    assert limiter.snapshot().lowest == 35.0


def test_a_fixed_rate_stays() -> None:
    """BEDROCK_ADAPTIVE_RATE=false would have no effect."""
    limiter, time = make(4, adaptive=False)
    limiter.throttled(retry_after=60.0)
    assert starts_of(limiter, time, threads=1, each=2) == pytest.approx([0.0, 0.25])
    assert (limiter.snapshot().current, limiter.snapshot().throttles) == (4.0, 1)


def test_the_rate_settles_at_what_the_service_allows() -> None:
    """A service that allows a fifth of the configured rate would throttle most requests."""
    limiter, time = make(50)
    served: list[float] = []
    refused: list[float] = []

    def work() -> None:
        while time.clock() < 120.0:
            started = limiter.acquire()
            time.sleep(0.05)
            if len([moment for moment in served[-10:] if moment > started - 1.0]) >= 10:
                refused.append(started)
                limiter.throttled(started=started)
            else:
                served.append(started)
                limiter.succeeded()

    time.run([work] * 8)
    steady = [moment for moment in served if 30.0 <= moment < 120.0]
    assert len(steady) / 90.0 > 7.0
    assert len(refused) < 0.1 * len(served)


def test_starts_are_counted() -> None:
    """The summary would report a wrong number of requests."""
    limiter, time = make(10)
    starts_of(limiter, time, threads=3, each=4)
    assert limiter.snapshot().starts == 12


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused(rate: float) -> None:
    """A rate of zero would make a run wait forever."""
    with pytest.raises(ValueError, match="rate_per_second"):
        RateLimiter(rate)
