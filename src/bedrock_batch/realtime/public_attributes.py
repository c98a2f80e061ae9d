"""The attributes that callers of the original script read: views of the settings, the counts and the clients.

They are read-only: assigning to one would not change a run, so it raises AttributeError and names the setting to use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from bedrock_batch.answers.schema.response_schema import ResponseSchema
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.references import load_json_text
from bedrock_batch.environment.settings import Settings
from bedrock_batch.families import is_profile
from bedrock_batch.prompts.template import PromptTemplate

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient

# Settings that hold JSON text, with what an empty one stands for.
_JSON_TEXTS = {"input_placeholders": "[]", "rules": "null", "validation_schema": "null", "output_column_map": "{}"}


def read_only(instead: str) -> Callable[[Callable[[Any], Any]], property]:
    """Return a decorator for a property; assigning to it raises AttributeError, which names the settings `instead`."""

    def decorate(read: Callable[[Any], Any]) -> property:
        def refuse(processor: Any, _: object) -> NoReturn:
            raise AttributeError(
                f"{type(processor).__name__}.{read.__name__} is read-only: make a new processor with another {instead}"
            )

        return property(read, refuse, doc=read.__doc__)

    return decorate


def client_settings(service: str) -> str:
    """Return the settings of the client of a service, as words for `read_only`."""
    return f"region_name, AWS_PROFILE, AWS_ENDPOINT_URL_{service} or context"


class PublicAttributes:
    """What callers read from a processor."""

    settings: Settings
    context: RunContext
    schema: ResponseSchema | None
    template: PromptTemplate
    effective_model_id: str

    @read_only("config")
    def config(self) -> Mapping[str, Any]:
        """Every setting by its key, defaults included and references resolved; another processor takes it as it is."""
        values = {field.name: getattr(self.settings, field.name) for field in fields(self.settings)}
        return MappingProxyType({**values, **{name: self._parsed(name) for name in _JSON_TEXTS}})

    @read_only("validation_schema")
    def validation_schema(self) -> dict[str, Any] | None:
        """The schema as it was given, or that of the rules of a rule set; None without both."""
        given: dict[str, Any] | None = self._parsed("validation_schema")
        return self.schema.wire_schema() if given is None and self.schema else given

    @read_only("max_input_field_length or truncation_enabled")
    def truncation_stats(self) -> dict[str, Any]:
        """What was cut out of the prompts of this processor so far, as in the summary."""
        return self.template.truncation_stats()

    @read_only("inference_profile_arn or inference_profile_required_models")
    def inference_profile_info(self) -> dict[str, Any]:
        """Whether and how the primary model is called through an inference profile, as in the summary."""
        settings = self.settings
        return {
            "inference_profile_arn": settings.inference_profile_arn or None,
            "required_by_settings": settings.primary_model_id in settings.inference_profile_required_models,
            "uses_inference_profile": is_profile(self.effective_model_id),
            "effective_model_id": self.effective_model_id,
        }

    @read_only("concurrency_mode")
    def concurrency_mode(self) -> str:
        """`sequential` or `concurrent`."""
        return self.settings.concurrency_mode

    @read_only(client_settings("BEDROCK_RUNTIME"))
    def bedrock_client(self) -> BedrockRuntimeClient:
        """The client that asks models in real time."""
        return self.context.clients.bedrock_runtime

    def _parsed(self, name: str) -> Any:
        return load_json_text(getattr(self.settings, name).strip() or _JSON_TEXTS[name], name)
