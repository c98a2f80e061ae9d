"""The registry of models: it resolves ids, profiles and ARNs, and reads and writes the bodies of a model."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local_bedrock.answers.schema_answers import Answerer
from local_bedrock.behaviour import Behaviour
from local_bedrock.body_checks import BodyError
from local_bedrock.errors import AwsError
from local_bedrock.models.anthropic_messages import read_messages, write_message
from local_bedrock.models.embeddings import (
    answer_embedding,
    read_cohere_3,
    read_cohere_4,
    read_titan_1,
    read_titan_2,
    write_cohere,
    write_titan_1,
    write_titan_2,
)
from local_bedrock.models.families import Family, family_of, split_prefix
from local_bedrock.models.lifecycles import has_ended
from local_bedrock.models.other_bodies import (
    read_chat,
    read_llama,
    read_nova,
    write_chat,
    write_llama,
    write_nova,
)
from local_bedrock.models.rules import refuse_question, thinks
from local_bedrock.questions import Answer, Question, prompt_hash

_ARN = re.compile(
    r"arn:aws[^:]*:bedrock:[a-z0-9-]*:\d*:(?P<kind>foundation-model|inference-profile|application-inference-profile)/(?P<id>.+)"
)

_log = logging.getLogger(__name__)
_MALFORMED = "Malformed input request, please reformat your input and try again."

_READERS: dict[str, Callable[[Mapping[str, Any]], Question]] = {
    "anthropic": read_messages,
    "nova": read_nova,
    "llama": read_llama,
    "chat": read_chat,
    "titan_embedding_1": read_titan_1,
    "titan_embedding_2": read_titan_2,
    "cohere_embedding_3": read_cohere_3,
    "cohere_embedding_4": read_cohere_4,
}
_WRITERS: dict[str, Callable[[Answer, str], dict[str, Any]]] = {
    "anthropic": write_message,
    "nova": write_nova,
    "llama": write_llama,
    "chat": write_chat,
    "titan_embedding_1": write_titan_1,
    "titan_embedding_2": write_titan_2,
    "cohere_embedding_3": write_cohere,
    "cohere_embedding_4": write_cohere,
}


@dataclass(frozen=True, slots=True)
class Model:
    """A resolved model: the identifier of the request, the bare id, and whether an inference profile was used."""

    requested: str
    id: str
    by_profile: bool
    family: Family


class ModelRegistry:
    """Finds models and lets them answer, by the same rules in real time and in batch."""

    def __init__(self, behaviour: Behaviour, answerer: Answerer, now: Callable[[], datetime]) -> None:
        self._behaviour = behaviour
        self._now = now
        self._answerer = answerer

    def resolve(self, requested: str) -> Model:
        """Return the model of an id, a profile id or an ARN; raise `AwsError` if there is none."""
        name, by_profile = self._dereference(requested)
        prefix, bare = split_prefix(name)
        family = family_of(bare)
        if family is None:
            raise AwsError("ValidationException", "The provided model identifier is invalid.")
        if has_ended(self._behaviour.ends_of_life.get(bare, ""), self._now()):
            # The text of AWS's model card of Claude 3 Haiku, which ended on 2026-09-10.
            raise AwsError("ResourceNotFoundException", "This model version has reached the end of its life.")
        return Model(requested, bare, by_profile or prefix is not None, family)

    def _dereference(self, requested: str) -> tuple[str, bool]:
        found = _ARN.fullmatch(requested)
        if found is None:
            return requested, False
        if found["kind"] != "application-inference-profile":
            return found["id"], found["kind"] == "inference-profile"
        profiles = self._behaviour.application_profiles
        target = profiles.get(found["id"], profiles.get(requested))
        if target is None:
            raise AwsError("ResourceNotFoundException", f"The inference profile {requested} does not exist.")
        return self._dereference(target)[0], True

    def resolve_on_demand(self, requested: str) -> Model:
        """Return the model of a real-time call; raise `AwsError` if it needs an inference profile and got a bare id."""
        model = self.resolve(requested)
        if model.family.profile_required and not model.by_profile:
            raise AwsError(
                "ValidationException",
                f"Invocation of model ID {requested} with on-demand throughput isn\u2019t supported. Retry your "
                "request with the ID or ARN of an inference profile that contains this model.",
            )
        return model

    def resolve_for_batch(self, requested: str, region: str) -> Model:
        """Return the model of a batch job; raise `AwsError` if batch inference does not support the identifier."""
        model = self.resolve(requested)
        refused = not model.family.batch or {requested, model.id} & set(self._behaviour.not_batchable)
        if refused or (model.family.profile_required and not model.by_profile):
            raise AwsError(
                "ValidationException", f"Batch inference is not supported for model {requested} in region {region}"
            )
        return model

    def read_body(self, model: Model, body: Any, in_batch: bool) -> Question:
        """Read an InvokeModel body; raise `BodyError` if the model refuses it."""
        if not isinstance(body, Mapping):
            raise BodyError(_MALFORMED)
        return self.check(model, _READERS[model.family.shape], body, in_batch)

    def check(
        self, model: Model, read: Callable[[Mapping[str, Any]], Question], body: Mapping[str, Any], in_batch: bool
    ) -> Question:
        """Return the question that `read` finds in a request; raise `BodyError` if the model refuses it."""
        try:
            question = read(body)
            refuse_question(model.family, question, in_batch)
        except (AttributeError, TypeError, LookupError, ValueError) as error:  # readers do not check every type
            raise BodyError(_MALFORMED) from error
        return question

    def answer(self, model: Model, question: Question) -> Answer:
        """Return the model's answer to a question; raise `AwsError` if the function that answers fails."""
        if question.embedding is not None:
            return answer_embedding(question, model.id, prompt_hash(question.prompt)[:24])
        try:
            return self._answerer.answer(model.id, question, thinks(model.family, question))
        except (BodyError, AwsError):
            raise
        except Exception as error:
            _log.exception("no answer of %s", model.id)
            raise AwsError(
                "ModelErrorException", f"The model failed to answer: {type(error).__name__}: {error}"
            ) from error

    def write_body(self, model: Model, answer: Answer) -> dict[str, Any]:
        """Return the InvokeModel response body for an answer."""
        return _WRITERS[model.family.shape](answer, model.id)
