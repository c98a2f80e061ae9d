"""The variables of the original script that this step reads as names of its own settings."""

from __future__ import annotations

from bedrock_batch.environment.variables import value_types as values
from bedrock_batch.environment.variables.value_types import ValueType
from bedrock_batch.environment.variables.variable import Variable

GROUP = "Names of the original script"


def _alias(name: str, stands_for: str, type_: ValueType, meaning: str) -> Variable:
    field = name.removeprefix("BEDROCK_").lower()
    return Variable(name, field, "", type_, GROUP, meaning, stands_for=stands_for)


ALIASES: tuple[Variable, ...] = (
    _alias(
        "BEDROCK_USE_STRUCTURED_OUTPUT",
        "structured_output",
        values.BOOLEAN,
        "true: `json_schema,tool`; false: `prefill,prompt`.",
    ),
    _alias(
        "BEDROCK_USE_TOOL_CALLING",
        "structured_output",
        values.BOOLEAN,
        "true: `tool`; false: `prefill,json_schema,prompt`.",
    ),
    _alias("BEDROCK_USE_CONVERSE_API", "api", values.BOOLEAN, "true: `converse`; false: `invoke_model`."),
    _alias("BEDROCK_ADAPTIVE_RATE_LIMITING", "adaptive_rate", values.BOOLEAN, "The same value."),
    _alias("SECURE_PYPI_DOMAIN", "secure_pypi_domain", values.CODEARTIFACT_DOMAIN, "The same value."),
    _alias("SECURE_PYPI_DOMAIN_OWNER", "secure_pypi_domain_owner", values.ACCOUNT_ID, "The same value."),
    _alias("SECURE_PYPI_REPOSITORY", "secure_pypi_repository", values.CODEARTIFACT_REPOSITORY, "The same value."),
    _alias(
        "SECURE_PYPI_ROLE_ACCOUNT",
        "secure_pypi_role_arn",
        values.ACCOUNT_ID,
        "An account does not name a role: with `USE_SECURE_PYPI=true`, set the ARN of a role in this account.",
    ),
)
"""The aliases; the attribute that each stands for is `stands_for`, its key in a mapping is `field`."""
