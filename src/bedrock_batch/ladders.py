"""The ladders of a run's models: what each model accepts, by the table, a look-up or a setting, and by the SDK."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from bedrock_batch.aws.clients import sdk_version, supports
from bedrock_batch.aws.inference_profiles import find_model_arn
from bedrock_batch.aws.retries import AwsError, advice
from bedrock_batch.config import Settings
from bedrock_batch.context import RunContext
from bedrock_batch.families import UNKNOWN, Capabilities, capabilities_of, hides_model, with_overrides
from bedrock_batch.ladder import ModelLadder
from bedrock_batch.model_input import ModelInput, build_model_input, choose_api


class LadderMaker:
    """Makes the ladders of a run's models, which share settings, system prompt and schema."""

    def __init__(
        self, settings: Settings, context: RunContext, system_prompt: str, schema: Mapping[str, Any] | None
    ) -> None:
        self._settings = settings
        self._context = context
        self._build = partial(_build, settings, system_prompt, schema)

    def primary(self, model_id: str) -> ModelLadder:
        """Return the ladder of the primary model, which is called as `model_id`; its settings may describe it."""
        overrides = self._settings.model_capabilities
        able = self._capabilities_of(self._settings.primary_model_id, known="family" in overrides)
        return self._make(model_id, with_overrides(able, overrides))

    def fallback(self) -> ModelLadder | None:
        """Return the ladder of the fallback model, None where there is none."""
        model_id = self._settings.fallback_model_id
        return self._make(model_id, self._capabilities_of(model_id)) if model_id else None

    def _make(self, model_id: str, able: Capabilities) -> ModelLadder:
        if choose_api(self._settings, able) == "converse" and able.json_schema is not False:
            able = self._without_what_the_sdk_lacks(able)
        return ModelLadder(able, partial(self._build, model_id), self._context.log)

    def _without_what_the_sdk_lacks(self, able: Capabilities) -> Capabilities:
        if supports(self._context.clients.bedrock_runtime, "Converse", "outputConfig"):
            return able
        self._context.log.info(
            "json_schema is left out: Converse needs botocore 1.42.42 or newer for it; %s is installed", sdk_version()
        )
        return replace(able, json_schema=False)

    def _capabilities_of(self, model_id: str, *, known: bool = False) -> Capabilities:
        """Return what a model accepts; an ARN that hides its model is looked up, unless it is `known` otherwise."""
        if known or not hides_model(model_id):
            return capabilities_of(model_id)
        log = self._context.log
        try:
            arn = find_model_arn(self._context.clients.bedrock, model_id, sleep=self._context.sleep)
        except AwsError as error:
            log.warning(
                "model=%s family=unknown: %s. It is asked for nothing that a model may refuse: name its family in "
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
