"""The input of a model: its API, output mode and request body, rendered once for all prompts of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from typing import Any, Literal

from pydantic_core import to_json

from bedrock_batch.environment.settings import BY_NAME, Settings
from bedrock_batch.environment.variables.model import OutputMode
from bedrock_batch.families import PROFILE_PREFIX, Capabilities, capabilities_of, is_profile
from bedrock_batch.models.output_mode import Api, choose_api, choose_output_mode
from bedrock_batch.models.question_frame import foundation_model, frame_of
from bedrock_batch.models.request_bodies import AnswerForm, anthropic_body, compact_json, converse_body
from bedrock_batch.models.structured_output import adapt_schema

# Stands for the prompt while the body around it is serialised. No text of a user contains it by accident.
_PROMPT_MARK = "b3f0c1d8-prompt-9a57-4d4e-goes-8c2f-here-1e6ab7d90c44"


@dataclass(frozen=True, slots=True)
class ModelInput:
    """How one model is asked: the API, the output mode, and the request body around the prompt.

    `head` and `tail` are the ASCII JSON before and after the JSON string of the prompt. `notes` are sentences about
    what was left out or changed because the model would refuse it.
    """

    model_id: str
    api: Api
    output_mode: OutputMode
    head: str
    tail: str
    notes: tuple[str, ...] = ()
    max_tokens: int = 0
    frame: str = ""
    """What the model is asked beside the prompt: see `question_frame`."""

    @property
    def has_system(self) -> bool:
        """Whether the requests have a system prompt."""
        return "system" in self.body("")

    @property
    def prefilled(self) -> bool:
        return self.output_mode == "prefill"

    @property
    def invocation_type(self) -> Literal["InvokeModel", "Converse"]:
        return "InvokeModel" if self.api == "invoke_model" else "Converse"

    def request(self, prompt: str) -> bytes | dict[str, Any]:
        """Return the request for a prompt: the JSON body of InvokeModel, or the members of a Converse request."""
        return self.json_body(prompt) if self.api == "invoke_model" else self.body(prompt)

    def json_body(self, prompt: str) -> bytes:
        """Return the body for a prompt as JSON, the same bytes as in the line of a job file."""
        return b"".join((self.head.encode("ascii"), ascii_json(prompt), self.tail.encode("ascii")))

    def body(self, prompt: str) -> dict[str, Any]:
        """Return the body for a prompt as an object."""
        body: dict[str, Any] = json.loads(self.json_body(prompt))
        return body

    def line_writer(self) -> Callable[[str, str], bytes]:
        """Return a function that takes record id and prompt and returns a line of a job file, with its line end.

        Lines are ASCII, because a reader that splits on U+2028 or U+0085 would break a record in two.
        """
        start, middle = b'{"recordId":"', b'","modelInput":' + self.head.encode("ascii")
        end = self.tail.encode("ascii") + b"}\n"
        join, encode = b"".join, ascii_json

        def write(record_id: str, prompt: str) -> bytes:
            return join((start, record_id.encode("ascii"), middle, encode(prompt), end))

        return write

    def jsonl_line(self, record_id: str, prompt: str) -> bytes:
        """Return the line of a job file for a record, with its line end."""
        return self.line_writer()(record_id, prompt)


def ascii_json(text: str) -> bytes:
    """Return a text as a JSON string in ASCII.

    pydantic-core writes UTF-8, which is ASCII for an ASCII text, and takes a fifth of the standard library's time.
    """
    return to_json(text) if text.isascii() else encode_basestring_ascii(text).encode("ascii")


def prompt_of(body: Mapping[str, Any]) -> str | None:
    """Return the prompt in a body that `ModelInput` rendered, or None if the body has another form."""
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
    """Return the input of a model under these settings, without the fields that the model refuses.

    `schema` is the JSON Schema for the output modes that send one. ConfigurationError if the model's family does not
    accept the body of the API in the settings.
    """
    able = capabilities or capabilities_of(model_id)
    api = choose_api(settings, able)
    notes = _notes_on_model(model_id, able)
    output_mode = choose_output_mode(settings, able, schema, notes)
    notes += _notes_on_tool(settings, output_mode)
    sampling = _sampling(settings, able, notes)
    max_tokens = _max_tokens(settings, able, notes)
    build = anthropic_body if api == "invoke_model" else converse_body
    sent = adapt_schema(schema) if output_mode == "json_schema" and schema is not None else schema
    form = AnswerForm(output_mode, sent, settings.tool_name, settings.tool_description)
    body = build(_PROMPT_MARK, system_prompt, sampling, max_tokens, form)
    head, tail = compact_json(body).split(compact_json(_PROMPT_MARK))
    named = settings.primary_model_id if model_id == settings.inference_profile_arn else ""
    frame = frame_of(foundation_model(model_id, named), api, head, tail)
    return ModelInput(model_id, api, output_mode, head, tail, tuple(notes), max_tokens, frame)


def _notes_on_model(model_id: str, able: Capabilities) -> list[str]:
    notes = []
    if able.profile_required and not is_profile(model_id):
        notes.append(
            f"the {able.family} family is available through inference profiles only: set "
            "BEDROCK_INFERENCE_PROFILE_ARN, or add the model to BEDROCK_INFERENCE_PROFILE_REQUIRED_MODELS"
        )
    if able.thinking in ("default", "always"):
        notes.append(f"the {able.family} family reasons before it answers: max_tokens limits the tokens of both")
    return notes


def _notes_on_tool(settings: Settings, output_mode: OutputMode) -> list[str]:
    """Return a sentence for each setting of the tool that has no effect, since another output mode is taken."""
    if output_mode == "tool":
        return []
    return [
        f"{variable.name} has no effect: the output mode is {output_mode}, which sends no tool; "
        "BEDROCK_STRUCTURED_OUTPUT=tool asks for one"
        for variable in map(BY_NAME.__getitem__, ("BEDROCK_TOOL_NAME", "BEDROCK_TOOL_DESCRIPTION"))
        if getattr(settings, variable.field) != variable.default
    ]


def effective_model_id(settings: Settings) -> str:
    """Return the id by which the service is asked for the primary model.

    An inference profile ARN is used as it is. A model that the settings list as requiring a profile gets the profile id
    of the region's geography, or the `global.` one if the region has none. An id of a profile is used as it is.
    """
    if settings.inference_profile_arn:
        return settings.inference_profile_arn
    model_id = settings.primary_model_id
    if model_id not in settings.inference_profile_required_models or PROFILE_PREFIX.match(model_id):
        return model_id
    national = capabilities_of(model_id).national_profiles
    return f"{profile_geography(settings.region_name, national)}.{model_id}"


def profile_geography(region: str, national: bool = False) -> str:
    """Return the prefix of the inference profiles of a region, or `global` if the region has none.

    `national` selects the profiles of Japan and Australia, which some models have instead of those of Asia
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
        notes.append(f"{' and '.join(given)} left out: the {able.family} family accepts no sampling parameters")
        return {}
    if able.sampling == "either" and len(given) == 2:
        notes.append(f"top_p left out: the {able.family} family accepts temperature or top_p, not both")
        del given["top_p"]
    return given


def _max_tokens(settings: Settings, able: Capabilities, notes: list[str]) -> int:
    limit = able.max_output_tokens
    if limit is not None and settings.max_tokens > limit:
        notes.append(f"max_tokens lowered from {settings.max_tokens} to {limit}, the limit of the {able.family} family")
        return limit
    return settings.max_tokens
