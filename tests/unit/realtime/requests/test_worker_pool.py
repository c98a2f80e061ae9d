"""The worker pool: results in order, bounded reading ahead, and an immediate end after a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedrock_batch.realtime.requests.worker_pool import WINDOW_PER_WORKER, HaltedError, map_in_order


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 8))
def test_results_come_in_the_order_of_the_items(delays: list[int], workers: int) -> None:
    """A row would get the answer of a row that was answered faster."""
    items = list(enumerate(delays))

    def work(item: tuple[int, int]) -> int:
        time.sleep(item[1] / 2000)
        return item[0]

    found = list(map_in_order(work, items, workers=workers, halt=threading.Event()))
    assert found == list(range(len(items)))


def test_items_are_read_only_a_window_ahead() -> None:
    """Memory would hold a million waiting requests for a million rows."""
    read = 0

    def items() -> Iterator[int]:
        nonlocal read
        for number in range(1000):
            read = number + 1
            yield number

    results = map_in_order(lambda number: number, items(), workers=3, halt=threading.Event())
    for taken in range(1, 100):
        next(results)
        assert read <= taken + 3 * WINDOW_PER_WORKER
    results.close()  # type: ignore[attr-defined]  # a generator


def test_a_failure_is_raised_before_slow_work_ahead_of_it_ends() -> None:
    """A run that cannot continue would wait for a slow request before it ends."""
    release, halt = threading.Event(), threading.Event()

    def work(number: int) -> int:
        if number == 0:
            release.wait(30)
        if number == 1:
            raise PermissionError("no access")
        return number

    try:
        with pytest.raises(PermissionError):
            list(map_in_order(work, range(100), workers=2, halt=halt, grace=0.01))
        assert halt.is_set()
    finally:
        release.set()


def test_nothing_begins_after_a_failure() -> None:
    """The workers would send and pay for more requests after a failure has ended the run."""
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 5:
            raise ValueError("end")
        return number

    with pytest.raises(ValueError, match="end"):
        list(map_in_order(work, range(1000), workers=1, halt=threading.Event()))
    assert begun == list(range(6))


def test_what_is_under_way_when_the_consumer_leaves_comes_to_an_end() -> None:
    """Ctrl-C would lose paid answers of requests in flight."""
    started, finished = threading.Barrier(4), []
    halt = threading.Event()

    def work(number: int) -> int:
        if number >= 1:
            started.wait(10)
            halt.wait(10)
            finished.append(number)
        return number

    results = map_in_order(work, range(40), workers=3, halt=halt)
    assert next(results) == 0
    started.wait(10)
    results.close()  # type: ignore[attr-defined]  # a generator
    assert sorted(finished) == [1, 2, 3]


def test_work_that_is_halted_in_time_is_no_failure() -> None:
    """A request that was not sent would hide the error that ended the run."""
    halt = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            raise PermissionError("the reason")
        halt.wait(5)
        raise HaltedError

    with pytest.raises(PermissionError, match="the reason"):
        list(map_in_order(work, range(10), workers=4, halt=halt))
