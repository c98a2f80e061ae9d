"""The settings of a run, read from the environment or a mapping, checked as a whole and frozen.

All problems are raised in one ConfigurationError, so that a user corrects a configuration in one go. `variables`
declares each setting, `value_types` parses its value, `consistency` compares settings with each other, and `aliases`
reads the names of the original script.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from bedrock_batch.environment.aliases import take_aliases
from bedrock_batch.environment.consistency import (
    AWS_MIN_TIMEOUT_HOURS,
    find_account_warnings,
    find_contradictions,
    find_profile_warnings,
    find_quota_warnings,
    find_region_warnings,
)
from bedrock_batch.environment.reader import SettingsReader
from bedrock_batch.environment.variables.aliases import ALIASES
from bedrock_batch.environment.variables.batch import BatchSettings
from bedrock_batch.environment.variables.data import DataSettings
from bedrock_batch.environment.variables.model import ModelSettings
from bedrock_batch.environment.variables.operation import OperationSettings
from bedrock_batch.environment.variables.realtime import RealtimeSettings
from bedrock_batch.environment.variables.trial import TrialSettings
from bedrock_batch.environment.variables.value_types import REFERENCE_PREFIXES
from bedrock_batch.environment.variables.variable import Variable, variables_of
from bedrock_batch.errors import ConfigurationError
from bedrock_batch.text import digest, nearest, printable, shorten


@dataclass(frozen=True, kw_only=True)
class Settings(OperationSettings, TrialSettings, DataSettings, BatchSettings, RealtimeSettings, ModelSettings):
    """The settings of a run, frozen; its bases declare the attributes, the last base the first of them."""

    def public(self) -> dict[str, Any]:
        """Return the settings as JSON values for the summary, with the user's own texts replaced by their digest."""
        secret = {variable.field for variable in VARIABLES if variable.secret}
        return {
            field.name: _digest_of(value) if field.name in secret else _json_value(value)
            for field in fields(self)
            for value in [getattr(self, field.name)]
        }


VARIABLES: tuple[Variable, ...] = variables_of(Settings)
BY_NAME: dict[str, Variable] = {variable.name: variable for variable in VARIABLES}
BY_FIELD: dict[str, Variable] = {variable.field: variable for variable in VARIABLES}
# Settings replace aliases: `secure_pypi_domain` is the key of both.
BY_KEY: dict[str, Variable] = {
    key: variable for variable in (*ALIASES, *VARIABLES) for key in (variable.name.lower(), variable.field)
}
_NAMES: dict[str, Variable] = {alias.name: alias for alias in ALIASES} | BY_NAME


def load_settings(environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> tuple[Settings, list[str]]:
    """Return the settings that the environment describes, and warnings.

    `overrides` maps attributes of `Settings` to values that win over the environment (`batch_size` and `max_retries`
    from the command line); a value of None overrides nothing. An empty variable counts as not set. All problems are
    raised together as one ConfigurationError.
    """
    reader = _read_environment(environ, VARIABLES, overrides)
    unknown = _unknown_variables(environ)
    if reader.problems:  # a misspelt name may be why another variable is not set
        reader.problems += unknown
    settings = _finish(reader)
    warnings = [
        *unknown,
        *find_quota_warnings(settings),
        *find_region_warnings(settings),
        *find_account_warnings(settings, settings),
        *find_profile_warnings(settings),
    ]
    return _within_aws_limits(settings), warnings


def settings_from_mapping(config: Mapping[str, Any]) -> Settings:
    """Return the settings that a mapping describes, as the processors take it.

    Keys are attributes of `Settings` or lower-case variable names; values are Python values or the text that the
    variable would hold. None and the empty string count as not set, except that None leaves `temperature` and `top_p`
    out of the request. All problems, an unknown key among them, are raised together as one ConfigurationError.
    """
    return _within_aws_limits(_finish(_read_mapping(config)))


def read_variables(environ: Mapping[str, str], fields: Collection[str]) -> dict[str, Any]:
    """Return the values of some attributes of `Settings`; ConfigurationError names all problems with them."""
    reader = _read_environment(environ, [variable for variable in VARIABLES if variable.field in fields])
    if reader.problems:
        raise ConfigurationError(reader.problems)
    return reader.values


def alias_notes(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable of the original script: the setting that it is read as."""
    return _read_environment(environ, VARIABLES).notes


def alias_notes_of_mapping(config: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each key of the original script: the setting that it is read as."""
    return _read_mapping(config).notes


def _read_environment(
    environ: Mapping[str, str], variables: Sequence[Variable], overrides: Mapping[str, Any] | None = None
) -> SettingsReader:
    reader = SettingsReader("name")
    given: dict[str, Any] = {variable.field: _environment_text(environ, variable) for variable in variables}
    take_aliases(reader, variables, given, [(alias, environ.get(alias.name)) for alias in ALIASES])
    flags = {field: value for field, value in (overrides or {}).items() if value is not None}
    for variable in variables:
        if variable.field in flags:
            reader.read(variable, flags[variable.field], label=flag_of(variable.field))
        else:
            reader.read(variable, given[variable.field])
    return reader


def flag_of(field: str) -> str:
    """Return the argument of the command line that gives an attribute of `Settings`."""
    return f"--{field.removesuffix('_records').replace('_', '-')}"


def _read_mapping(config: Mapping[str, Any]) -> SettingsReader:
    reader = SettingsReader("field")
    known: dict[Variable, Any] = {}
    for key, value in config.items():
        variable = BY_KEY.get(str(key))
        if variable is None:
            reader.problems.append(_unknown_key(str(key)))
        elif variable in known:
            reader.problems.append(f"{variable.field} is given twice, also as {variable.name.lower()}: give it once")
        else:
            known[variable] = value
    given = {variable.field: known.get(variable, "") for variable in VARIABLES}
    take_aliases(reader, VARIABLES, given, [(alias, known.get(alias)) for alias in ALIASES])
    for variable in VARIABLES:
        reader.read(variable, given[variable.field])
    return reader


def _finish(reader: SettingsReader) -> Settings:
    """Return the settings; raise all problems, contradictions between accepted values among them, as one error."""
    labels = {variable.field: reader.label(variable) for variable in VARIABLES}
    problems = [*reader.problems, *find_contradictions(reader.values, labels)]
    if problems:
        raise ConfigurationError(problems)
    return Settings(**reader.values)


def _within_aws_limits(settings: Settings) -> Settings:
    """Return the settings with the timeout of jobs raised to AWS's minimum."""
    return replace(settings, batch_timeout_hours=max(settings.batch_timeout_hours, AWS_MIN_TIMEOUT_HOURS))


def _environment_text(environ: Mapping[str, str], variable: Variable) -> str:
    text = environ.get(variable.name, "")
    if variable.field == "region_name" and not text.strip():
        return environ.get("AWS_REGION", "")
    return text


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    unknown = sorted(name for name in environ if name.startswith("BEDROCK_") and name not in _NAMES)
    return [
        f"{printable(name)} is not a variable of this step and is ignored{_guess(name, _NAMES)}" for name in unknown
    ]


def _unknown_key(key: str) -> str:
    return f"{shorten(printable(key), 80)!r} is not a key of the configuration{_guess(key, BY_KEY)}"


def _guess(name: str, candidates: Mapping[str, Variable]) -> str:
    """Return a question that suggests the nearest name, compared without the common prefix; empty if none is near."""
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
