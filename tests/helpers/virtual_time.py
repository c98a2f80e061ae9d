"""Real threads on a virtual clock: one thread runs at a time, and time passes only while all threads sleep."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Sequence

STUCK_SECONDS = 10.0


class VirtualTime:
    """A clock and a `sleep` for the code under test. `oversleep` lengthens each sleep, as a busy machine does."""

    def __init__(self, oversleep: Callable[[], float] = lambda: 0.0) -> None:
        self.now = 0.0
        self._oversleep = oversleep
        self._queue: list[tuple[float, int, threading.Semaphore]] = []
        self._number = 0
        self._parked = threading.Semaphore(0)
        self._errors: list[BaseException] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Suspend the calling thread, which `run` must have started."""
        gate = self._queue_gate(self.now + seconds + self._oversleep())
        self._parked.release()
        gate.acquire()

    def run(self, workers: Sequence[Callable[[], object]]) -> None:
        """Run each worker in a thread until all end, and raise the first error of a worker."""
        for worker in workers:
            gate = self._queue_gate(self.now)
            threading.Thread(target=self._work, args=(worker, gate), daemon=True).start()
        while self._queue:
            moment, _, gate = heapq.heappop(self._queue)
            self.now = max(self.now, moment)
            gate.release()
            if not self._parked.acquire(timeout=STUCK_SECONDS):
                raise AssertionError("a thread waits for a lock that a sleeping thread holds")
        if self._errors:
            raise self._errors[0]

    def _queue_gate(self, moment: float) -> threading.Semaphore:
        gate = threading.Semaphore(0)
        self._number += 1
        heapq.heappush(self._queue, (moment, self._number, gate))
        return gate

    def _work(self, worker: Callable[[], object], gate: threading.Semaphore) -> None:
        gate.acquire()
        try:
            worker()
        except BaseException as error:  # noqa: BLE001,RUF100 - an assertion of a worker must reach the test
            self._errors.append(error)
        finally:
            self._parked.release()
