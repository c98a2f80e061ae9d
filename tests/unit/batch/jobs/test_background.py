"""An iterator in a thread: no item is lost, the thread ends, and errors arrive."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from bedrock_batch.batch.jobs.background import BackgroundIterator, StopFlag


def threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def consume(background: BackgroundIterator[int], error: BaseException) -> None:
    """Take one item and fail with it."""
    for _ in background:
        raise error


def test_items_arrive_in_order_and_the_thread_ends() -> None:
    """Jobs would be lost or a process would not end."""
    assert list(BackgroundIterator(lambda stop: iter(range(1000)), "numbers")) == list(range(1000))
    assert threads("numbers") == []


def test_the_producer_does_not_wait_for_the_consumer() -> None:
    """Jobs that end would not be followed by new ones while the answers of another are asked again."""
    produced = threading.Event()

    def produce(stop: StopFlag) -> Iterator[int]:
        yield 1
        yield 2
        produced.set()

    items = iter(BackgroundIterator(produce, "ahead"))
    assert next(items) == 1
    assert produced.wait(10)
    assert list(items) == [2]


def test_an_error_of_the_producer_is_raised_in_the_consumer_after_its_items() -> None:
    """A run would end as if it had succeeded, with rows missing."""

    def fail(stop: StopFlag) -> Iterator[int]:
        yield 1
        raise LookupError("lost")

    items = iter(BackgroundIterator(fail, "failing"))
    assert next(items) == 1
    with pytest.raises(LookupError, match="lost"):
        next(items)
    assert threads("failing") == []


def test_a_consumer_that_leaves_stops_the_producer_and_waits_for_its_cleanup() -> None:
    """Jobs would be created after the run has ended, and its files be removed under a thread that reads them."""
    cleaned: list[str] = []

    def produce(stop: StopFlag) -> Iterator[int]:
        number = 0
        try:
            while not stop:
                yield number
                number += 1
        finally:
            cleaned.append(threading.current_thread().name)

    items = iter(BackgroundIterator(produce, "endless"))
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]  # it is a generator
    assert cleaned == ["endless"]
    assert threads("endless") == []


def test_an_error_in_the_consumer_stops_the_producer() -> None:
    """An interrupt would leave a thread behind that creates further jobs."""
    seen: list[StopFlag] = []

    def produce(stop: StopFlag) -> Iterator[int]:
        seen.append(stop)
        while not stop:
            yield 1

    with pytest.raises(KeyboardInterrupt):
        consume(BackgroundIterator(produce, "interrupted"), KeyboardInterrupt())
    assert seen[0]
    assert threads("interrupted") == []


def test_an_error_in_the_cleanup_neither_hangs_nor_hides_the_consumers_own() -> None:
    """A run whose clean-up fails would wait for ever, or tell that failure in place of the reason it stopped for."""

    def produce(stop: StopFlag) -> Iterator[int]:
        try:
            while not stop:
                yield 1
        finally:
            raise OSError("disk full")

    with pytest.raises(KeyError):
        consume(BackgroundIterator(produce, "dirty"), KeyError("consumer"))
    assert threads("dirty") == []
