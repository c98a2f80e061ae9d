"""The network between processes and services: a call takes time, and may fail, be lost, arrive late or arrive twice.

Processes are also killed and frozen here, before or after a call has its effect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from faults.simulation import service_errors
from faults.simulation.scenario import Fate, Rates
from faults.simulation.scheduler import Machine, Scheduler, current_task

T = TypeVar("T")
CALM = Rates()
# This share of frozen processes is frozen again soon after they wake up.
FREEZES_AGAIN = 0.4


@dataclass(frozen=True)
class Seen:
    """A call as the service saw it: its time, its process, and whether it had its effect."""

    time: float
    who: str
    operation: str
    detail: str
    outcome: str


class Network:
    """Carries calls; `CALM` replaces `rates` when the storm is over.

    `history` lists all calls, for debugging; it is kept only on request.
    """

    def __init__(self, scheduler: Scheduler, rates: Rates, *, keep_history: bool = False) -> None:
        self.scheduler = scheduler
        self.rates = rates
        self.fates: dict[Machine, Fate] = {}
        self.calls: dict[Machine, int] = {}
        self.history: list[Seen] | None = [] if keep_history else None

    def call(
        self,
        operation: str,
        effect: Callable[[], T],
        *,
        detail: str = "",
        refuse: Callable[[str], Exception] | None = None,
        latency: float = 0.1,
        can_repeat: bool = True,
        on_lost: Callable[[], None] = lambda: None,
    ) -> T:
        """Return the response of a service to a call of the running thread.

        `refuse` makes the error for `throttled` and `server_error`; `on_lost` is told that the answer to a call that
        has, or will have, its effect does not arrive.
        """
        scheduler, draw = self.scheduler, self.scheduler.random
        scheduler.sleep(latency * draw.uniform(0.2, 1.8))
        self._meet_fate(sent=False)
        outcome = self._draw_outcome()
        self._tell(operation, detail, outcome)
        if outcome == "lost_before":
            scheduler.sleep(draw.uniform(0.0, 5.0))
            raise service_errors.lost_request()
        if outcome in ("throttled", "server_error") and refuse is not None:
            raise refuse(outcome)
        if outcome == "late":
            on_lost()
            scheduler.after(draw.uniform(1.0, 90.0), lambda: self._carry_out_late(effect))
            scheduler.sleep(draw.uniform(1.0, 40.0))
            raise service_errors.timeout() if draw.random() < 0.5 else service_errors.lost_response()
        result = effect()
        if outcome == "twice" and can_repeat:
            scheduler.after(draw.uniform(0.0, 60.0), lambda: self._carry_out_late(effect))
        if outcome == "slow":
            scheduler.sleep(draw.uniform(5.0, 40.0))
        self._meet_fate(sent=True)
        if outcome == "lost_after":
            on_lost()
            scheduler.sleep(draw.uniform(0.0, 20.0))
            raise service_errors.timeout() if draw.random() < 0.5 else service_errors.lost_response()
        scheduler.sleep(latency * draw.uniform(0.0, 0.5))
        return result

    def _carry_out_late(self, effect: Callable[[], Any]) -> None:
        """Carry out a request whose sender no longer waits; nobody learns of a refusal."""
        try:
            effect()
        except Exception as error:  # a refusal of the service
            if not type(error).__module__.startswith("botocore"):
                raise

    def _draw_outcome(self) -> str:
        rates, lot = self.rates, self.scheduler.random.random()
        if rates is CALM:
            return "done"
        for name in ("lost_before", "lost_after", "late", "twice", "server_error", "throttled", "slow"):
            lot -= getattr(rates, name)
            if lot < 0:
                return name
        return "done"

    def cuts_body(self) -> bool:
        """Return whether the connection breaks while a response body is read."""
        return self.rates is not CALM and self.scheduler.random.random() < self.rates.cut_body

    def _meet_fate(self, *, sent: bool) -> None:
        """Kill or freeze the running process if its fate says so."""
        machine = current_task().machine
        fate = self.fates.get(machine)
        if fate is None:
            return
        if not sent:
            self.calls[machine] = self.calls.get(machine, 0) + 1
        if fate.what == "nothing" or self.calls[machine] < fate.call or fate.sent != sent:
            return
        del self.fates[machine]
        self._tell(fate.what, machine.name, f"{fate.seconds:.0f} s" if fate.what == "freeze" else "")
        if fate.what == "kill":
            self.scheduler.kill(machine)
        else:
            draw = self.scheduler.random
            if draw.random() < FREEZES_AGAIN:
                call, sent = self.calls[machine] + draw.randint(1, 4), draw.random() < 0.5
                self.fates[machine] = replace(fate, call=call, sent=sent)
            self.scheduler.freeze(machine)
            self.scheduler.after(fate.seconds, lambda: self._wake_up(machine, fate))
        self.scheduler.leave_if_dead()

    def _wake_up(self, machine: Machine, fate: Fate) -> None:
        if machine.frozen:
            if fate.suspended:
                machine.monotonic_start -= fate.seconds
            self.scheduler.thaw(machine)

    def _tell(self, operation: str, detail: str, outcome: str) -> None:
        self.scheduler.note(f"{operation} {outcome}")
        if self.history is not None:
            task = current_task()
            name = f"{task.machine.name}:{task.name}" if task else "service"
            self.history.append(Seen(self.scheduler.now, name, operation, detail, outcome))
