"""Whether requests are marked, and who goes first."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import settings_from_mapping
from bedrock_batch.environment.variables.realtime import PromptCaching
from bedrock_batch.families import capabilities_of
from bedrock_batch.models.model_input import build_model_input
from bedrock_batch.realtime.requests.prompt_caching import CachePlan, CacheUse, plan_cache
from bedrock_batch.realtime.requests.worker_pool import HaltedError
from helpers.aws_clients import clients_at

SONNET = "anthropic.claude-sonnet-4-6"
SONNET_4 = "anthropic.claude-sonnet-4-20250514-v1:0"
NOVA = "amazon.nova-pro-v1:0"
LONG = "Read this. " * 500  # 1,375 tokens by the estimate


def decide(
    wanted: PromptCaching = "auto",
    model_id: str = SONNET,
    beginning: str = LONG,
    *,
    system: str = "",
    sdk: bool = True,
    rate: float = 10.0,
) -> CachePlan:
    asked = build_model_input(settings_from_mapping({"primary_model_id": model_id}), model_id, system_prompt=system)
    return plan_cache(wanted, capabilities_of(model_id), asked, beginning, sdk_knows=lambda _: sdk, rate=rate)


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (decide("off"), "BEDROCK_PROMPT_CACHING=off"),
        (decide(beginning="Classify: "), "the model needs 1024"),
        (decide(model_id="anthropic.claude-opus-4-6-v1"), "the model needs 4096"),
        (decide(beginning=" \n"), "no beginning in common"),
        (decide(model_id="meta.llama3-3-70b-instruct-v1:0"), "takes no cache markers"),
        (decide(model_id="x.unknown"), "takes no cache markers, as far as is known"),
        (decide(rate=0.001), "so few requests a minute"),
        (decide(model_id=NOVA, sdk=False), "does not send cache points"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_there_is_a_reason_for_each_missing_marker(plan: CachePlan, reason: str) -> None:
    """A user would pay for writing what nobody reads, or a request be refused."""
    assert plan.marker is None
    assert reason in plan.reason


def test_the_marker_stands_behind_what_all_requests_share() -> None:
    """A long beginning would be paid for in full with each row."""
    in_prompt = decide().marker
    assert in_prompt is not None
    assert in_prompt.prefix == LONG
    in_system = decide(beginning="", system=LONG).marker
    assert in_system is not None
    assert in_system.prefix == ""
    assert decide("5m", "x.unknown", LONG * 3).marker is not None
    assert decide("5m", rate=0.001).marker is not None


@pytest.mark.parametrize(
    ("wanted", "model_id", "lasts"), [("1h", SONNET, "1h"), ("1h", SONNET_4, "5m"), ("auto", SONNET, "5m")]
)
def test_the_marker_lasts_as_long_as_the_model_allows(wanted: PromptCaching, model_id: str, lasts: str) -> None:
    """A model would refuse every request for a duration that it does not know."""
    plan = decide(wanted, model_id)
    assert plan.marker is not None
    assert plan.marker.ttl == lasts


def use(log: logging.Logger | None = None, **settings: Any) -> CacheUse:
    made = settings_from_mapping({"primary_model_id": SONNET, **settings})
    return CacheUse(made, RunContext(clients_at("http://127.0.0.1:1"), log=log or logging.Logger("quiet")), LONG)


def test_the_first_request_goes_alone() -> None:
    """All requests at the start of a run would write the same text, at a higher price than without a cache."""
    caching, at_once, most, lock = use(), 0, 0, threading.Lock()
    started, first_may_end = [], threading.Event()

    def ask(number: int) -> None:
        nonlocal at_once, most
        with caching.turn(SONNET, marked=True, check=lambda: None):
            with lock:
                started.append(number)
                at_once += 1
                most = max(most, at_once)
                is_first = len(started) == 1
            if is_first:
                first_may_end.wait(5)
                assert len(started) == 1
            with lock:
                at_once -= 1

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, number) for number in range(8)]
        first_may_end.set()
        for each in asked:
            each.result()
    assert sorted(started) == list(range(8))


def test_the_next_goes_first_if_the_first_fails() -> None:
    """One failed request would let all others write the text, or hold them back for ever."""
    caching = use()
    with pytest.raises(ValueError, match="no"), caching.turn(SONNET, marked=True, check=lambda: None):
        raise ValueError("no")
    assert caching._wait_for_first(SONNET, lambda: None)


def test_a_request_that_waits_for_the_first_ends_with_the_work() -> None:
    """An interrupted run would hang for minutes."""

    def ended() -> None:
        raise HaltedError

    caching = use()
    with caching.turn(SONNET, marked=True, check=lambda: None):
        with pytest.raises(HaltedError), caching.turn(SONNET, marked=True, check=ended):
            raise AssertionError
        with caching.turn(SONNET, marked=False, check=ended), caching.turn("other", marked=True, check=ended):
            pass


def test_a_refusal_is_of_the_marker_only_if_it_says_so() -> None:
    """A run would go on without its cache for a reason that has nothing to do with it, or fail because of the cache."""
    caching = use()
    text = "You invoked an unsupported model or your request did not allow prompt caching."
    refused = AwsError(ErrorKind.VALIDATION, text)
    other = AwsError(ErrorKind.VALIDATION, "messages: at least one message is required")
    assert not caching.give_up(SONNET, other, marked=True)
    assert not caching.give_up(SONNET, refused, marked=False)
    assert caching.give_up(SONNET, refused, marked=True)
    assert caching.give_up(SONNET, refused, marked=True)
    assert len(caching.notes) == 1
    asked = build_model_input(settings_from_mapping({"primary_model_id": SONNET}), SONNET)
    assert caching.request(capabilities_of(SONNET), asked, LONG + "x")[1] is False
