"""A seeded scheduler for all threads of all simulated processes, which decides what runs next and advances the time.

A thread is a greenlet. It runs until it reaches a scheduling point (a lock, a wait, a sleep, a call to a service), and
the scheduler draws the thread that continues. Time stops while a thread can run, then jumps to the next timer.
"""

from __future__ import annotations

import heapq
import random
import zlib
from collections.abc import Callable
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

# A run of the step that needs more turns than this is in an endless loop.
MOST_TURNS = 200_000
# All jobs, waits and restarts of a seed take minutes of simulated time.
MOST_SECONDS = 5 * 3600.0


class StuckError(AssertionError):
    """Threads wait and none can run, or the simulation is in an endless loop."""


class Task(greenlet):
    """A thread of a simulated process."""

    def __init__(self, scheduler: Scheduler, machine: Machine, name: str, function: Callable[[], object]) -> None:
        super().__init__(self._body, scheduler.hub)
        self.scheduler = scheduler
        self.machine = machine
        self.name = name
        self.number = scheduler.next_number()
        self.function: Callable[[], object] | None = function
        self.over = False
        self.joiners: list[Task] = []
        self.waits = 0
        self.is_waiting = False
        self.timed_out = False

    def _body(self) -> None:
        try:
            self.function()  # type: ignore[misc]
        finally:
            self.over = True
            self.function = None
            for task in self.joiners:
                self.scheduler.wake(task)


class Machine:
    """A process of the step on its own machine: its clocks, its threads, and whether it lives.

    `monotonic_start` and `wall_skew` are the offsets of its clocks from the time of the simulation.
    """

    def __init__(self, name: str, monotonic_start: float, wall_skew: float) -> None:
        self.name = name
        self.monotonic_start = monotonic_start
        self.wall_skew = wall_skew
        self.tasks: list[Task] = []
        self.parked: list[Task] = []
        self.alive = True
        self.frozen = False
        self.was_frozen = False
        self.when_dead: list[Callable[[], None]] = []


class Scheduler:
    """Runs tasks by draws from a seed; `now` is the simulation's time in seconds."""

    def __init__(self, seed: int, yields: float = 0.05) -> None:
        self.random = random.Random(seed)
        self.hub = getcurrent()
        self.now = 0.0
        self.turns = 0
        self.trace = 0
        self.ended = False
        self._yields = yields
        self._ready: list[Task] = []
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = 0
        self._tasks: list[Task] = []

    def start(self, machine: Machine, name: str, function: Callable[[], object]) -> Task:
        """Begin a thread."""
        task = Task(self, machine, name, function)
        machine.tasks.append(task)
        self._tasks.append(task)
        self._make_ready(task)
        return task

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Call a function at a given time, outside all threads; it must not wait."""
        heapq.heappush(self._timers, (max(moment, self.now), self.next_number(), action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self.at(self.now + seconds, action)

    def run(self, until: Callable[[], bool]) -> None:
        """Let the threads run until a condition holds; StuckError if it never does."""
        while not until():
            self.turns += 1
            if self.turns > MOST_TURNS or self.now > MOST_SECONDS:
                raise StuckError(f"no end after {self.turns} turns and {self.now:.0f} s of simulated time")
            if self._ready:
                self._turn()
            elif self._timers:
                moment, _, action = heapq.heappop(self._timers)
                self.now = max(self.now, moment)
                action()
            else:
                waiting = [f"{task.machine.name}:{task.name}" for task in self._tasks if task.is_waiting]
                raise StuckError(f"every thread waits for ever: {', '.join(waiting)}")

    def _turn(self) -> None:
        ready = self._ready
        index = int(self.random.random() * len(ready))
        task = ready[index]
        ready[index] = ready[-1]
        ready.pop()
        self.note(str(task.number))
        task.switch()

    def note(self, text: str) -> None:
        """Add something to the checksum that shows whether two simulations took the same course."""
        self.trace = zlib.crc32(f"{self.now:.6f} {text}".encode(), self.trace)

    def pause(self) -> None:
        """A scheduling point: another thread may run before this one continues."""
        task = self._current()
        self._make_ready(task)
        self._leave(task)

    def pause_perhaps(self) -> None:
        """A scheduling point for frequent operations: another thread seldom runs."""
        if self.ended:
            raise GreenletExit
        if self.random.random() < self._yields:
            self.pause()

    def wait(self, seconds: float | None = None) -> bool:
        """Let the running thread wait until `wake` or a timeout; return False after a timeout."""
        task = self._current()
        task.is_waiting, task.timed_out = True, False
        task.waits += 1
        if seconds is not None:
            number = task.waits

            def fire() -> None:
                if task.is_waiting and task.waits == number:
                    task.timed_out = True
                    self.wake(task)

            self.after(max(0.0, seconds), fire)
        self._leave(task)
        return not task.timed_out

    def wake(self, task: Task) -> None:
        """Let a waiting thread continue."""
        if task.is_waiting:
            task.is_waiting = False
            self._make_ready(task)

    def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            self.pause()
        else:
            self.wait(seconds)

    def freeze(self, machine: Machine) -> None:
        """Freeze the threads of a machine; time goes on."""
        machine.frozen = machine.was_frozen = True
        machine.parked += [task for task in self._ready if task.machine is machine]
        self._ready = [task for task in self._ready if task.machine is not machine]
        self.note(f"freeze {machine.name}")

    def thaw(self, machine: Machine) -> None:
        if machine.frozen:
            machine.frozen = False
            parked, machine.parked = machine.parked, []
            self.note(f"thaw {machine.name}")
            for task in parked:
                self._make_ready(task)

    def kill(self, machine: Machine) -> None:
        """End a machine: its threads never run again, not even their `finally` blocks."""
        if not machine.alive:
            return
        machine.alive = False
        machine.parked.clear()
        self._ready = [task for task in self._ready if task.machine is not machine]
        self.note(f"kill {machine.name}")
        for action in machine.when_dead:
            action()

    def leave_if_dead(self) -> None:
        """Give up the turn if the running process was just killed (forever) or frozen (until it wakes up)."""
        task = self._current()
        if not task.machine.alive:
            self._leave(task)
        if task.machine.frozen:
            task.machine.parked.append(task)
            self._leave(task)

    def end(self) -> None:
        """Unwind every remaining thread; all calls of its `finally` blocks are refused."""
        self.ended = True
        for task in self._tasks:
            while not task.dead:
                task.throw(GreenletExit)
        self._tasks.clear()
        self._ready.clear()
        self._timers.clear()

    def _make_ready(self, task: Task) -> None:
        if not task.machine.alive:
            return
        (task.machine.parked if task.machine.frozen else self._ready).append(task)

    def _leave(self, task: Task) -> None:
        if self.ended:
            raise GreenletExit
        self.hub.switch()
        if self.ended:
            raise GreenletExit

    def _current(self) -> Task:
        if self.ended:
            raise GreenletExit
        task = getcurrent()
        if not isinstance(task, Task):
            raise TypeError("only a simulated thread can wait")
        return task


def current_task() -> Any:
    """Return the running simulated thread, or None outside a simulation."""
    task = getcurrent()
    return task if isinstance(task, Task) else None
