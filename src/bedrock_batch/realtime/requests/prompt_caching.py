"""Prompt caching in real time: which requests are marked, who goes first, and what happens after a refusal.

https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.clients import sdk_version
from bedrock_batch.aws.runtime import knows_cache_points
from bedrock_batch.costs.estimate import INPUT_HIGH, static_tokens
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import Settings
from bedrock_batch.environment.variables.realtime import PromptCaching
from bedrock_batch.families import Capabilities
from bedrock_batch.models.cache_markers import CacheMarker, Ttl, marked_request
from bedrock_batch.models.model_input import ModelInput
from bedrock_batch.models.negotiation import MESSAGE_LIMIT, GivenUpOption
from bedrock_batch.text import shorten

# The most of the minimums that AWS lists; it applies to a model whose minimum is not known.
HIGHEST_MINIMUM = 4096
# Reported: "You invoked an unsupported model or your request did not allow prompt caching". The names of the members
# are in the refusals of unknown fields.
_REFUSAL = re.compile(r"prompt caching|cache_control|cache ?point", re.IGNORECASE)
# Seconds that others wait for the first request. They go ahead without its cache if it takes longer.
_PATIENCE = 600.0
# A slower run would write the text anew each time, since it is forgotten after five minutes without a use.
_SLOWEST_RATE = 1 / 240


@dataclass(frozen=True, slots=True)
class CachePlan:
    """Whether the requests to a model are marked: the marker or the reason why there is none, and the tokens before it.

    `tokens` is an estimate, and `minimum` what the model needs.
    """

    marker: CacheMarker | None
    reason: str
    tokens: float = 0.0
    minimum: int = HIGHEST_MINIMUM


def plan_cache(
    wanted: PromptCaching,
    able: Capabilities,
    model: ModelInput,
    beginning: str,
    *,
    sdk_knows: Callable[[bool], bool],
    rate: float,
) -> CachePlan:
    """Decide about the marker of a model's requests, whose prompts all begin with `beginning`.

    A marker behind too few tokens costs nothing, so the requests are marked if they may have enough by the estimate.

    `sdk_knows` says whether the installed SDK sends markers, and those for an hour if its argument is True; `rate` is
    the most requests in a second.
    """
    minimum = able.cache_minimum or HIGHEST_MINIMUM
    prefix = beginning if beginning.strip() else ""
    tokens = static_tokens(model, prefix)
    ttl: Ttl = "1h" if wanted == "1h" and able.cache_hour is not False else "5m"
    if reason := _reason_against(wanted, able, rate=rate):
        pass
    elif not prefix and not model.has_system:
        reason = "the prompts have no beginning in common, and there is no system prompt"
    elif tokens * INPUT_HIGH < minimum:
        reason = f"the beginning that all requests share has about {tokens:.0f} tokens, and the model needs {minimum}"
    elif model.api == "converse" and not sdk_knows(ttl == "1h"):
        reason = f"botocore {sdk_version()} does not send cache points"
    return CachePlan(None if reason else CacheMarker(prefix, ttl), reason, tokens, minimum)


def _reason_against(wanted: PromptCaching, able: Capabilities, *, rate: float) -> str:
    """Return why requests are not marked whatever they hold; empty if nothing stands against it."""
    if wanted == "off":
        return "BEDROCK_PROMPT_CACHING=off"
    if able.prompt_cache is False or (wanted == "auto" and able.prompt_cache is None):
        return f"the {able.family} family takes no cache markers, as far as is known"
    if wanted == "auto" and rate < _SLOWEST_RATE:
        return "so few requests a minute find nothing that the service still keeps"
    return ""


class CacheUse:
    """Marks the requests of a run, lets the first one to each model go alone, and gives up after a refusal.

    All threads of a run share it. `beginning` is what all prompts begin with.
    """

    def __init__(self, settings: Settings, context: RunContext, beginning: str) -> None:
        self._settings = settings
        self._context = context
        self._beginning = beginning
        self._changed = threading.Condition()
        self.reset()

    def reset(self) -> None:
        """Forget what the service has refused and keeps, for a new run."""
        with self._changed:
            self._given_up = GivenUpOption(self._context.log)
            self._written: set[str] = set()
            self._writing: set[str] = set()
            self._plans: dict[ModelInput, CachePlan] = {}

    @property
    def notes(self) -> list[str]:
        """Why requests were not marked although that was asked for, or not any more; one sentence each."""
        return self._given_up.notes

    def plan(self, able: Capabilities, asked: ModelInput) -> CachePlan:
        """Return whether the requests of a model input are marked; `able` is what its model is known to accept."""
        if asked not in self._plans:
            client = self._context.clients
            plan = plan_cache(
                self._settings.prompt_caching,
                able,
                asked,
                self._beginning,
                sdk_knows=lambda for_an_hour: knows_cache_points(client.bedrock_runtime, for_an_hour=for_an_hour),
                rate=self._settings.rate_limit_per_second,
            )
            self._plans[asked] = plan
            if plan.reason and self._settings.prompt_caching in ("5m", "1h"):
                self._given_up.add(asked.model_id, f"model={asked.model_id} cache_marker=no: {plan.reason}")
        return self._plans[asked]

    def request(self, able: Capabilities, asked: ModelInput, prompt: str) -> tuple[bytes | Mapping[str, Any], bool]:
        """Return the request for a prompt, and whether it is marked."""
        marker = None if asked.model_id in self._given_up else self.plan(able, asked).marker
        marked = marker and marked_request(asked, marker, prompt)
        return (marked, True) if marked else (asked.request(prompt), False)

    @contextmanager
    def turn(self, model_id: str, *, marked: bool, check: Callable[[], object]) -> Iterator[None]:
        """Hold back a marked request while the first one to the model is on its way, so that it reads what that wrote.

        `check` raises if the work has ended meanwhile.
        """
        if not marked or model_id in self._written:
            yield
            return
        is_first = self._wait_for_first(model_id, check)
        try:
            yield
        except BaseException:
            self._end_turn(model_id, is_first, done=False)
            raise
        self._end_turn(model_id, is_first, done=True)

    def _wait_for_first(self, model_id: str, check: Callable[[], object]) -> bool:
        """Return True for the request that goes first, and False for the others when they may go."""
        until = self._context.clock() + _PATIENCE
        while True:
            with self._changed:
                is_taken = model_id in self._writing
                if model_id in self._written or (is_taken and self._context.clock() >= until):
                    return False
                if not is_taken:
                    self._writing.add(model_id)
                    return True
                self._changed.wait(0.2)
            check()

    def _end_turn(self, model_id: str, is_first: bool, *, done: bool) -> None:
        with self._changed:
            if done:
                self._written.add(model_id)
            if is_first:
                self._writing.discard(model_id)
                self._changed.notify_all()

    def give_up(self, model_id: str, error: AwsError, *, marked: bool) -> bool:
        """Return whether the service refused the marker of a request; no other request to the model gets one then."""
        is_refusal = error.kind in (ErrorKind.VALIDATION, ErrorKind.ACCESS_DENIED) and _REFUSAL.search(error.message)
        if not marked or not is_refusal:
            return False
        message = shorten(error.message, MESSAGE_LIMIT)
        self._given_up.add(model_id, f"model={model_id} cache_marker=refused: {message}; later requests have none")
        return True
