"""Request bodies: what is sent to a model for one prompt, the same in real time and in batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from typing import Any, Literal

from pydantic_core import to_json

from bedrock_batch.config import Settings
from bedrock_batch.errors import ConfigurationError
from bedrock_batch.families import PROFILE_PREFIX, UNKNOWN, Capabilities, capabilities_of, is_profile
from bedrock_batch.service_schema import NotExpressibleError, adapt_schema

Api = Literal["invoke_model", "converse"]
Structure = Literal["prefill", "tool", "json_schema", "prompt"]

ANTHROPIC_VERSION = "bedrock-2023-05-31"
PREFILL = "{"
TOOL_NAME = "record_answer"
# Stands for the prompt while the body around it is serialised once; no text of a user can contain it by accident.
_PROMPT_MARK = "b3f0c1d8-prompt-9a57-4d4e-goes-8c2f-here-1e6ab7d90c44"


@dataclass(frozen=True, slots=True)
class ModelInput:
    """How one model is asked: the service's API, the rung of structured output, and the body around the prompt.

    `head` and `tail` are the ASCII JSON before and after the prompt's own JSON string. `notes` says in words what was
    left out or changed because the model would refuse it.
    """

    model_id: str
    api: Api
    structure: Structure
    head: str
    tail: str
    notes: tuple[str, ...] = ()
    max_tokens: int = 0

    @property
    def prefilled(self) -> bool:
        return self.structure == "prefill"

    @property
    def invocation_type(self) -> Literal["InvokeModel", "Converse"]:
        return "InvokeModel" if self.api == "invoke_model" else "Converse"

    def body(self, prompt: str) -> dict[str, Any]:
        """Return the body for a prompt as an object."""
        body: dict[str, Any] = json.loads(b"".join((self.head.encode(), _ascii_json(prompt), self.tail.encode())))
        return body

    def line_writer(self) -> Callable[[str, str], bytes]:
        """Return a function of record id and prompt that gives the line of a batch input file, with its line end.

        Lines are ASCII, since readers that split on U+2028 or U+0085 would break a record in two.
        """
        start, middle = b'{"recordId":"', b'","modelInput":' + self.head.encode("ascii")
        end = self.tail.encode("ascii") + b"}\n"
        join, encode = b"".join, _ascii_json

        def write(record_id: str, prompt: str) -> bytes:
            return join((start, record_id.encode("ascii"), middle, encode(prompt), end))

        return write

    def jsonl_line(self, record_id: str, prompt: str) -> bytes:
        """Return the line of a batch input file for a record, with its line end."""
        return self.line_writer()(record_id, prompt)


def _ascii_json(text: str) -> bytes:
    """Return a text as a JSON string in ASCII.

    pydantic-core writes UTF-8, which for an ASCII text is the same and five times as fast as the standard library.
    """
    return to_json(text) if text.isascii() else encode_basestring_ascii(text).encode("ascii")


def prompt_of(body: Mapping[str, Any]) -> str | None:
    """Return the prompt inside a body that `ModelInput` made, or None when it is not there."""
    try:
        content = body["messages"][0]["content"]
        return content if isinstance(content, str) else content[0]["text"]
    except (KeyError, IndexError, TypeError):
        return None


def build_model_input(
    settings: Settings,
    model_id: str,
    *,
    system_prompt: str = "",
    capabilities: Capabilities | None = None,
    schema: Mapping[str, Any] | None = None,
) -> ModelInput:
    """Return how `model_id` is asked under these settings; what it refuses is left out and noted.

    `schema` is the JSON Schema for the rungs that send one. ConfigurationError where the API asked for has no body for
    the model's family.
    """
    able = capabilities or capabilities_of(model_id)
    api = choose_api(settings, able)
    notes = _notes_on_model(model_id, able)
    rung = choose_structure(settings, able, schema, notes)
    sampling = _sampling(settings, able, notes)
    max_tokens = _max_tokens(settings, able, notes)
    build = _anthropic_body if api == "invoke_model" else _converse_body
    sent = adapt_schema(schema) if rung == "json_schema" and schema is not None else schema
    body = build(system_prompt, sampling, max_tokens, rung, sent)
    head, tail = json.dumps(body, ensure_ascii=True, separators=(",", ":")).split(json.dumps(_PROMPT_MARK))
    return ModelInput(model_id, api, rung, head, tail, tuple(notes), max_tokens)


def choose_api(settings: Settings, able: Capabilities) -> Api:
    """Return the API for a model: Anthropic's own body for its models, Converse for every other."""
    if settings.api == "auto":
        return "invoke_model" if able.anthropic else "converse"
    if settings.api == "invoke_model" and not able.anthropic and able.family != UNKNOWN.family:
        raise ConfigurationError(
            f"BEDROCK_API=invoke_model sends the body of Anthropic's models, which the {able.family} family does not "
            "take: set BEDROCK_API=auto or converse"
        )
    return "invoke_model" if settings.api == "invoke_model" else "converse"


