"""Request bodies: what is sent to a model for one prompt, the same in real time and in batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from typing import Any, Literal

from bedrock_batch.config import Settings
from bedrock_batch.families import PROFILE_PREFIX, Capabilities, capabilities_of

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

    def body_text(self, prompt: str) -> str:
        """Return the body for a prompt as ASCII JSON on one line.

        ASCII only, since readers that split lines on U+2028 or U+0085 would break a record in two.
        """
        return f"{self.head}{encode_basestring_ascii(prompt)}{self.tail}"

    def body(self, prompt: str) -> dict[str, Any]:
        """Return the body for a prompt as an object."""
        body: dict[str, Any] = json.loads(self.body_text(prompt))
        return body

    def jsonl_line(self, record_id: str, prompt: str) -> bytes:
        """Return the line of a batch input file for a record, with its line end."""
        return f'{{"recordId":"{record_id}","modelInput":{self.body_text(prompt)}}}\n'.encode("ascii")


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
    structure: Structure | None = None,
) -> ModelInput:
    """Return how `model_id` is asked under these settings; what it refuses is left out and noted.

    `schema` is the JSON Schema for the rungs that send one; `structure` overrides the choice of the rung.
    """
    able = capabilities or capabilities_of(model_id)
    api = choose_api(settings, able)
    rung = structure or choose_structure(settings, able, has_schema=schema is not None)
    notes: list[str] = []
    sampling = _sampling(settings, able, notes)
    max_tokens = _max_tokens(settings, able, notes)
    if api == "invoke_model":
        body = _anthropic_body(system_prompt, sampling, max_tokens, rung, schema)
    else:
        body = _converse_body(system_prompt, sampling, max_tokens, rung, schema)
    head, tail = json.dumps(body, ensure_ascii=True, separators=(",", ":")).split(json.dumps(_PROMPT_MARK))
    return ModelInput(model_id, api, rung, head, tail, tuple(notes), max_tokens)


def choose_api(settings: Settings, able: Capabilities) -> Api:
    """Return the API for a model: Anthropic's own body for its models, Converse for every other."""
    if settings.api == "auto":
        return "invoke_model" if able.anthropic else "converse"
    return "invoke_model" if settings.api == "invoke_model" else "converse"


def choose_structure(settings: Settings, able: Capabilities, *, has_schema: bool) -> Structure:
    """Return the rung of structured output: the one asked for, or the best that the model accepts in both modes.

    Both modes take the same rung, so that the same rows give the same answers. The prefill of the specification comes
    first: it is the only rung that is known to work in batch for every model that accepts it.
    """
    if settings.structured_output != "auto":
        asked: Structure = settings.structured_output
        return asked if has_schema or asked not in ("tool", "json_schema") else "prompt"
    if able.prefill:
        return "prefill"
    return "json_schema" if able.json_schema and has_schema else "prompt"


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
    return f"{profile_geography(settings.region_name)}.{model_id}"


def profile_geography(region: str) -> str:
    """Return the prefix of the inference profiles of a region.

    https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html
    """
    for start, geography in (("us-gov-", "us-gov"), ("us-", "us"), ("eu-", "eu"), ("ap-", "apac")):
        if region.startswith(start):
            return geography
    return "global"


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
