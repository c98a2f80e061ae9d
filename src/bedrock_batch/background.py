"""An iterator that runs ahead in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class StopFlag:
    """Tells a thread that nobody waits for its results any more."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()


class Background(Generic[T]):
    """Yields what the iterator of `start` yields, which runs in a thread and never waits for the consumer.

    `start` is given a flag that is set when the consumer leaves early; the iterator is then closed in its thread, so
    that its `finally` blocks run before `close` returns. An exception of the iterator is raised in the consumer.
    """

    def __init__(self, start: Callable[[StopFlag], Iterator[T]], name: str) -> None:
        self._stop = StopFlag()
        self._queue: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._thread = threading.Thread(target=self._run, args=(start,), name=name, daemon=True)

    def __iter__(self) -> Iterator[T]:
        self._thread.start()
        try:
            while True:
                what, value = self._queue.get()
                if what == "end":
                    return
                if what == "error":
                    raise value
                yield value
        finally:
            self.close()

    def close(self) -> None:
        """Make the thread stop and wait until it has."""
        self._stop.set()
        self._thread.join()

    def _run(self, start: Callable[[StopFlag], Iterator[T]]) -> None:
        iterator = start(self._stop)
        try:
            for item in iterator:
                self._queue.put(("item", item))
                if self._stop:
                    break
            ending: tuple[str, Any] = ("end", None)
        except BaseException as error:
            ending = ("error", error)  # handed over whole: the consumer raises it
        close = getattr(iterator, "close", None)
        if close is not None:
            try:
                close()
            except Exception as error:  # only a consumer that left early makes it do anything: it has its own reason
                ending = ("error", error)
        self._queue.put(ending)
