"""Chooses the API and the output mode for a model from the settings and from what the model accepts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from bedrock_batch.environment.settings import Settings
from bedrock_batch.environment.variables.model import OutputMode
from bedrock_batch.errors import ConfigurationError
from bedrock_batch.families import UNKNOWN, Capabilities
from bedrock_batch.models.structured_output import NotExpressibleError, adapt_schema

Api = Literal["invoke_model", "converse"]


def choose_api(settings: Settings, able: Capabilities) -> Api:
    """Return the API for a model: Anthropic's own body for its models, Converse for every other."""
    if settings.api == "auto":
        return "invoke_model" if able.anthropic else "converse"
    if settings.api == "invoke_model" and not able.anthropic and able.family != UNKNOWN.family:
        raise ConfigurationError(
            f"BEDROCK_API=invoke_model (or BEDROCK_USE_CONVERSE_API=false) sends the body of Anthropic's models, which "
            f"the {able.family} family does not accept: set BEDROCK_API=auto or converse instead"
        )
    return "invoke_model" if settings.api == "invoke_model" else "converse"


def choose_output_mode(
    settings: Settings, able: Capabilities, schema: Mapping[str, Any] | None, notes: list[str]
) -> OutputMode:
    """Return the first output mode of the settings, or in the order of auto, that the model is known to accept.

    The order of auto is prefill, json_schema, tool, prompt, in batch as in real time, so that a row gets the same
    answer in both. The prefill comes first because it is proved in batch and costs no tokens.

    If the model is known to accept none of the modes in the settings, the first possible one is used, and if none is
    possible, that of auto. `notes` gets a sentence if another mode replaces the first one in the settings.
    """
    proved = [mode for mode in _BY_PREFERENCE if _is_proved(mode, settings, able, schema)]
    if settings.structured_output == "auto":
        return proved[0]
    asked = cast("list[OutputMode]", settings.structured_output.split(","))
    obstacles = {mode: _obstacle(mode, settings, able, schema) for mode in asked}
    possible = [mode for mode in asked if obstacles[mode] is None]
    chosen = next((mode for mode in possible if mode in proved), (possible or proved)[0])
    if chosen != asked[0]:
        reason = obstacles[asked[0]] or f"whether the {able.family} family accepts {asked[0]} is not known"
        notes.append(f"BEDROCK_STRUCTURED_OUTPUT={asked[0]} is replaced by {chosen}: {reason}")
    return chosen


_BY_PREFERENCE: tuple[OutputMode, ...] = ("prefill", "json_schema", "tool", "prompt")
_MEMBERS = {"prefill": "prefill", "tool": "forced_tool", "json_schema": "json_schema"}


def _is_proved(
    output_mode: OutputMode, settings: Settings, able: Capabilities, schema: Mapping[str, Any] | None
) -> bool:
    is_accepted = output_mode == "prompt" or getattr(able, _MEMBERS[output_mode]) is True
    return is_accepted and _obstacle(output_mode, settings, able, schema) is None


def _obstacle(
    output_mode: OutputMode, settings: Settings, able: Capabilities, schema: Mapping[str, Any] | None
) -> str | None:
    """Return the reason why an output mode is impossible, or None if there is no known reason."""
    if output_mode == "prompt":
        return None
    if getattr(able, _MEMBERS[output_mode]) is False:
        return f"the {able.family} family refuses it (BEDROCK_MODEL_CAPABILITIES can override this)"
    if output_mode == "prefill":
        return None
    if schema is None:
        return "there is no validation schema"
    if output_mode == "tool":
        # https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference.html
        in_converse = choose_api(settings, able) == "converse" and may_use_batch(settings)
        return "batch inference refuses tools in Converse records" if in_converse else None
    try:
        adapt_schema(schema)
    except NotExpressibleError as error:
        return f"the service cannot enforce this schema: {error}"
    return None


def may_use_batch(settings: Settings) -> bool:
    """Return whether a run under these settings may use batch inference if it has enough records."""
    needed = (settings.batch_role_arn, settings.batch_input_s3_path, settings.batch_output_s3_path)
    return settings.batch_mode != "realtime" and all(needed)
