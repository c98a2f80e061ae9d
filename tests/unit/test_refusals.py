"""What a 400 of the service says about a model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bedrock_batch.families import Capabilities
from bedrock_batch.refusals import learn

ABLE = Capabilities("any", prefill=True, forced_tool=True, json_schema=True, max_output_tokens=64000)

# Texts that AWS was seen to answer with: docs/models.md has the sources.
REFUSALS = {
    "`temperature` and `top_p` cannot both be specified for this model. Please use only one.": {"sampling": "either"},
    "The model returned the following errors: `temperature` and `top_p` cannot both be specified for this model. "
    "Please use only one.": {"sampling": "either"},
    "`temperature` is deprecated for this model": {"sampling": "none"},
    "`top_p` is deprecated for this model": {"sampling": "none"},
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


@pytest.mark.parametrize(("text", "changes"), REFUSALS.items(), ids=range(len(REFUSALS)))
def test_a_known_text_changes_one_member(text: str, changes: dict[str, object]) -> None:
    """A model that refuses one parameter would fail every record instead of being asked without it."""
    assert learn(ABLE, text) == replace(ABLE, **changes)  # type: ignore[arg-type]  # members of Capabilities


@pytest.mark.parametrize(("text", "changes"), REFUSALS.items(), ids=range(len(REFUSALS)))
def test_a_text_teaches_once(text: str, changes: dict[str, object]) -> None:
    """The same refusal for a body that is changed already would be answered by the same body, for ever."""
    assert learn(replace(ABLE, **changes), text) is None  # type: ignore[arg-type]  # members of Capabilities


@pytest.mark.parametrize(
    "text",
    [
        "Input is too long for requested model.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "messages: text content blocks must be non-empty",
        "The provided model identifier is invalid.",
        "Malformed input request, please reformat your input and try again.",
        "",
    ],
)
def test_a_text_about_one_record_teaches_nothing(text: str) -> None:
    """One bad record would take a parameter from all the others."""
    assert learn(ABLE, text) is None
