"""Warnings about the models of a run: retired ones, and an inference profile that leads to another model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, TypeVar

from bedrock_batch.aws.account import ModelFacts, describe_model, profile_models
from bedrock_batch.aws.calls.error_codes import OUT_OF_REACH
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.environment.consistency import compare_profile
from bedrock_batch.environment.settings import Settings
from bedrock_batch.families import PROFILE_PREFIX, base_model_id, capabilities_of, hides_model
from bedrock_batch.models.lifecycles import Lifecycle, lifecycle_of, nearest_successor
from bedrock_batch.models.model_input import effective_model_id, profile_geography

T = TypeVar("T")
PRIMARY = "BEDROCK_PRIMARY_MODEL_ID"
PROFILE = "BEDROCK_INFERENCE_PROFILE_ARN"
FALLBACK = "BEDROCK_FALLBACK_MODEL_ID"


@dataclass(frozen=True, slots=True)
class RetiredModel:
    """A model in its legacy period or past its end of life: the facts, and what to do."""

    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}"


def find_retired_model(
    settings: Settings, variable: str, model_id: str, today: date, facts: ModelFacts | None = None
) -> RetiredModel | None:
    """Return the retired model that `variable` names, or None if the model is active.

    `facts` come from the service and take precedence over the table.
    """
    lifecycle = lifecycle_of(model_id) if facts is None else _stated_lifecycle(facts, lifecycle_of(model_id))
    state = lifecycle.state(today)
    if state == "active":
        return None
    remedy = _remedy(settings, variable, model_id, today)
    shown = f"{base_model_id(model_id) if model_id.startswith('arn:') else model_id} ({variable})"
    if state == "ended":
        return RetiredModel(
            f"{shown} reached its end of life on {lifecycle.end_of_life}: AWS refuses its requests", remedy
        )
    dates = (
        (" since {}", lifecycle.legacy),
        (", its provider may charge more since {}", _past(lifecycle.extended_access, today)),
        (", its end of life is {}", lifecycle.end_of_life),
    )
    given = "".join(text.format(day) for text, day in dates if day is not None)
    return RetiredModel(f"{shown} is in its legacy period{given}", remedy)


def _past(day: date | None, today: date) -> date | None:
    return day if day is not None and day <= today else None


def _stated_lifecycle(facts: ModelFacts, known: Lifecycle) -> Lifecycle:
    """Return the lifecycle that the service states, with dates of the table where the service gives none."""
    if facts.lifecycle == "ACTIVE":
        return Lifecycle(facts.legacy, facts.extended_access, facts.end_of_life, is_legacy=False)
    stated = {"legacy": facts.legacy, "extended_access": facts.extended_access, "end_of_life": facts.end_of_life}
    return replace(known, is_legacy=True, **{name: day for name, day in stated.items() if day is not None})


def _remedy(settings: Settings, variable: str, model_id: str, today: date) -> str:
    successor = nearest_successor(model_id, today)
    if successor is None:
        return f"set {variable} to a model of another family: no active successor is known"
    prefix = PROFILE_PREFIX.match(model_id.rsplit("/", 1)[-1])
    if prefix is not None and prefix[0] == "apac." and capabilities_of(successor).national_profiles:
        successor = f"{profile_geography(settings.region_name, national=True)}.{successor}"
    elif prefix is not None:
        successor = prefix[0] + successor
    return f"set {variable} to its nearest successor, {successor}"


def named_models(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each variable that names a model of the run, with the id that is called."""
    if settings.inference_profile_arn:
        yield PROFILE, settings.inference_profile_arn
    else:
        yield PRIMARY, effective_model_id(settings)
    if settings.fallback_model_id:
        yield FALLBACK, settings.fallback_model_id


def find_model_warnings(settings: Settings, today: date, client: Any = None) -> list[str]:
    """Return a sentence for each retired model, and for a profile that leads to another model.

    A client of the control plane asks the service, free of charge. Its response takes precedence over the table.
    """
    service, warnings = _Service(client), []
    for variable, model_id in named_models(settings):
        models = service.models_behind(model_id)
        if variable == PROFILE and hides_model(model_id):
            warnings += compare_profile(settings.primary_model_id, models)
        for model in models[:1]:  # the models of one profile are the same model in several regions
            if retired := find_retired_model(settings, variable, model, today, service.describe(model)):
                warnings.append(str(retired))
    return warnings


class _Service:
    """Asks the control plane until it is out of reach; without a client, it asks nothing."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._within_reach = client is not None

    def models_behind(self, model_id: str) -> tuple[str, ...]:
        """Return the model that an id names, or the models behind an ARN; empty if they are unknown."""
        if not hides_model(model_id):
            return (model_id,)
        return self._ask(lambda: profile_models(self._client, model_id)) or ()

    def describe(self, model_id: str) -> ModelFacts | None:
        return self._ask(lambda: describe_model(self._client, base_model_id(model_id)))

    def _ask(self, question: Callable[[], T]) -> T | None:
        """Return the response of the service, or None if it refuses: a refusal says nothing about a model."""
        if not self._within_reach:
            return None
        try:
            return question()
        except AwsError as error:
            self._within_reach = error.kind not in OUT_OF_REACH
            return None
