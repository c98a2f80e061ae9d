"""Work of several threads at a time, with the results in the order of the items."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

# Results waiting behind the one whose turn it is, per worker: enough that a slow item does not idle the others.
WINDOW_PER_WORKER = 4
# What is under way when the work ends early may be paid for: it gets this long to come to an end.
GRACE_SECONDS = 5.0


class HaltedError(Exception):
    """Raised by the function for an item that it did not begin because the work has ended."""


def map_in_order(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int,
    halt: threading.Event,
    grace: float = GRACE_SECONDS,
) -> Iterator[R]:
    """Yield `function` of each item in order, `workers` at a time, reading items only a bounded window ahead.

    The first exception of `function` ends the work at once, whosever turn it is: `halt` is set, nothing more begins,
    what is under way gets `grace` seconds, and the exception is raised. The same holds when the consumer leaves early.
    """
    team = _Team(function, workers, halt)
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


class _Team(Generic[T, R]):
    """Daemon threads: a process that must end does not wait for an answer that takes minutes."""

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
            self._threads.append(thread)
            thread.start()
        return future

    def result(self, future: Future[R]) -> R:
        """Return a result, or raise the first failure of any item as soon as there is one."""
        if not (future.done() or self._failure.done()):
            waited: list[Future[Any]] = [future, self._failure]
            wait(waited, return_when=FIRST_COMPLETED)
        if self._failure.done():
            self._failure.result()
        return future.result()

    def dismiss(self, grace: float) -> None:
        """Let nothing more begin, and give what is under way `grace` seconds."""
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
            except BaseException as error:  # handed over whole: the consumer raises it
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._halt.set()
            if not self._failure.done():
                self._failure.set_exception(error)
