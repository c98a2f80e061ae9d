"""Simulated versions of the standard library's threads, locks, queues and clocks.

`installed` replaces them in the modules `threading`, `queue`, `time` and `os` while simulations run. Threads that
are not simulated, such as those of the test runner, keep the real ones. Condition, Event, Semaphore, Queue and Future
are the real ones, which use the locks that are replaced here.
"""

from __future__ import annotations

import concurrent.futures.thread
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from faults.simulation.scheduler import Task, current_task

# 2026-03-01T00:00:00Z, the wall-clock time at which a simulation begins.
WALL_START = 1_772_323_200.0


class SimulatedLock:
    """A lock between simulated threads; every use of it is a scheduling point."""

    __slots__ = ("_locked", "_waiters")

    def __init__(self) -> None:
        self._locked = False
        self._waiters: list[Task] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        task = current_task()
        if task is None:  # the test itself uses the lock after the simulation
            return True
        scheduler = task.scheduler
        scheduler.pause_perhaps()
        if self._locked:
            if not blocking:
                return False
            end = None if timeout is None or timeout < 0 else scheduler.now + timeout
            while self._locked:
                self._waiters.append(task)
                if not scheduler.wait(None if end is None else end - scheduler.now):
                    if task in self._waiters:
                        self._waiters.remove(task)
                    if self._locked:
                        return False
        self._locked = True
        return True

    def release(self) -> None:
        self._locked = False
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for task in waiters:
                task.scheduler.wake(task)

    def locked(self) -> bool:
        return self._locked

    def _is_owned(self) -> bool:
        """Answer `threading.Condition`; a pool that is collected after its simulation still notifies its threads."""
        return self._locked or current_task() is None

    __enter__ = acquire

    def __exit__(self, *_: object) -> None:
        self.release()


class SimulatedRLock:
    """A lock that its holder may acquire again."""

    __slots__ = ("_count", "_lock", "_owner", "number")

    def __init__(self) -> None:
        self.number = current_task().scheduler.next_number()
        self._lock = SimulatedLock()
        self._owner: Task | None = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        task = current_task()
        if task is not None and self._owner is task:
            self._count += 1
            return True
        if not self._lock.acquire(blocking, timeout):
            return False
        self._owner, self._count = task, 1
        return True

    def release(self) -> None:
        self._count -= 1
        if self._count <= 0:
            self._owner = None
            self._lock.release()

    __enter__ = acquire

    def __exit__(self, *_: object) -> None:
        self.release()

    # `threading.Condition` needs these of a lock that can be held more than once.
    def _is_owned(self) -> bool:
        task = current_task()
        return task is None or self._owner is task

    def _release_save(self) -> tuple[int, Task | None]:
        state = self._count, self._owner
        self._count, self._owner = 0, None
        self._lock.release()
        return state

    def _acquire_restore(self, state: tuple[int, Task | None]) -> None:
        self._lock.acquire()
        self._count, self._owner = state


class SimulatedThread:
    """A thread of the running process, with the methods that the step and its libraries use."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self._target, self._args, self._kwargs = target, args, kwargs or {}
        self._task: Task | None = None
        self._number: int = current_task().scheduler.next_number()
        self.name = name or "thread"
        self.daemon = bool(daemon)

    def __hash__(self) -> int:
        """Give sets of threads, in whose order a pool joins them, the same order in every simulation of a seed."""
        return self._number

    def start(self) -> None:
        task = current_task()
        self._task = task.scheduler.start(task.machine, self.name, self._call)

    def _call(self) -> None:
        if self._target is not None:
            self._target(*self._args, **self._kwargs)

    def join(self, timeout: float | None = None) -> None:
        waiting = current_task()
        if waiting is None or self._task is None:
            return
        scheduler = waiting.scheduler
        end = None if timeout is None else scheduler.now + timeout
        while not self._task.over:
            self._task.joiners.append(waiting)
            if not scheduler.wait(None if end is None else end - scheduler.now):
                if waiting in self._task.joiners:
                    self._task.joiners.remove(waiting)
                return

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.over


def _monotonic(task: Task) -> float:
    return task.scheduler.now + task.machine.monotonic_start


def _wall(task: Task) -> float:
    return WALL_START + task.scheduler.now + task.machine.wall_skew


def _sleep(task: Task, seconds: float) -> None:
    task.scheduler.sleep(seconds)


def _random_bytes(task: Task, count: int) -> bytes:
    return task.scheduler.random.randbytes(count)


def _in_simulation(real: Callable[..., Any], simulated: Callable[..., Any], *, takes_task: bool = False) -> Any:
    """Return a function that calls the first function in simulated threads and the second in all others."""
    if takes_task:

        def choose(*arguments: Any) -> Any:
            task = current_task()
            return real(*arguments) if task is None else simulated(task, *arguments)
    else:

        def choose(*arguments: Any, **named: Any) -> Any:
            return (real if current_task() is None else simulated)(*arguments, **named)

    return choose


def _number_of(future: Any) -> int:
    """Return a number that a future has in every simulation of a seed, unlike its address, which orders sets."""
    lock = getattr(future._condition, "_lock", None)
    return lock.number if isinstance(lock, SimulatedRLock) else object.__hash__(future)


@contextmanager
def installed() -> Iterator[None]:
    """Give the simulated primitives to simulated threads until the end of the block."""
    monotonic = _in_simulation(time.monotonic, _monotonic, takes_task=True)
    simulated = {
        (threading, "Thread"): _in_simulation(threading.Thread, SimulatedThread),
        (threading, "Lock"): _in_simulation(threading.Lock, SimulatedLock),
        (threading, "_allocate_lock"): _in_simulation(threading.Lock, SimulatedLock),
        (threading, "RLock"): _in_simulation(threading.RLock, SimulatedRLock),
        (threading, "_time"): monotonic,
        (queue, "SimpleQueue"): _in_simulation(queue.SimpleQueue, queue._PySimpleQueue),
        (queue, "time"): monotonic,
        (time, "monotonic"): monotonic,
        (time, "perf_counter"): _in_simulation(time.perf_counter, _monotonic, takes_task=True),
        (time, "time"): _in_simulation(time.time, _wall, takes_task=True),
        (time, "sleep"): _in_simulation(time.sleep, _sleep, takes_task=True),
        (os, "urandom"): _in_simulation(os.urandom, _random_bytes, takes_task=True),
        # A pool holds it while it accepts a task: a real lock would stop all simulated threads.
        (concurrent.futures.thread, "_global_shutdown_lock"): SimulatedLock(),
        (concurrent.futures.Future, "__hash__"): _number_of,
        (concurrent.futures._base, "id"): _number_of,
    }
    before = {(module, name): getattr(module, name, id) for module, name in simulated}
    try:
        for (module, name), value in simulated.items():
            setattr(module, name, value)
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)
