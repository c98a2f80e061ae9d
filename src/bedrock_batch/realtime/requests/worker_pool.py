"""A worker pool of threads that yields results in the order of the items."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Generic, TypeVar

from bedrock_batch.environment.container.signals import WAKE_SECONDS

T = TypeVar("T")
R = TypeVar("R")

# Items per worker that may be ahead of the next result, so that a slow item does not leave the other workers idle.
WINDOW_PER_WORKER = 4
# Requests in flight when the work ends early may be charged, so they get this many seconds to finish. The rest of the
# 5 s that a process has after a signal is for the ledger.
GRACE_SECONDS = 3.0


class HaltedError(Exception):
    """The function did not begin an item because the work has ended."""


def map_in_order(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int,
    halt: threading.Event,
    grace: float = GRACE_SECONDS,
) -> Iterator[R]:
    """Yield the result of `function` for each item in order, by `workers` threads that read a bounded window ahead.

    The first exception of `function` ends the work at once, whatever result is next: `halt` is set, no item begins,
    items in progress get `grace` seconds, and the exception is raised. The same happens, without an exception, if the
    consumer closes the iterator early.
    """
    team = _Pool(function, workers, halt)
    window: deque[Future[R]] = deque()
    try:
        for item in items:
            window.append(team.submit(item))
            if len(window) >= workers * WINDOW_PER_WORKER:
                yield team.result(window.popleft())
        while window:
            yield team.result(window.popleft())
    finally:
        team.dismiss(grace)


class _Pool(Generic[T, R]):
    """The threads of a pool; they are daemons, so that a process can end without waiting minutes for a response."""

    def __init__(self, function: Callable[[T], R], size: int, halt: threading.Event) -> None:
        self._function = function
        self._size = size
        self._halt = halt
        self._tasks: queue.SimpleQueue[tuple[Future[R], T] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._failure: Future[None] = Future()
        self._lock = threading.Lock()

    def submit(self, item: T) -> Future[R]:
        future: Future[R] = Future()
        self._tasks.put((future, item))
        if len(self._threads) < self._size:
            thread = threading.Thread(target=self._work, name=f"ask-{len(self._threads)}", daemon=True)
            thread.start()
            self._threads.append(thread)  # after the start: a thread that could not start cannot be joined
        return future

    def result(self, future: Future[R]) -> R:
        """Return the result of an item, or raise the first failure of any item as soon as it happens."""
        waited: list[Future[Any]] = [future, self._failure]
        while not (future.done() or self._failure.done()):
            wait(waited, timeout=WAKE_SECONDS, return_when=FIRST_COMPLETED)
        if self._failure.done():
            self._failure.result()
        return future.result()

    def dismiss(self, grace: float) -> None:
        """Let no item begin, and give items in progress `grace` seconds to finish."""
        self._halt.set()
        for _ in self._threads:
            self._tasks.put(None)
        end = time.monotonic() + grace
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, item = task
            if self._halt.is_set():
                continue
            try:
                future.set_result(self._function(item))
            except HaltedError:
                continue
            except BaseException as error:  # passed on unchanged: the consumer raises it
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._halt.set()
            if not self._failure.done():
                self._failure.set_exception(error)
