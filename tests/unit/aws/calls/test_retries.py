"""The retry layer: which failures are retried, how often, and after how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.calls.retries import Retry, RetryPolicy, call

K = ErrorKind


class Script:
    """A call that fails as scripted, then answers, with a clock that moves only by sleeping."""

    def __init__(self, *errors: BaseException | ErrorKind) -> None:
        self._errors = list(errors)
        self.calls = 0
        self.waits: list[float] = []

    def __call__(self) -> str:
        self.calls += 1
        if not self._errors:
            return "answer"
        error = self._errors.pop(0)
        raise AwsError(error, "text") if isinstance(error, ErrorKind) else error

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def clock(self) -> float:
        return sum(self.waits)


def longest(low: float, high: float) -> float:
    return high


def run(script: Script, *, on_retry: Callable[[Retry], None] | None = None, **options: Any) -> str:
    policy = RetryPolicy(**{"sleep": script.sleep, "clock": script.clock, "uniform": longest, **options})
    return call(script, policy, on_retry)


def test_a_first_success_waits_for_nothing() -> None:
    """Each record would take a wait longer."""
    script = Script()
    assert run(script) == "answer"
    assert (script.calls, script.waits) == (1, [])


@pytest.mark.parametrize(
    ("kind", "attempts", "tries"),
    [
        pytest.param(K.TRANSIENT, 3, 3, id="transient: attempts"),
        pytest.param(K.MODEL_ERROR, 2, 2, id="model error: attempts"),
        pytest.param(K.TRANSIENT, 0, 1, id="at least one try"),
        pytest.param(K.THROTTLED, 3, 10, id="throttles: seven more"),
        pytest.param(K.NOT_READY, 1, 8, id="not ready: seven more"),
        pytest.param(K.TIMEOUT, 9, 2, id="read timeouts: once more"),
        pytest.param(K.TIMEOUT, 1, 1, id="read timeout: not beyond attempts"),
        pytest.param(K.VALIDATION, 3, 1, id="validation"),
        pytest.param(K.ACCESS_DENIED, 3, 1, id="access"),
        pytest.param(K.DAILY_QUOTA, 3, 1, id="tokens per day"),
        pytest.param(K.QUOTA_EXCEEDED, 3, 1, id="quota"),
        pytest.param(K.UNKNOWN, 3, 1, id="unknown"),
    ],
)
def test_the_number_of_tries_follows_from_what_a_try_costs(kind: ErrorKind, attempts: int, tries: int) -> None:
    """A user would pay for tries that cannot help, or lose records to throttling that costs nothing."""
    script = Script(*[kind] * 50)
    with pytest.raises(AwsError) as caught:
        run(script, attempts=attempts)
    assert (script.calls, caught.value.attempts, caught.value.kind) == (tries, tries, kind)


def test_throttles_do_not_use_up_the_attempts() -> None:
    """Under throttling, one server fault more would lose a record."""
    script = Script(K.THROTTLED, K.TRANSIENT, K.THROTTLED, K.THROTTLED, K.TRANSIENT, K.THROTTLED)
    assert run(script, attempts=3) == "answer"


def test_waits_double_to_the_cap_for_each_cause_apart() -> None:
    """Waits that grow without end keep a worker idle for hours; waits that do not grow keep the service throttling."""
    script = Script(*[K.THROTTLED] * 7, K.TRANSIENT)
    run(script, base=1.0, cap=20.0)
    assert script.waits == [1, 2, 4, 8, 16, 20, 20, 1]


def test_waits_have_full_jitter() -> None:
    """Workers that were throttled together would come back together."""
    ranges: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        ranges.append((low, high))
        return low

    script = Script(K.TRANSIENT, K.TRANSIENT)
    run(script, uniform=uniform)
    assert (ranges, script.waits) == ([(0.0, 1.0), (0.0, 2.0)], [0.0, 0.0])


@pytest.mark.parametrize(("asked", "waited"), [(7.0, 8.0), (0.0, 1.0), (9999.0, 301.0)], ids=["7", "0", "absurd"])
def test_the_service_is_waited_for_as_long_as_it_asks(asked: float, waited: float) -> None:
    """A try before the time that the service named is refused again; an absurd time would hang the run."""
    script = Script(AwsError(K.THROTTLED, "text", retry_after=asked))
    run(script)
    assert script.waits == [waited]


def test_no_try_begins_after_the_deadline() -> None:
    """The container would be killed while the step waits, and its answers would be lost."""
    script = Script(*[K.THROTTLED] * 50)
    with pytest.raises(AwsError):
        run(script, deadline=10.0)
    assert script.waits == [1, 2, 4]


def test_every_repetition_is_reported_before_its_wait() -> None:
    """The rate would not be lowered while the service throttles, and the summary would count no retries."""
    script = Script(K.THROTTLED, K.TRANSIENT)
    seen: list[tuple[Retry, int]] = []
    run(script, on_retry=lambda retry: seen.append((retry, len(script.waits))))
    assert [(retry.error.kind, retry.attempt, retry.wait, waits) for retry, waits in seen] == [
        (K.THROTTLED, 1, 1.0, 0),
        (K.TRANSIENT, 2, 1.0, 1),
    ]


@pytest.mark.parametrize(
    "make_error",
    [
        lambda: ClientError({"Error": {"Code": "InternalServerException", "Message": "text"}}, "Converse"),
        lambda: ReadTimeoutError(endpoint_url="http://x"),
    ],
    ids=["response", "connection"],
)
def test_errors_of_the_sdk_are_translated(make_error: Callable[[], Exception]) -> None:
    """Callers would need botocore to handle a failure."""
    assert run(Script(make_error())) == "answer"
    with pytest.raises(AwsError):
        run(Script(make_error()), attempts=1)


@pytest.mark.parametrize("error", [KeyError("bug"), KeyboardInterrupt()], ids=["bug", "interrupt"])
def test_what_is_not_of_aws_passes_through(error: BaseException) -> None:
    """A bug would be retried, and Ctrl-C ignored."""
    script = Script(error)
    with pytest.raises(type(error)):
        run(script)
    assert script.calls == 1
