"""The output mode by which a model is asked: the best that it accepts, downgraded after each refusal."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from bedrock_batch.aws.account import find_model_arn
from bedrock_batch.aws.calls.advice import advice
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.clients import sdk_version, supports
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import Settings
from bedrock_batch.families import UNKNOWN, Capabilities, capabilities_of, hides_model, with_overrides
from bedrock_batch.models.model_input import ModelInput, build_model_input
from bedrock_batch.models.output_mode import choose_api
from bedrock_batch.models.refusals import learn, without_one_field
from bedrock_batch.text import shorten

MESSAGE_LIMIT = 300


class GivenUpOption:
    """An option of requests that some models are not sent any more, by model id; all threads of a run share it.

    `notes` has one sentence for each of these models, which is also logged as a warning.
    """

    def __init__(self, log: logging.Logger) -> None:
        self.notes: list[str] = []
        self._models: set[str] = set()
        self._lock = threading.Lock()
        self._log = log

    def __contains__(self, model_id: str) -> bool:
        return model_id in self._models

    def add(self, model_id: str, note: str) -> None:
        """Send the option to a model no more, and say why; do nothing if that is known already."""
        with self._lock:
            if model_id in self._models:
                return
            self._models.add(model_id)
            self.notes.append(note)
        self._log.warning("%s", note)


class NegotiatedModel:
    """One model and its current model input, which is only ever downgraded; all threads of a run share it.

    `build` makes the model input for capabilities: first for those of the table, later without what the service has
    refused.
    """

    def __init__(self, able: Capabilities, build: Callable[[Capabilities], ModelInput], log: logging.Logger) -> None:
        self._top = (able, build(able))
        self._build = build
        self._log = log
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Return to the first model input, for a new run."""
        with self._lock:
            self._able, self._current = self._top
            self.refusals: list[str] = []

    @property
    def current(self) -> ModelInput:
        return self._current

    @property
    def capabilities(self) -> Capabilities:
        """What the model is known to accept."""
        return self._able

    def frames(self) -> frozenset[str]:
        """Return the frames in which a run may ask the model: the first one, and those after any refusals of fields."""
        return frozenset(self._build(able).frame for able in self._reachable())

    def return_to(self, frames: Collection[str]) -> None:
        """Ask as an earlier start did whose answers have these frames; from the first model input if none is known.

        Of several frames, the one after the most refusals counts. What else the service has refused is forgotten.
        """
        self.reset()
        for able in self._reachable():
            lower = self._build(able)
            if lower.frame in frames:
                with self._lock:
                    self._able, self._current = able, lower

    def _reachable(self) -> list[Capabilities]:
        """Return the capabilities after any refusals of fields, those after fewer refusals first."""
        found, waiting = [self._top[0]], deque([self._top[0]])
        while waiting:
            for lower in without_one_field(waiting.popleft()):
                if lower not in found:
                    found.append(lower)
                    waiting.append(lower)
        return found

    def report(self) -> dict[str, Any]:
        """Return how the model was asked in the last run and what it refused, as JSON values."""
        asked = self._current
        return {
            "model_id": asked.model_id,
            "family": self._able.family,
            "api": asked.api,
            "structured_output": asked.output_mode,
            "notes": list(asked.notes),
            "refusals": list(self.refusals),
        }

    def downgrade(self, refused: ModelInput, message: str) -> ModelInput | None:
        """Return another model input after the service refused `refused` with `message`, or None if there is none."""
        with self._lock:
            if refused is not self._current:  # another thread has handled the same refusal
                return self._current
            learned = learn(self._able, message)
            if learned is None:
                return None
            lower = self._build(learned)
            if (lower.head, lower.tail) == (refused.head, refused.tail):
                return None
            self._able, self._current = learned, lower
            note = f"refused: {shorten(message, MESSAGE_LIMIT)}; later requests use output_mode={lower.output_mode}"
            self.refusals.append(note)
            self._log.warning("model=%s %s", refused.model_id, note)
            return lower


class ModelNegotiator:
    """Makes the negotiated models of a run, which share settings, system prompt and schema."""

    def __init__(
        self, settings: Settings, context: RunContext, system_prompt: str, schema: Mapping[str, Any] | None
    ) -> None:
        self._settings = settings
        self._context = context
        self._build = partial(_build, settings, system_prompt, schema)

    def primary(self, model_id: str) -> NegotiatedModel:
        """Return the negotiated primary model, called as `model_id`; the settings may describe its capabilities."""
        overrides = self._settings.model_capabilities
        able = self._capabilities_of(self._settings.primary_model_id, known="family" in overrides)
        return self._make(model_id, with_overrides(able, overrides))

    def fallback(self) -> NegotiatedModel | None:
        """Return the negotiated fallback model, or None if there is none."""
        model_id = self._settings.fallback_model_id
        return self._make(model_id, self._capabilities_of(model_id)) if model_id else None

    def _make(self, model_id: str, able: Capabilities) -> NegotiatedModel:
        if choose_api(self._settings, able) == "converse" and able.json_schema is not False:
            able = self._without_what_the_sdk_lacks(able)
        return NegotiatedModel(able, partial(self._build, model_id), self._context.log)

    def _without_what_the_sdk_lacks(self, able: Capabilities) -> Capabilities:
        if supports(self._context.clients.bedrock_runtime, "Converse", "outputConfig"):
            return able
        self._context.log.info(
            "json_schema is not used: Converse supports it from botocore 1.42.42 on; %s is installed", sdk_version()
        )
        return replace(able, json_schema=False)

    def _capabilities_of(self, model_id: str, *, known: bool = False) -> Capabilities:
        """Return what a model accepts; look up the model of an ARN that hides it, unless it is `known` otherwise."""
        if known or not hides_model(model_id):
            return capabilities_of(model_id)
        log = self._context.log
        try:
            arn = find_model_arn(self._context.clients.bedrock, model_id, self._context.retry_policy(3))
        except AwsError as error:
            log.warning(
                "model=%s family=unknown: %s. The step sends only what every model accepts; name the family in "
                'BEDROCK_MODEL_CAPABILITIES={"family": "..."}. %s',
                model_id,
                error,
                advice(error),
            )
            return UNKNOWN
        log.info("model=%s is %s", model_id, arn)
        return capabilities_of(arn)


def _build(
    settings: Settings, system_prompt: str, schema: Mapping[str, Any] | None, model_id: str, able: Capabilities
) -> ModelInput:
    return build_model_input(settings, model_id, system_prompt=system_prompt, capabilities=able, schema=schema)
