"""The record of every call to the server, and of the prompts that were charged."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from local_bedrock.behaviour import CallFault

_KEPT_CALLS = 200_000
"""The limit keeps the memory of a long-running server bounded."""


@dataclass(frozen=True, slots=True)
class CallInfo:
    """One call as a hook sees it. `when` tells whether the service has already done its work."""

    ordinal: int
    operation: str
    operation_ordinal: int
    when: Literal["before", "after"]
    detail: Mapping[str, Any]


Hook = Callable[[CallInfo], "CallFault | None"]
"""Called in the server's thread before and after each call. A returned fault replaces the response."""


@dataclass(slots=True)
class Call:
    """One recorded call: operation (S3's begin with `S3.`), start time, parameters without bodies, outcome."""

    ordinal: int
    operation: str
    operation_ordinal: int
    time: float
    detail: dict[str, Any] = field(default_factory=dict)
    status: int | None = None
    """None while the call runs, and for a dropped connection."""
    error: str | None = None


class Journal:
    """Records calls and charges. It is thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._begun = 0
        self.calls: deque[Call] = deque(maxlen=_KEPT_CALLS)
        self.realtime_answers: Counter[str] = Counter()
        """How often each prompt, by `prompt_hash`, was answered and charged in real time."""
        self.billed_tokens: Counter[tuple[str, str]] = Counter()
        """The tokens of real-time answers by service tier and kind, such as `("flex", "input")`."""
        self.hooks: list[Hook] = []

    def begin(self, operation: str) -> Call:
        """Record the start of a call."""
        with self._lock:
            self._counts[operation] += 1
            self._begun += 1
            call = Call(self._begun, operation, self._counts[operation], self._clock())
            self.calls.append(call)
        return call

    def ask_hooks(self, call: Call, when: Literal["before", "after"]) -> CallFault | None:
        """Call every hook, and return the first fault that a hook returns."""
        if not self.hooks:
            return None
        info = CallInfo(call.ordinal, call.operation, call.operation_ordinal, when, call.detail)
        hooks = list(self.hooks)  # a copy, because hooks are added and removed while calls run
        faults = [hook(info) for hook in hooks]
        return next((fault for fault in faults if fault is not None), None)

    def charge_realtime(self, prompt: str, tier: str, tokens: Mapping[str, int]) -> None:
        """Record that a prompt (by its hash) was answered in real time, and the tokens that are billed by kind."""
        with self._lock:
            self.realtime_answers[prompt] += 1
            self.billed_tokens.update({(tier, kind): count for kind, count in tokens.items()})

    def count(self, operation: str) -> int:
        """Return the number of calls of an operation."""
        with self._lock:
            return self._counts[operation]
