"""The operations of `bedrock` that describe models and inference profiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from local_bedrock.behaviour import Behaviour
from local_bedrock.errors import AwsError
from local_bedrock.models.families import FAMILIES, Family
from local_bedrock.models.lifecycles import describe_lifecycle
from local_bedrock.models.registry import ModelRegistry
from local_bedrock.operations.account import model_name

_PROVIDERS = {
    "anthropic": "Anthropic",
    "amazon": "Amazon",
    "meta": "Meta",
    "mistral": "Mistral AI",
    "cohere": "Cohere",
    "deepseek": "DeepSeek",
    "openai": "OpenAI",
    "qwen": "Qwen",
    "xai": "xAI",
}
_GEOGRAPHIES = {"us": "us", "ca": "us", "eu": "eu", "ap": "apac", "sa": "sa"}


class Catalogue:
    """Describes one model of each family, and the inference profiles of one region."""

    def __init__(
        self,
        registry: ModelRegistry,
        behaviour: Behaviour,
        region: str,
        account_id: str,
        now: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._behaviour = behaviour
        self._region = region
        self._account_id = account_id
        self._now = now
        self._started = now()

    def list_models(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """ListFoundationModels, filtered by provider, output modality and inference type."""
        models = [self._describe_model(family.example, family) for family in FAMILIES]
        provider = params.get("byProvider", "").lower()
        inference = params.get("byInferenceType")
        modality = params.get("byOutputModality")
        return {
            "modelSummaries": [
                model
                for model in models
                if (not provider or model["providerName"].lower().startswith(provider))
                and (not inference or inference in model["inferenceTypesSupported"])
                and (not modality or modality in model["outputModalities"])
            ]
        }

    def get_model(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """GetFoundationModel by id or ARN."""
        model = self._registry.resolve(params["modelIdentifier"])
        if model.by_profile:
            raise AwsError(
                "ResourceNotFoundException",
                "Could not resolve the foundation model from the provided model identifier.",
            )
        return {"modelDetails": self._describe_model(model.id, model.family)}

    def get_availability(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """GetFoundationModelAvailability by bare id."""
        model = self._registry.resolve(params["modelId"])
        is_open = model.id not in self._behaviour.closed_models
        return {
            "modelId": model.id,
            "agreementAvailability": {"status": "AVAILABLE" if is_open else "NOT_AVAILABLE"},
            "authorizationStatus": "AUTHORIZED" if is_open else "NOT_AUTHORIZED",
            "entitlementAvailability": "AVAILABLE" if is_open else "NOT_AVAILABLE",
            "regionAvailability": "AVAILABLE",
        }

    def _describe_model(self, model_id: str, family: Family) -> dict[str, Any]:
        return {
            "modelArn": self._model_arn(model_id, self._region),
            "modelId": model_id,
            "modelName": model_name(model_id),
            "providerName": _PROVIDERS[model_id.partition(".")[0]],
            "inputModalities": ["TEXT", "IMAGE"] if family.images else ["TEXT"],
            "outputModalities": ["EMBEDDING" if family.embeds else "TEXT"],
            "responseStreamingSupported": not family.embeds,
            "customizationsSupported": [],
            "inferenceTypesSupported": ["INFERENCE_PROFILE" if family.profile_required else "ON_DEMAND"],
            "modelLifecycle": describe_lifecycle(
                model_id,
                self._now(),
                is_legacy=model_id in self._behaviour.legacy_models,
                end_of_life=self._behaviour.ends_of_life.get(model_id, ""),
            ),
        }

    def list_profiles(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """ListInferenceProfiles: the system-defined profiles (of the geography and global), or the application ones."""
        kind = params.get("typeEquals", "SYSTEM_DEFINED")
        if kind == "APPLICATION":
            found = [
                self._describe_profile(self._application_arn(name)) for name in self._behaviour.application_profiles
            ]
        else:
            prefixes = (self._geography, "global")
            ids = [family.example for family in FAMILIES if family.profile_required]
            found = [self._describe_profile(f"{prefix}.{each}") for each in ids for prefix in prefixes]
        start = int(params.get("nextToken", 0))
        end = start + params.get("maxResults", 100)
        page: dict[str, Any] = {"inferenceProfileSummaries": found[start:end]}
        return {**page, "nextToken": str(end)} if end < len(found) else page

    def get_profile(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """GetInferenceProfile by id or ARN."""
        identifier = params["inferenceProfileIdentifier"]
        if identifier in self._behaviour.application_profiles:
            identifier = self._application_arn(identifier)
        return self._describe_profile(identifier)

    def _describe_profile(self, identifier: str) -> dict[str, Any]:
        model = self._registry.resolve(identifier)
        if not model.by_profile:
            raise AwsError("ResourceNotFoundException", f"The inference profile {identifier} does not exist.")
        application = "application-inference-profile/" in identifier
        name = identifier.rpartition("/")[2]
        return {
            "inferenceProfileId": name,
            "inferenceProfileName": name,
            "inferenceProfileArn": identifier if identifier.startswith("arn:") else self._profile_arn(name),
            "models": [{"modelArn": self._model_arn(model.id, self._region)}],
            "status": "ACTIVE",
            "type": "APPLICATION" if application else "SYSTEM_DEFINED",
            "createdAt": self._started,
            "updatedAt": self._started,
        }

    @property
    def _geography(self) -> str:
        return "us-gov" if self._region.startswith("us-gov") else _GEOGRAPHIES.get(self._region.partition("-")[0], "us")

    def _model_arn(self, model_id: str, region: str) -> str:
        return f"arn:aws:bedrock:{region}::foundation-model/{model_id}"

    def _profile_arn(self, name: str) -> str:
        return f"arn:aws:bedrock:{self._region}:{self._account_id}:inference-profile/{name}"

    def _application_arn(self, name: str) -> str:
        if name.startswith("arn:"):
            return name
        return f"arn:aws:bedrock:{self._region}:{self._account_id}:application-inference-profile/{name}"
