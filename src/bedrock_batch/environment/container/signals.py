"""How a signal ends the process: in order if that takes a few seconds, at once otherwise."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

# SageMaker kills a container 120 s after its SIGTERM, Kubernetes and Docker after 30 s and 10 s.
LIMIT_SECONDS = 5.0
WAKE_SECONDS = 2.0
"""The longest uninterrupted wait of the main thread.

Python handles signals in the main thread only, and a signal that the system delivers to another thread does not wake
it."""
_STDERR = 2
# A pipe that is writable takes this many bytes without blocking (POSIX: PIPE_BUF is at least 512).
_PIPE_BYTES = 512
_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_LOCAL_ENDED = "the local Bedrock ended with this process; its jobs and everything in its S3 are lost"


class SignalEnding:
    """Turns the first SIGTERM or Ctrl-C into a KeyboardInterrupt; the second ends the process with exit code 1.

    The process also ends `limit` seconds after the first signal, whatever it waits for. Such an end loses what a kill
    would lose, and no more; `tell` is called with its reason.
    """

    def __init__(self, tell: Callable[[str], None], limit: float = LIMIT_SECONDS) -> None:
        self._tell = tell
        self._limit = limit
        self.first: str | None = None
        """The name of the first signal, None before it comes."""

    def install(self) -> None:
        """Install the handlers; a signal that is ignored, as under nohup, stays ignored."""
        for number in _NAMES:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._take)
        signal.signal(signal.SIGALRM, self._expire)

    def end(self, exit_code: int) -> NoReturn:
        """End the process; after a signal do not wait for threads, which may be blocked for minutes."""
        if self.first is None:
            sys.exit(exit_code)
        logging.shutdown()
        os._exit(exit_code)

    def _take(self, number: int, _: FrameType | None) -> None:
        name = _NAMES[signal.Signals(number)]
        if self.first is not None:
            self._end_at_once(f"ended at once by a second signal ({name} after {self.first})")
        self.first = name
        signal.setitimer(signal.ITIMER_REAL, self._limit, WAKE_SECONDS)
        raise KeyboardInterrupt(name)

    def _expire(self, _: int, __: FrameType | None) -> None:
        self._end_at_once(f"ended {self._limit:g} s after {self.first}, while something still blocked it")

    def _end_at_once(self, reason: str) -> NoReturn:
        """Write the reason with system calls only: the signal may have interrupted the logger."""
        try:
            self._tell(reason)
            if select.select([], [_STDERR], [], 0)[1]:
                os.write(_STDERR, f"{reason}\n".encode()[:_PIPE_BYTES])
        finally:
            os._exit(1)


def describe_interrupt(error: KeyboardInterrupt, *, asks: bool, local: bool) -> str:
    """Return what an interrupt leaves behind and how to continue; `asks` is False if the command sends no requests."""
    if not asks:
        return "there is nothing to continue"
    left, kept_in = getattr(error, "left", None), getattr(error, "kept_in", None)
    if local and (kept_in is None or kept_in.startswith("s3:")):
        return f"{_LOCAL_ENDED}; the next start begins a new run"
    return left or "no request was under way; start the step again with the same inputs"


def describe_hard_end(*, local: bool) -> str:
    """Return what an immediate end leaves behind and how to continue; the state of the run is unknown then."""
    if local:
        return f"{_LOCAL_ENDED}; the next start begins a new run"
    return (
        "saved answers are kept, as after a kill, and batch jobs that were created go on and are charged for; to "
        "continue, start the step again with the same inputs"
    )
