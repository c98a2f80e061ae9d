"""The settings of a run: read once, checked as a whole, frozen.

Every problem is collected and raised in one ConfigurationError, so that a user corrects a configuration in one go.
The variables themselves stand in `variables`, the forms of their values in `values`.
"""

from __future__ import annotations

import json
import numbers
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from bedrock_batch.errors import ConfigurationError
from bedrock_batch.text import digest, nearest, printable, shorten
from bedrock_batch.variables import BY_KEY, BY_NAME, VARIABLES, Variable

AWS_RECORDS_PER_JOB = 50_000
AWS_MIN_RECORDS_PER_JOB = 100
AWS_JOB_FILE_BYTES = 1024**3
REFERENCE_PREFIXES = ("file:", "s3://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a run; each attribute is described by its row in `variables.VARIABLES`."""

    primary_model_id: str
    fallback_model_id: str
    inference_profile_arn: str
    inference_profile_required_models: tuple[str, ...]
    region_name: str
    model_capabilities: Mapping[str, Any]
    api: Literal["auto", "invoke_model", "converse"]
    structured_output: Literal["auto", "prefill", "tool", "json_schema", "prompt"]
    max_tokens: int
    temperature: float | None
    top_p: float | None
    user_prompt_template: str
    system_prompt: str
    input_placeholders: str
    validation_schema: str
    concurrency_mode: Literal["sequential", "concurrent"]
    max_concurrent_workers: int
    rate_limit_per_second: float
    adaptive_rate: bool
    batch_size: int
    max_retries: int
    read_timeout_seconds: float
    validation_retries: int
    deduplicate_prompts: bool
    batch_mode: Literal["auto", "batch", "realtime"]
    batch_threshold: int
    batch_role_arn: str
    batch_input_s3_path: str
    batch_output_s3_path: str
    batch_timeout_hours: int
    max_records_per_job: int
    min_records_per_job: int
    max_job_file_bytes: int
    max_concurrent_batch_jobs: int
    batch_poll_initial_seconds: float
    batch_poll_max_seconds: float
    batch_fallback: Literal["realtime", "error", "fail"]
    batch_lease_seconds: float
    batch_resume: bool
    batch_job_name_prefix: str
    batch_kms_key_id: str
    batch_bucket_owner: str
    batch_tags: tuple[tuple[str, str], ...]
    batch_subnet_ids: tuple[str, ...]
    batch_security_group_ids: tuple[str, ...]
    max_input_field_length: int
    truncation_enabled: bool
    log_truncations: bool
    output_column_prefix: str
    output_metadata: bool
    skip_error_records: bool
    max_error_rate: float
    max_cost_usd: float | None
    prices: Mapping[str, Mapping[str, float]]
    metrics_namespace: str
    report_samples: int
    use_secure_pypi: bool
    secure_pypi_domain: str
    secure_pypi_domain_owner: str
    secure_pypi_region: str
    secure_pypi_repository: str
    secure_pypi_role_arn: str

    def public(self) -> dict[str, Any]:
        """Return the settings as JSON values for the summary, with the user's own texts replaced by their digest."""
        secret = {variable.field for variable in VARIABLES if variable.secret}
        return {
            field.name: _digest_of(value) if field.name in secret else _json_value(value)
            for field in fields(self)
            for value in [getattr(self, field.name)]
        }


def load_settings(environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> tuple[Settings, list[str]]:
    """Return the settings that the environment describes, and warnings.

    `overrides` maps attributes of `Settings` to values that win over the environment (`batch_size` and `max_retries`
    from the command line); a value of None overrides nothing. An empty variable counts as not set. All problems are
    raised together as one ConfigurationError.
    """
    reader = _Reader(naming="name")
    given = {field: value for field, value in (overrides or {}).items() if value is not None}
    for variable in VARIABLES:
        if variable.field in given:
            reader.read(variable, given[variable.field], label=f"--{variable.field.replace('_', '-')}")
        else:
            reader.read(variable, _environment_text(environ, variable))
    unknown = _unknown_variables(environ)
    if reader.problems:  # a misspelt name may be why another variable is not set
        reader.problems += unknown
    settings = reader.finish()
    return settings, [*unknown, *_warnings(settings)]


def settings_from_mapping(config: Mapping[str, Any]) -> Settings:
    """Return the settings that a mapping describes, as the processors take it.

    Keys are attributes of `Settings` or lower-case variable names; values are Python values or the text that the
    variable would hold. None and the empty string count as not set, except that None leaves `temperature` and `top_p`
    out of the request. All problems, an unknown key among them, are raised together as one ConfigurationError.
    """
    reader = _Reader(naming="field")
    given: dict[str, Any] = {}
    for key, value in config.items():
        variable = BY_KEY.get(str(key))
        if variable is None:
            reader.problems.append(_unknown_key(str(key)))
        elif variable.field in given:
            reader.problems.append(f"{variable.field} is given twice, also as {variable.name.lower()}: give it once")
        else:
            given[variable.field] = value
    for variable in VARIABLES:
        reader.read(variable, given.get(variable.field, ""))
    return reader.finish()


class _Reader:
    """Collects values and problems row by row."""

    def __init__(self, naming: Literal["name", "field"]) -> None:
        self.naming = naming
        self.values: dict[str, Any] = {}
        self.problems: list[str] = []

    def read(self, variable: Variable, given: Any, label: str | None = None) -> None:
        """Keep the value of one variable, or the problem with it under `label`."""
        label = label or getattr(variable, self.naming)
        try:
            text = _as_text(given, variable)
            value = variable.parse(text or variable.default)
        except (TypeError, ValueError):
            self.problems.append(f"{label}{_shown(variable, given)} is not accepted: use {variable.accepted}")
            return
        if variable.required and not text:
            self.problems.append(f"{label} is not set: give {variable.accepted}")
        elif not variable.available and value != variable.parse(variable.default):
            self.problems.append(f"{label} is not available in this version: leave it unset")
        self.values[variable.field] = value

    def finish(self) -> Settings:
        """Return the settings, or raise every problem, the contradictions between accepted values included."""
        problems = [*self.problems, *_contradictions(self.values, self.naming)]
        if problems:
            raise ConfigurationError(problems)
        return Settings(**self.values)


def _as_text(given: Any, variable: Variable) -> str:
    """Return a value as the text that an environment variable would hold."""
    match given:
        case None:
            text = "none" if variable.field in ("temperature", "top_p") else ""
        case str():
            text = given if variable.form.is_prose else given.strip()
        case bool() | numbers.Number() | os.PathLike():
            text = str(given)
        case Mapping():
            text = json.dumps(dict(given))
        case tuple() if variable.field == "batch_tags":  # as `Settings` holds them
            text = json.dumps(dict(given))
        case list() | tuple():
            text = json.dumps(given)
        case _:
            raise TypeError
    if printable(text) != text:  # bytes of the environment that are not UTF-8 arrive as lone surrogates
        raise ValueError
    return text


def _shown(variable: Variable, given: Any) -> str:
    if variable.secret:
        return ""
    if isinstance(given, (str, bool, numbers.Number)):
        return f"={shorten(printable(repr(given)), 80)}"
    return f" (a {type(given).__name__})"


def _environment_text(environ: Mapping[str, str], variable: Variable) -> str:
    text = environ.get(variable.name, "")
    if variable.field == "region_name" and not text.strip():
        return environ.get("AWS_REGION", "")
    return text


def _contradictions(values: Mapping[str, Any], naming: Literal["name", "field"]) -> list[str]:
    """Return the problems between values that are each accepted; a value that is missing here was refused before."""
    label = {variable.field: getattr(variable, naming) for variable in VARIABLES}

    def known(*names: str) -> bool:
        return all(name in values for name in names)

    def at_most(low: str, high: str) -> list[str]:
        if not known(low, high) or values[low] <= values[high]:
            return []
        return [f"{label[low]}={values[low]} is above {label[high]}={values[high]}: lower the first or raise the other"]

    problems = [
        *at_most("min_records_per_job", "max_records_per_job"),
        *at_most("batch_poll_initial_seconds", "batch_poll_max_seconds"),
    ]
    pair = ("batch_subnet_ids", "batch_security_group_ids")
    if known(*pair) and bool(values[pair[0]]) != bool(values[pair[1]]):
        problems.append(f"{label[pair[0]]} and {label[pair[1]]} belong together: set both or neither")
    if known("batch_mode", "batch_fallback") and (values["batch_mode"], values["batch_fallback"]) == ("batch", "fail"):
        problems += [
            f"{label[name]} is not set, but {label['batch_mode']}=batch with {label['batch_fallback']}=fail needs it"
            for name in ("batch_role_arn", "batch_input_s3_path", "batch_output_s3_path")
            if values.get(name) == ""
        ]
    if values.get("use_secure_pypi"):
        problems += [
            f"{label[name]} is not set, but {label['use_secure_pypi']}=true needs it"
            for name in ("secure_pypi_domain", "secure_pypi_repository")
            if values.get(name) == ""
        ]
    return problems


def _warnings(settings: Settings) -> list[str]:
    warnings = []
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
    profile_region = (
        settings.inference_profile_arn.split(":")[3:4] if settings.inference_profile_arn[:4] == "arn:" else []
    )
    if profile_region and profile_region != [settings.region_name]:
        warnings.append(
            f"BEDROCK_INFERENCE_PROFILE_ARN is of {profile_region[0]}, but the run calls {settings.region_name}: "
            "set AWS_DEFAULT_REGION to the profile's region"
        )
    return warnings


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    unknown = sorted(name for name in environ if name.startswith("BEDROCK_") and name not in BY_NAME)
    return [f"{printable(name)} is no variable of this step and is ignored{_guess(name, BY_NAME)}" for name in unknown]


def _unknown_key(key: str) -> str:
    return f"{shorten(printable(key), 80)!r} is no key of the configuration{_guess(key, BY_KEY)}"


def _guess(name: str, candidates: Mapping[str, Variable]) -> str:
    """Return the question after the nearest name; what all names begin with says nothing about nearness."""
    tails = {re.sub("^bedrock_", "", candidate, flags=re.IGNORECASE): candidate for candidate in candidates}
    close = nearest(re.sub("^bedrock_", "", name, flags=re.IGNORECASE), tails)
    return f"; did you mean {tails[close]}?" if close else ""


def _digest_of(text: str) -> str:
    if not text or text.startswith(REFERENCE_PREFIXES):
        return text
    return f"{len(text)} characters, sha256 {digest(text)}"


def _json_value(value: Any) -> Any:
    match value:
        case tuple():
            return [_json_value(item) for item in value]
        case Mapping():
            return {key: _json_value(item) for key, item in value.items()}
        case _:
            return value
