"""The service tier of real-time requests: which one is sent, and what happens when the service refuses it.

https://docs.aws.amazon.com/bedrock/latest/userguide/service-tiers-inference.html
"""

from __future__ import annotations

import re

from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.clients import sdk_version
from bedrock_batch.aws.runtime import knows_service_tier
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.variables.realtime import ServiceTier
from bedrock_batch.families import Capabilities
from bedrock_batch.models.negotiation import MESSAGE_LIMIT, GivenUpOption, NegotiatedModel
from bedrock_batch.text import shorten

# Reported refusals: "Reservation not found." (github.com/envoyproxy/ai-gateway/pull/1749), "service tier provided is
# invalid" (github.com/NousResearch/hermes-agent/pull/34476) and "service tier is not supported".
_REFUSAL = re.compile(r"service[ _]?tier|reservation not found", re.IGNORECASE)
# `flex` may take minutes longer, so `auto` does not ask for it when the container ends soon.
_ENOUGH_SECONDS = 3600.0


def choose_tier(
    wanted: ServiceTier, able: Capabilities, *, sdk_knows: bool, nobody_waits: bool
) -> tuple[str | None, str]:
    """Return the tier to send, None for the default one, and the reason why a tier that is wanted is not sent."""
    if wanted == "auto":
        return ("flex" if nobody_waits and able.flex and sdk_knows else None), ""
    if wanted == "default":
        return None, ""
    if not sdk_knows:
        reason = f"botocore sends service tiers from 1.40.76 on, and {sdk_version()} is installed"
        return None, f"service_tier={wanted} is not sent: {reason}"
    if getattr(able, wanted, None) is False:
        return None, f"service_tier={wanted} is not sent: the {able.family} family does not have it"
    return wanted, ""


class ServiceTiers:
    """Knows the tier of each request; a tier that the service refuses is given up for the rest of the run.

    All threads of a run share it.
    """

    def __init__(self, wanted: ServiceTier, context: RunContext) -> None:
        self._wanted = wanted
        self._context = context
        self.reset()

    def reset(self) -> None:
        """Forget what the service has refused, for a new run."""
        self._given_up = GivenUpOption(self._context.log)

    @property
    def notes(self) -> list[str]:
        """Why a tier that is wanted was not sent, or not any more; one sentence each."""
        return self._given_up.notes

    def of(self, model: NegotiatedModel, purpose: str = "first") -> str | None:
        """Return the tier to ask for when a model is asked for a purpose, None for the default tier."""
        if self._wanted == "default":
            return None
        asked = model.current
        if asked.model_id in self._given_up:
            return None
        sdk_knows = knows_service_tier(self._context.clients.bedrock_runtime, asked.invocation_type)
        tier, reason = choose_tier(
            self._wanted, model.capabilities, sdk_knows=sdk_knows, nobody_waits=self._nobody_waits(purpose)
        )
        if reason:
            self._given_up.add(asked.model_id, f"model={asked.model_id} {reason}")
        return tier

    def _nobody_waits(self, purpose: str) -> bool:
        deadline = self._context.end
        return purpose == "salvage" and (deadline is None or deadline - self._context.clock() > _ENOUGH_SECONDS)

    def give_up(self, model_id: str, tier: str | None, error: AwsError) -> bool:
        """Return whether the service refused the tier of a request, which is then not sent any more."""
        if tier is None or error.kind is not ErrorKind.VALIDATION or not _REFUSAL.search(error.message):
            return False
        message = shorten(error.message, MESSAGE_LIMIT)
        self._given_up.add(
            model_id, f"model={model_id} service_tier={tier} refused: {message}; later requests use the default tier"
        )
        return True
