"""Settings that are accepted one by one, and contradict each other or exceed what AWS allows by default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bedrock_batch.environment.variables.batch import BatchSettings
from bedrock_batch.environment.variables.model import ModelSettings
from bedrock_batch.families import base_model_id, hides_model, same_model

AWS_RECORDS_PER_JOB = 50_000
AWS_MIN_RECORDS_PER_JOB = 100
AWS_JOB_FILE_BYTES = 1024**3
AWS_MIN_TIMEOUT_HOURS = 24

_ASCENDING = (
    ("min_records_per_job", "max_records_per_job"),
    ("batch_poll_initial_seconds", "batch_poll_max_seconds"),
)
_NEEDED_BY_BATCH = ("batch_role_arn", "batch_input_s3_path", "batch_output_s3_path")
_NEEDED_BY_SECURE_PYPI = ("secure_pypi_domain", "secure_pypi_repository")
_NETWORK = ("batch_subnet_ids", "batch_security_group_ids")


def find_contradictions(values: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """Return a sentence for each contradiction between accepted values.

    `values` maps attributes of `Settings` to values and lacks those that were refused; `labels` maps every attribute to
    the name that the user knows it by.
    """
    problems = [_wrong_order(values, labels, low, high) for low, high in _ASCENDING]
    problems.append(_half_a_network(values, labels))
    problems.append(_two_samples(values, labels))
    problems.append(_two_deadlines(values, labels))
    problems.append(_deadline_without_real_time(values, labels))
    if (values.get("batch_mode"), values.get("batch_fallback")) == ("batch", "fail"):
        problems += [
            f"{labels[name]} is not set, but {labels['batch_mode']}=batch with {labels['batch_fallback']}=fail needs it"
            for name in _NEEDED_BY_BATCH
            if values.get(name) == ""
        ]
    if (values.get("batch_wait"), values.get("batch_resume")) == (False, False):
        problems.append(
            f"{labels['batch_wait']}=false needs {labels['batch_resume']}=true: a later start of the same run collects "
            "the answers"
        )
    if values.get("use_secure_pypi"):
        problems += [
            f"{labels[name]} is not set, but {labels['use_secure_pypi']}=true needs it"
            for name in _NEEDED_BY_SECURE_PYPI
            if values.get(name) == ""
        ]
    return [problem for problem in problems if problem]


def _wrong_order(values: Mapping[str, Any], labels: Mapping[str, str], low: str, high: str) -> str | None:
    """Return a sentence if the value of `low` is above that of `high`."""
    if low not in values or high not in values or values[low] <= values[high]:
        return None
    return f"{labels[low]}={values[low]} is above {labels[high]}={values[high]}: lower the first or raise the other"


def _half_a_network(values: Mapping[str, Any], labels: Mapping[str, str]) -> str | None:
    """Return a sentence if subnets are set without security groups, or the other way round."""
    given = [bool(values[name]) for name in _NETWORK if name in values]
    if sorted(given) != [False, True]:
        return None
    subnets, groups = (labels[name] for name in _NETWORK)
    return f"{subnets} and {groups} belong together: set both or neither"


def _two_samples(values: Mapping[str, Any], labels: Mapping[str, str]) -> str | None:
    """Return a sentence if both the first rows and drawn rows are asked for."""
    if values.get("limit_records") is None or values.get("sample_records") is None:
        return None
    return f"{labels['limit_records']} and {labels['sample_records']} both choose the rows: give one of them"


def _two_deadlines(values: Mapping[str, Any], labels: Mapping[str, str]) -> str | None:
    """Return a sentence if the deadline is given in hours and as a time."""
    if not values.get("deadline") or values.get("deadline_hours") is None:
        return None
    return f"{labels['deadline']} and {labels['deadline_hours']} both state the deadline: give one of them"


def _deadline_without_real_time(values: Mapping[str, Any], labels: Mapping[str, str]) -> str | None:
    """Return a sentence if there is a deadline and records that jobs do not answer may not be asked again."""
    name = next((name for name in ("deadline", "deadline_hours") if values.get(name)), None)
    if name is None or values.get("batch_fallback") in ("realtime", None):
        return None
    return (
        f"{labels[name]} needs {labels['batch_fallback']}=realtime: records that jobs do not answer in time are asked "
        "in real time"
    )


def find_quota_warnings(settings: BatchSettings) -> list[str]:
    """Return a sentence for each limit of a job that is beyond the default quota of AWS."""
    warnings = []
    if settings.batch_timeout_hours < AWS_MIN_TIMEOUT_HOURS:
        warnings.append(
            f"BEDROCK_BATCH_TIMEOUT_HOURS={settings.batch_timeout_hours} is below {AWS_MIN_TIMEOUT_HOURS}, AWS's "
            f"minimum: jobs get {AWS_MIN_TIMEOUT_HOURS} hours"
        )
    if settings.max_records_per_job > AWS_RECORDS_PER_JOB:
        warnings.append(
            f"BEDROCK_MAX_RECORDS_PER_JOB={settings.max_records_per_job} is above {AWS_RECORDS_PER_JOB}, AWS's default "
            "quota: a job that breaks the quota of its model fails after its upload"
        )
    if settings.min_records_per_job < AWS_MIN_RECORDS_PER_JOB:
        warnings.append(
            f"BEDROCK_MIN_RECORDS_PER_JOB={settings.min_records_per_job} is below {AWS_MIN_RECORDS_PER_JOB}, AWS's "
            "default minimum: a smaller job fails after its upload"
        )
    if settings.max_job_file_bytes > AWS_JOB_FILE_BYTES:
        warnings.append(
            f"BEDROCK_MAX_JOB_FILE_BYTES={settings.max_job_file_bytes} is above 1 GiB, AWS's limit for an input file: "
            "a larger file fails after its upload"
        )
    return warnings


def find_region_warnings(settings: ModelSettings) -> list[str]:
    """Return a sentence if the ARN of the inference profile names another region than the one that is called."""
    if not settings.inference_profile_arn.startswith("arn:"):
        return []
    region = settings.inference_profile_arn.split(":")[3]
    if region == settings.region_name:
        return []
    return [
        f"BEDROCK_INFERENCE_PROFILE_ARN names a profile in {region}, but the run calls {settings.region_name}: "
        "set AWS_DEFAULT_REGION to the profile's region"
    ]


def find_account_warnings(model: ModelSettings, batch: BatchSettings) -> list[str]:
    """Return a sentence if the inference profile belongs to another account than the service role of batch jobs."""
    accounts = [_account_of(arn) for arn in (model.inference_profile_arn, batch.batch_role_arn)]
    if batch.batch_mode == "realtime" or "" in accounts or accounts[0] == accounts[1]:
        return []
    profile, role = accounts
    return [
        f"BEDROCK_INFERENCE_PROFILE_ARN names a profile of account {profile}, but BEDROCK_BATCH_ROLE_ARN a role of "
        f"account {role}: a job may be refused; name a profile of account {role}"
    ]


def _account_of(arn: str) -> str:
    """Return the account in an ARN; empty if the text is no ARN or the ARN names no account."""
    return arn.split(":")[4] if arn.startswith("arn:") else ""


def find_profile_warnings(settings: ModelSettings) -> list[str]:
    """Return a sentence if the inference profile names another model than the primary model.

    An ARN that hides its model is compared when the service has named the model (see `models.model_warnings`).
    """
    profile, primary = settings.inference_profile_arn, settings.primary_model_id
    return [] if not profile or hides_model(profile) else compare_profile(primary, [profile])


def compare_profile(primary_model_id: str, models: Sequence[str]) -> list[str]:
    """Return a sentence if one of the models that a profile leads to is not the primary model."""
    others = [model for model in models if not same_model(model, primary_model_id)]
    if not others or hides_model(primary_model_id):
        return []
    return [
        f"BEDROCK_INFERENCE_PROFILE_ARN leads to {base_model_id(others[0])}, but BEDROCK_PRIMARY_MODEL_ID is "
        f"{primary_model_id}: the profile's model would be asked as if it were the primary model; make both name one "
        "model"
    ]
