"""What a ValidationException of the service says about a model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bedrock_batch.families import Capabilities
from bedrock_batch.models.refusals import learn

ABLE = Capabilities("any", prefill=True, forced_tool=True, json_schema=True, max_output_tokens=64000)

# Observed messages of AWS: docs/models.md has the sources.
REFUSALS = {
    "`temperature` and `top_p` cannot both be specified for this model. Please use only one.": {"sampling": "either"},
    "The model returned the following errors: `temperature` and `top_p` cannot both be specified for this model. "
    "Please use only one.": {"sampling": "either"},
    "`temperature` is deprecated for this model": {"sampling": "none"},
    "`top_p` is deprecated for this model": {"sampling": "none"},
    "The model that you are using requires the last turn in the conversation to be a user message. Add a user message "
    "to the conversation and try again.": {"prefill": False},
    "This model does not support assistant message prefill. The conversation must end with a user message.": {
        "prefill": False
    },
    'tool_choice: type "tool" and "any" are not supported for this model': {"forced_tool": False},
    "This model doesn\u2019t support the toolConfig.toolChoice.any field. Remove toolConfig.toolChoice.any and try "
    "again.": {"forced_tool": False},
    "This model doesn't support tool use.": {"forced_tool": False},
    "output_config.format: Extra inputs are not permitted": {"json_schema": False},
    "This model doesn't support the outputConfig.textFormat field. Remove it and try again.": {"json_schema": False},
    "compilation exceeded limits: Schema is too complex": {"json_schema": False},
    "output_config.format.schema: For 'number' type, properties minimum are not supported": {"json_schema": False},
    "max_tokens: 64000 > 32000, which is the maximum allowed number of output tokens for this model": {
        "max_output_tokens": 32000
    },
    "The maximum tokens you requested exceeds the model limit of 8192. Try again with a maximum tokens value lower "
    "than 8192.": {"max_output_tokens": 8192},
}

# Refusals that name a field of the request, as users reported them in the issues of the comments.
NO_SAMPLING = {"sampling": "none"}
NO_TOOL = {"forced_tool": False}
NO_SCHEMA = {"json_schema": False}
REFUSALS |= {
    # Converse on GPT-5 and Grok: NousResearch/hermes-agent#103299 and #94976
    "This model doesn't support the temperature field. Remove temperature and try again.": NO_SAMPLING,
    "This model doesn\u2019t support the topP field. Remove topP and try again.": NO_SAMPLING,
    "This model doesn't support the inferenceConfig.topP field. Remove inferenceConfig.topP and try again.": (
        NO_SAMPLING
    ),
    # DayuanJiang/next-ai-draw-io#861
    "The model returned the following errors: temperature is deprecated for this model.": NO_SAMPLING,
    # Mintplex-Labs/anything-llm#5461
    'The model returned the following errors: {"type":"error","request_id":"req_1","error":{"type":'
    '"invalid_request_error","message":"`temperature` is deprecated for this model."}}': NO_SAMPLING,
    # decolua/9router#536, appatalks/eva-agent#83, OpenHands/software-agent-sdk#1837
    "Unsupported parameter: 'temperature' is not supported with this model.": NO_SAMPLING,
    # ChatGPTNextWeb/NextChat#6774
    "Unsupported parameter: top_p": NO_SAMPLING,
    # QwenLM/qwen-code#921
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.": (
        NO_SAMPLING
    ),
    # XCNXNXNX/dsh-portable-tavern#1
    "invalid temperature: only 1 is allowed for this model": NO_SAMPLING,
    # BerriAI/litellm#7416 has this form for another key
    "Malformed input request: #: extraneous key [temperature] is not permitted, please reformat your input and try "
    "again.": NO_SAMPLING,
    "Extra inputs are not permitted: top_p": NO_SAMPLING,
    # vectorize-io/hindsight#3300
    "The model returned the following errors: output_config.format: Extra inputs are not permitted": NO_SCHEMA,
    # BerriAI/litellm#13825 has this form for another field
    "The model returned the following errors: response_format: Extra inputs are not permitted": NO_SCHEMA,
    # microsoft/semantic-kernel#10510 has this form for another field
    "Validation error at #/output_config: Extra inputs are not permitted": NO_SCHEMA,
    # anomalyco/opencode#24696 has this form for another member of tools
    "Extra inputs are not permitted, field: 'tools[0].name', value: 'record_answer'": NO_TOOL,
    # aws-samples/bedrock-access-gateway#92
    "This model doesn't support the toolConfig.toolChoice.tool field. Remove toolConfig.toolChoice.tool and try "
    "again.": NO_TOOL,
    "tool_choice: Extra inputs are not permitted": NO_TOOL,
}


@pytest.mark.parametrize(("text", "changes"), REFUSALS.items(), ids=range(len(REFUSALS)))
def test_a_known_text_changes_one_member(text: str, changes: dict[str, object]) -> None:
    """A model that refuses one parameter would fail every record, instead of getting requests without it."""
    assert learn(ABLE, text) == replace(ABLE, **changes)  # type: ignore[arg-type]  # members of Capabilities


@pytest.mark.parametrize(("text", "changes"), REFUSALS.items(), ids=range(len(REFUSALS)))
def test_a_text_teaches_once(text: str, changes: dict[str, object]) -> None:
    """After a repeated refusal, the step would send the same body again and again."""
    assert learn(replace(ABLE, **changes), text) is None  # type: ignore[arg-type]  # members of Capabilities


@pytest.mark.parametrize(
    "text",
    [
        "Input is too long for requested model.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "messages: text content blocks must be non-empty",
        "The provided model identifier is invalid.",
        "Malformed input request, please reformat your input and try again.",
        # Fields that the step does not send or cannot omit.
        "The model returned the following errors: guardrails: Extra inputs are not permitted",
        "messages.65.content.1.tool_use.text: Extra inputs are not permitted",
        "Malformed input request: #/messages/0/content/0: extraneous key [type] is not permitted, reformat your input.",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "messages: field required",
        "This model doesn't support the system field. Remove system and try again.",
        # A wrong value or text of a row names a field without refusing it.
        "temperature: range: 0..1",
        "Invalid value: 'temperature' must be at most 2.",
        "prompt: the temperature in the row is not clear",
        "The text 'my_temperature is deprecated' is not valid",
        "my.tools are not permitted here",
        "Input contains blocked text: 'the device does not support temperature sensors'",
        "prompt is too long: the row says 'temperature is deprecated'",
        "messages.0.content: 'we do not support tools here' is not allowed",
        'messages.0.content: "tools are not permitted on site"',
        "",
    ],
)
def test_a_text_about_one_record_teaches_nothing(text: str) -> None:
    """One bad record would remove a parameter from the requests of all others."""
    assert learn(ABLE, text) is None