def choose_structure(
    settings: Settings, able: Capabilities, schema: Mapping[str, Any] | None, notes: list[str]
) -> Structure:
    """Return the rung of structured output: the one asked for, or else the first that the model is proved to accept.

    Both modes take the same rung, so that the same rows give the same answers: prefill, json_schema, tool, prompt. The
    prefill of the specification comes first, since it is the only one proved in batch, and it costs no tokens. A rung
    that is asked for and cannot be is replaced, with a note.
    """
    asked = settings.structured_output
    if asked != "auto" and (obstacle := _obstacle(asked, settings, able, schema)) is None:
        return asked
    proved = (rung for rung in _LADDER if _is_proved(rung, settings, able, schema))
    best: Structure = next(proved, "prompt")
    if asked != "auto":
        notes.append(f"BEDROCK_STRUCTURED_OUTPUT={asked} is replaced by {best}: {obstacle}")
    return best


_LADDER: tuple[Structure, ...] = ("prefill", "json_schema", "tool")
_MEMBERS = {"prefill": "prefill", "tool": "forced_tool", "json_schema": "json_schema"}


def _is_proved(rung: Structure, settings: Settings, able: Capabilities, schema: Mapping[str, Any] | None) -> bool:
    return getattr(able, _MEMBERS[rung]) is True and _obstacle(rung, settings, able, schema) is None


def _obstacle(rung: Structure, settings: Settings, able: Capabilities, schema: Mapping[str, Any] | None) -> str | None:
    """Return why a rung cannot be taken, None where nothing is known against it."""
    if rung == "prompt":
        return None
    if getattr(able, _MEMBERS[rung]) is False:
        return f"the {able.family} family refuses it (BEDROCK_MODEL_CAPABILITIES can say otherwise)"
    if rung == "prefill":
        return None
    if schema is None:
        return "there is no validation schema"
    if rung == "tool":
        # https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference.html
        in_converse = choose_api(settings, able) == "converse" and may_use_batch(settings)
        return "batch inference refuses tools in Converse records" if in_converse else None
    try:
        adapt_schema(schema)
    except NotExpressibleError as error:
        return f"the service cannot be held to this schema, since {error}"
    return None


def may_use_batch(settings: Settings) -> bool:
    """Whether runs under these settings can be answered by batch inference, given enough records."""
    needed = (settings.batch_role_arn, settings.batch_input_s3_path, settings.batch_output_s3_path)
    return settings.batch_mode != "realtime" and all(needed)


def _notes_on_model(model_id: str, able: Capabilities) -> list[str]:
    notes = []
    if able.profile_required and not is_profile(model_id):
        notes.append(
            f"the {able.family} family is reached through inference profiles only: set BEDROCK_INFERENCE_PROFILE_ARN, "
            "or add the model to BEDROCK_INFERENCE_PROFILE_REQUIRED_MODELS"
        )
    if able.thinking in ("default", "always"):
        notes.append(f"the {able.family} family thinks before it answers: that counts as output, within max_tokens")
    return notes


