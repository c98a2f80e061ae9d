"""The result of a check, and the context that the checks share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bedrock_batch.aws.calls.advice import advice
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import Settings
from bedrock_batch.families import Capabilities, base_model_id, capabilities_of, with_overrides
from bedrock_batch.models.model_input import effective_model_id

Status = Literal["ok", "problem", "not checked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: a message, and the fix if there is a problem."""

    check: str
    status: Status
    message: str
    fix: str = ""


@dataclass(slots=True)
class CheckContext:
    """What the checks examine, and what earlier checks found out for later ones (from `caller` on)."""

    settings: Settings
    run_context: RunContext
    opt_ml: Path | None = None
    call: bool = False
    warnings: Sequence[str] = ()
    caller: str | None = None
    no_credentials: bool = False
    model_name: str | None = None
    model_arns: tuple[str, ...] = field(default=())

    @property
    def wants_batch(self) -> bool:
        """Whether a run with these settings may use batch inference."""
        return self.settings.batch_mode != "realtime"

    @property
    def model_id(self) -> str:
        """The id that requests name: a model id, or an inference profile."""
        return effective_model_id(self.settings)

    @property
    def bare_model_id(self) -> str:
        """The id of the foundation model, as far as the settings say."""
        return base_model_id(self.settings.primary_model_id)

    @property
    def capabilities(self) -> Capabilities:
        return with_overrides(capabilities_of(self.bare_model_id), self.settings.model_capabilities)

    @property
    def partition(self) -> str:
        """The AWS partition of the caller or of the role, such as `aws` or `aws-us-gov`."""
        for arn in (self.caller, self.settings.batch_role_arn):
            if arn and arn.startswith("arn:"):
                return arn.split(":")[1]
        return "aws"

    @property
    def account(self) -> str | None:
        """The account of the caller, None until it is known."""
        return self.caller.split(":")[4] if self.caller else None


def ok(check: str, message: str) -> Finding:
    """Return the finding that all is well."""
    return Finding(check, "ok", message)


def problem(check: str, message: str, fix: str) -> Finding:
    """Return the finding that a run would fail or suffer."""
    return Finding(check, "problem", message, fix)


def not_checked(check: str, reason: str, fix: str = "") -> Finding:
    """Return the finding that a check was impossible, with the reason and what to do instead."""
    return Finding(check, "not checked", reason, fix)


def failed(check: str, error: AwsError, fix: str = "") -> Finding:
    """Return the finding for a call to AWS that failed."""
    return problem(check, str(error), fix or advice(error) or "read AWS's message above")


def statement(
    actions: Sequence[str], resources: Sequence[str], condition: dict[str, dict[str, str]] | None = None
) -> str:
    """Return a policy statement as JSON, ready to be pasted into a policy."""
    body: dict[str, object] = {
        "Effect": "Allow",
        "Action": list(actions) if len(actions) > 1 else actions[0],
        "Resource": list(resources) if len(resources) > 1 else resources[0],
    }
    return json.dumps({**body, "Condition": condition} if condition else body)
