"""Isolates the run from what only observes it: figures, samples and report."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from bedrock_batch.text import printable, shorten

T = TypeVar("T")
D = TypeVar("D")
_REASON_CHARACTERS = 300


class Observers:
    """Runs observers so that none of them can fail the run.

    The first exception of an observer is logged as one warning that names the observer and the defect. The observer
    is not called again, because its figures for the rest of the run would be incomplete.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._failed: set[str] = set()

    def observe(self, name: str, observer: Callable[[], T], default: D) -> T | D:
        """Return the result of an observer, or `default` if it fails or has failed before."""
        if name in self._failed:
            return default
        try:
            return observer()
        except Exception as error:
            self._failed.add(name)
            self._log.warning(
                "not in the summary and report: %s (%s: %s). The outputs are complete; please report this defect",
                name,
                type(error).__name__,
                printable(shorten(str(error), _REASON_CHARACTERS)),
            )
            return default
