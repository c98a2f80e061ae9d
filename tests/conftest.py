"""For all tests: an interrupt interrupts, and hypothesis sets no time limit, since a slow machine is not a failure.

With the variable CI, hypothesis draws the same examples each time; without it, each run looks at others.
"""

from __future__ import annotations

import os
import signal

from hypothesis import settings

import helpers.warm_sdk  # noqa: F401  its import is its work

settings.register_profile("without_deadline", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("without_deadline")


def pytest_configure() -> None:
    # A shell that starts the tests in the background has them ignore the signal.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
