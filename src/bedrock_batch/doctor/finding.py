"""What one check found, and what the checks are given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bedrock_batch.aws.retries import AwsError, advice
from bedrock_batch.config import Settings
from bedrock_batch.context import RunContext
from bedrock_batch.families import Capabilities, base_model_id, capabilities_of, with_overrides
from bedrock_batch.model_input import effective_model_id

Status = Literal["ok", "problem", "not checked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: a line, and what to do where it is not ok."""

    check: str
    status: Status
    message: str
    fix: str = ""


@dataclass(slots=True)
class Patient:
    """What the checks look at, and what an earlier check learned for the later ones."""

    settings: Settings
    context: RunContext
    opt_ml: Path | None = None
    call: bool = False
    warnings: Sequence[str] = ()
    caller: str | None = None
    no_credentials: bool = False
    model_name: str | None = None
    model_arns: tuple[str, ...] = field(default=())

    @property
    def wants_batch(self) -> bool:
        return self.settings.batch_mode != "realtime"

    @property
    def model_id(self) -> str:
        """The id that the service is called with."""
        return effective_model_id(self.settings)

    @property
    def bare_model_id(self) -> str:
        """The foundation model behind it, as far as the settings say."""
        return base_model_id(self.settings.primary_model_id)

    @property
    def capabilities(self) -> Capabilities:
        return with_overrides(capabilities_of(self.bare_model_id), self.settings.model_capabilities)

    @property
    def partition(self) -> str:
        for arn in (self.caller, self.settings.batch_role_arn):
            if arn and arn.startswith("arn:"):
                return arn.split(":")[1]
        return "aws"

    @property
    def account(self) -> str | None:
        return self.caller.split(":")[4] if self.caller else None


def ok(check: str, message: str) -> Finding:
    return Finding(check, "ok", message)


def problem(check: str, message: str, fix: str) -> Finding:
    return Finding(check, "problem", message, fix)


def not_checked(check: str, reason: str, fix: str = "") -> Finding:
    return Finding(check, "not checked", reason, fix)


def failed(check: str, error: AwsError, fix: str = "") -> Finding:
    """Return the finding for a call that AWS refused."""
    return problem(check, str(error), fix or advice(error) or "read AWS's message above")


def statement(
    actions: Sequence[str], resources: Sequence[str], condition: dict[str, dict[str, str]] | None = None
) -> str:
    """Return a policy statement as JSON, to be pasted into a policy."""
    body: dict[str, object] = {
        "Effect": "Allow",
        "Action": list(actions) if len(actions) > 1 else actions[0],
        "Resource": list(resources) if len(resources) > 1 else resources[0],
    }
    return json.dumps({**body, "Condition": condition} if condition else body)
