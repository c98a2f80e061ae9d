"""An iterator that runs ahead of its consumer in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Generic, TypeVar

from bedrock_batch.environment.container.signals import WAKE_SECONDS

T = TypeVar("T")

# A consumer that leaves early waits this long for the thread to clean up.
GRACE_SECONDS = 3.0


class StopFlag:
    """Tells a thread that its consumer has left."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()


class BackgroundIterator(Generic[T]):
    """Yields the items of an iterator that runs in a thread and never waits for the consumer.

    `start` makes the iterator and gets a flag that is set when the consumer leaves early. The iterator is then closed
    in its thread, and `close` waits at most `grace` seconds for its `finally` blocks. An exception of the iterator is
    raised in the consumer.
    """

    def __init__(self, start: Callable[[StopFlag], Iterator[T]], name: str, *, grace: float = GRACE_SECONDS) -> None:
        self._grace = grace
        self._stop = StopFlag()
        self._queue: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._thread = threading.Thread(target=self._run, args=(start,), name=name, daemon=True)

    def __iter__(self) -> Iterator[T]:
        self._thread.start()
        try:
            while True:
                what, value = self._get()
                if what == "end":
                    return
                if what == "error":
                    raise value
                yield value
        finally:
            self.close()

    def _get(self) -> tuple[str, Any]:
        while True:
            with suppress(queue.Empty):
                return self._queue.get(timeout=WAKE_SECONDS)

    def close(self) -> None:
        """Stop the thread and wait at most `grace` seconds for its end."""
        self._stop.set()
        self._thread.join(self._grace)

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
            except Exception as error:  # relevant only to a consumer that left early, which has a reason of its own
                ending = ("error", error)
        self._queue.put(ending)