def effective_model_id(settings: Settings) -> str:
    """Return the id that the service is called with for the primary model.

    An inference profile ARN is used as it is. A model listed as requiring a profile gets the profile id of the
    region's geography, or the `global.` one where the region has none; an id that already names a profile stays.
    """
    if settings.inference_profile_arn:
        return settings.inference_profile_arn
    model_id = settings.primary_model_id
    if model_id not in settings.inference_profile_required_models or PROFILE_PREFIX.match(model_id):
        return model_id
    national = capabilities_of(model_id).national_profiles
    return f"{profile_geography(settings.region_name, national)}.{model_id}"


def profile_geography(region: str, national: bool = False) -> str:
    """Return the prefix of the inference profiles of a region, `global` where it has none of its own.

    `national` is for models whose profiles in Asia are those of Japan and Australia
    (https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html).
    """
    if national and region.startswith("ap-"):
        return _NATIONAL.get(region, "global")
    for start, geography in (("us-gov-", "us-gov"), ("us-", "us"), ("eu-", "eu"), ("ap-", "apac")):
        if region.startswith(start):
            return geography
    return "global"


_NATIONAL = {"ap-northeast-1": "jp", "ap-northeast-3": "jp", "ap-southeast-2": "au", "ap-southeast-4": "au"}


def _sampling(settings: Settings, able: Capabilities, notes: list[str]) -> dict[str, float]:
    wanted = {"temperature": settings.temperature, "top_p": settings.top_p}
    given = {name: value for name, value in wanted.items() if value is not None}
    if able.sampling == "none" and given:
        notes.append(f"{' and '.join(given)} left out: the {able.family} family takes no sampling parameters")
        return {}
    if able.sampling == "either" and len(given) == 2:
        notes.append(f"top_p left out: the {able.family} family takes temperature or top_p, not both")
        del given["top_p"]
    return given


def _max_tokens(settings: Settings, able: Capabilities, notes: list[str]) -> int:
    limit = able.max_output_tokens
    if limit is not None and settings.max_tokens > limit:
        notes.append(f"max_tokens lowered from {settings.max_tokens} to {limit}, the most of the {able.family} family")
        return limit
    return settings.max_tokens


def _anthropic_body(
    system_prompt: str, sampling: dict[str, float], max_tokens: int, rung: Structure, schema: Mapping[str, Any] | None
) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": _PROMPT_MARK}]
    body: dict[str, Any] = {"anthropic_version": ANTHROPIC_VERSION, "max_tokens": max_tokens, **sampling}
    body["messages"] = messages
    if system_prompt:
        body["system"] = system_prompt
    if rung == "prefill":
        messages.append({"role": "assistant", "content": PREFILL})
    elif rung == "json_schema":
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    elif rung == "tool":
        body["tools"] = [{"name": TOOL_NAME, "description": "Record the answer.", "input_schema": schema}]
        body["tool_choice"] = {"type": "tool", "name": TOOL_NAME}
    return body


def _converse_body(
    system_prompt: str, sampling: dict[str, float], max_tokens: int, rung: Structure, schema: Mapping[str, Any] | None
) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"text": _PROMPT_MARK}]}]
    wire_names = {"temperature": "temperature", "top_p": "topP"}
    inference = {"maxTokens": max_tokens, **{wire_names[name]: value for name, value in sampling.items()}}
    body: dict[str, Any] = {"messages": messages, "inferenceConfig": inference}
    if system_prompt:
        body["system"] = [{"text": system_prompt}]
    if rung == "prefill":
        messages.append({"role": "assistant", "content": [{"text": PREFILL}]})
    elif rung == "json_schema":
        structure = {"jsonSchema": {"schema": json.dumps(schema), "name": TOOL_NAME}}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": structure}}
    elif rung == "tool":
        tool = {"name": TOOL_NAME, "description": "Record the answer.", "inputSchema": {"json": schema}}
        body["toolConfig"] = {"tools": [{"toolSpec": tool}], "toolChoice": {"tool": {"name": TOOL_NAME}}}
    return body
