"""Contact with a service: a long silence ends the run, a clock that jumped does not."""

from __future__ import annotations

import logging

import pytest

from bedrock_batch.aws.calls.contact import CONTACT_SECONDS, TRIES_BEFORE_END, Contact
from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.errors import HopelessError

LOST = AwsError(ErrorKind.TRANSIENT, "the connection was closed", operation="CreateModelInvocationJob")


class Clock:
    """A clock that only moves when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def contact_on(clock: Clock) -> Contact:
    return Contact("bedrock", logging.getLogger("test"), clock)


def test_a_process_that_was_suspended_between_two_failures_goes_on():
    """A machine that slept for an hour would end the run over a connection that it has just lost by sleeping."""
    clock = Clock()
    contact = contact_on(clock)
    contact.failed(LOST)
    clock.now += 2 * CONTACT_SECONDS
    contact.failed(LOST)


def test_half_an_hour_of_failures_ends_the_run():
    """A service behind a wrong address would be waited for without end."""
    clock = Clock()
    contact = contact_on(clock)
    for _ in range(TRIES_BEFORE_END - 1):
        contact.failed(LOST)
        clock.now += CONTACT_SECONDS
    with pytest.raises(HopelessError, match=f"in {TRIES_BEFORE_END} tries"):
        contact.failed(LOST)


def test_an_answer_begins_the_count_anew():
    """A service that fails now and then over a day would end a run that makes progress."""
    clock = Clock()
    contact = contact_on(clock)
    for _ in range(10 * TRIES_BEFORE_END):
        contact.failed(LOST)
        clock.now += CONTACT_SECONDS
        contact.answered()
