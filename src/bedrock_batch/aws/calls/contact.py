"""Tracks whether a service can be reached: warns after a few failures in a row, ends the run after half an hour."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection

from bedrock_batch.aws.calls.advice import advice, hopeless_error, reach_advice
from bedrock_batch.aws.calls.error_codes import OUT_OF_REACH, ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.errors import HopelessError

TRIES_BEFORE_WARNING = 3
# The cause of a longer silence hardly ever passes by itself. A process that was suspended for that long finds its clock
# far ahead after one or two failures, so the silence must also hold for some tries.
CONTACT_SECONDS = 1800.0
TRIES_BEFORE_END = 6


class Contact:
    """Tracks the calls to one service, from several threads; warns once each time it goes out of reach.

    `out_of_reach` are the kinds of failure that may mean that the service was not reached.
    """

    def __init__(
        self,
        service: str,
        log: logging.Logger,
        clock: Callable[[], float],
        out_of_reach: Collection[ErrorKind] = OUT_OF_REACH,
    ) -> None:
        self._service = service
        self._out_of_reach = out_of_reach
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._tries = 0
        self._since: float | None = None
        self._has_answered = False

    def answered(self) -> None:
        """Record that the service has answered a call, even if it refused it."""
        with self._lock:
            self._tries, self._since, self._has_answered = 0, None, True

    def failed(self, error: AwsError) -> None:
        """Record a failed call; raise HopelessError if the service is unreachable or was silent for too long."""
        if error.kind is ErrorKind.CERTIFICATE:
            raise self.ending(error) from error
        if error.kind not in self._out_of_reach:
            self.answered()
            return
        with self._lock:
            self._tries += 1
            self._since = self._clock() if self._since is None else self._since
            tries, seconds = self._tries, self._clock() - self._since
        if tries == TRIES_BEFORE_WARNING:
            self._log.warning(
                "service=%s out_of_reach tries=%d: %s. What to check: %s",
                self._service,
                tries,
                str(error).removesuffix("."),
                advice(error) or reach_advice(error),
            )
        # A name that has been resolved before will be resolved again.
        if error.kind is ErrorKind.ENDPOINT_UNKNOWN and tries >= TRIES_BEFORE_WARNING and not self._has_answered:
            raise self.ending(error) from error
        if seconds > CONTACT_SECONDS and tries >= TRIES_BEFORE_END:
            raise HopelessError(
                f"{self._service} has not answered for {seconds / 60:.0f} minutes, in {tries} tries; the last: "
                f"{str(error).removesuffix('.')}. What to check: {advice(error) or reach_advice(error)}. Then start "
                "this step again with the same inputs: it continues, and pays for no record twice"
            ) from error

    def ending(self, error: AwsError) -> HopelessError:
        """Return the exception that ends the run; it blames the settings only if the service never answered."""
        ending = hopeless_error(error)
        return HopelessError(str(ending)) if self._has_answered else ending
