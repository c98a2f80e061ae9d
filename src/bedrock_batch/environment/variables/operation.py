"""The variables of costs, progress, the report and the installation of packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bedrock_batch.environment.variables import value_types as values
from bedrock_batch.environment.variables.price_values import REFERENCE_OR_PRICES
from bedrock_batch.environment.variables.variable import Group

COST = Group("Cost")
ANSWERS = Group("Answers of earlier runs")
PROGRESS = Group("Progress and report")
INSTALLATION = Group("Package installation")


@dataclass(frozen=True, kw_only=True)
class OperationSettings:
    """What the run may cost, what it tells about itself, and where missing packages come from."""

    max_cost_usd: float | None = COST.setting(
        values.optional(values.ANY_ABOVE_ZERO),
        "Refuse to start above this estimate, and stop submitting when the real cost reaches it.",
    )
    prices: Mapping[str, Mapping[str, Any]] | str = COST.setting(
        REFERENCE_OR_PRICES,
        "Prices that override the bundled table; `python -m bedrock_batch.costs --update` writes such a file.",
        default="{}",
    )
    answer_reuse: bool = ANSWERS.setting(
        values.BOOLEAN,
        "Take answers that an earlier run has paid for, whatever its files, schema and mode, and keep the answers of "
        "this run for later runs.",
        default="true",
    )
    answer_max_age_days: float | None = ANSWERS.setting(
        values.optional(values.DAYS),
        "Take only answers that are not older than this many days; empty: answers of any age.",
    )
    answers_s3_path: str = ANSWERS.setting(
        values.S3_PATH,
        "Keep the answers below this path, to share them among pipelines; empty: below BEDROCK_BATCH_INPUT_S3_PATH, or "
        "without that in the state folder.",
    )
    metrics_namespace: str = PROGRESS.setting(
        values.METRICS_NAMESPACE,
        "Write CloudWatch metrics of the run's progress under this namespace, as embedded metric lines on the standard "
        "output; empty: none.",
    )
    report_samples: int = PROGRESS.setting(
        values.integer(0, 1000),
        "How many rows the report shows, with the text of their input fields and answers; 0: no text of any row.",
        default="0",
    )
    use_secure_pypi: bool = INSTALLATION.setting(
        values.BOOLEAN,
        "Install missing packages from a CodeArtifact repository instead of the public index.",
        default="false",
        name="USE_SECURE_PYPI",
    )
    secure_pypi_domain: str = INSTALLATION.setting(
        values.CODEARTIFACT_DOMAIN, "The CodeArtifact domain; required with USE_SECURE_PYPI=true."
    )
    secure_pypi_domain_owner: str = INSTALLATION.setting(
        values.ACCOUNT_ID, "The account that owns the domain; empty: the caller's own."
    )
    secure_pypi_region: str = INSTALLATION.setting(
        values.REGION, "The region of the domain; empty: the region of the Bedrock API."
    )
    secure_pypi_repository: str = INSTALLATION.setting(
        values.CODEARTIFACT_REPOSITORY, "The CodeArtifact repository; required with USE_SECURE_PYPI=true."
    )
    secure_pypi_role_arn: str = INSTALLATION.setting(
        values.ROLE_ARN, "A role to assume for the token; empty: the caller's own credentials."
    )
