"""The operations of `bedrock` that describe models and inference profiles."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from local_bedrock.account import model_name
from local_bedrock.behaviour import Behaviour
from local_bedrock.errors import AwsError
from local_bedrock.families import FAMILIES, Family
from local_bedrock.models import ModelDesk

_PROVIDERS = {
    "anthropic": "Anthropic",
    "amazon": "Amazon",
    "meta": "Meta",
    "mistral": "Mistral AI",
    "deepseek": "DeepSeek",
    "openai": "OpenAI",
    "qwen": "Qwen",
}
_GEOGRAPHIES = {"us": "us", "ca": "us", "eu": "eu", "ap": "apac", "sa": "sa"}


class Catalogue:
    """Describes one model of each family and the profiles that lead to them from one region."""

    def __init__(self, desk: ModelDesk, behaviour: Behaviour, region: str, account_id: str, started: datetime) -> None:
        self._desk = desk
        self._behaviour = behaviour
        self._region = region
        self._account_id = account_id
        self._started = started

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
        model = self._desk.resolve(params["modelIdentifier"])
        if model.by_profile:
            raise AwsError(
                "ResourceNotFoundException",
                "Could not resolve the foundation model from the provided model identifier.",
            )
        return {"modelDetails": self._describe_model(model.id, model.family)}

    def get_availability(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """GetFoundationModelAvailability by bare id."""
        model = self._desk.resolve(params["modelId"])
        is_open = model.id not in self._behaviour.closed_models
        return {
            "modelId": model.id,
            "agreementAvailability": {"status": "AVAILABLE" if is_open else "NOT_AVAILABLE"},
            "authorizationStatus": "AUTHORIZED" if is_open else "NOT_AUTHORIZED",
            "entitlementAvailability": "AVAILABLE" if is_open else "NOT_AVAILABLE",
            "regionAvailability": "AVAILABLE",
        }

    def _describe_model(self, model_id: str, family: Family) -> dict[str, Any]:
        embeds = family.shape == "titan_embedding"
        return {
            "modelArn": self._model_arn(model_id, self._region),
            "modelId": model_id,
            "modelName": model_name(model_id),
            "providerName": _PROVIDERS[model_id.partition(".")[0]],
            "inputModalities": ["TEXT"],
            "outputModalities": ["EMBEDDING" if embeds else "TEXT"],
            "responseStreamingSupported": False,
            "customizationsSupported": [],
            "inferenceTypesSupported": ["INFERENCE_PROFILE" if family.profile_required else "ON_DEMAND"],
            "modelLifecycle": {"status": "LEGACY" if model_id in self._behaviour.legacy_models else "ACTIVE"},
        }

    def list_profiles(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """ListInferenceProfiles: AWS's own of this geography and the global ones, or the application profiles."""
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
        model = self._desk.resolve(identifier)
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
