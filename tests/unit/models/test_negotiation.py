"""A refusal downgrades the output mode of a model once, for all threads."""

from __future__ import annotations

import logging

from bedrock_batch.environment.settings import load_settings
from bedrock_batch.families import Capabilities, capabilities_of
from bedrock_batch.models.model_input import build_model_input
from bedrock_batch.models.negotiation import NegotiatedModel

SONNET_46 = "us.anthropic.claude-sonnet-4-6"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
NO_FORMAT = "output_config.format: Extra inputs are not permitted"
NO_TOOL = 'tool_choice: type "tool" and "any" are not supported for this model'
NO_TEMPERATURE = "`temperature` is deprecated for this model"


def primary_model() -> NegotiatedModel:
    settings = load_settings({"BEDROCK_PRIMARY_MODEL_ID": SONNET_46})[0]

    def build(able: Capabilities) -> object:
        return build_model_input(settings, SONNET_46, capabilities=able, schema=SCHEMA)

    return NegotiatedModel(capabilities_of(SONNET_46), build, logging.Logger("quiet"))  # type: ignore[arg-type]  # a ModelInput


def test_each_refusal_takes_one_output_mode() -> None:
    """A model that refuses two output modes would fail every record after the first downgrade."""
    steps = primary_model()
    first = steps.current
    second = steps.downgrade(first, NO_FORMAT)
    third = steps.downgrade(second, NO_TOOL)
    fourth = steps.downgrade(third, NO_TEMPERATURE)
    assert [each.output_mode for each in (first, second, third, fourth)] == ["json_schema", "tool", "prompt", "prompt"]
    assert "temperature" in third.body("x")
    assert "temperature" not in fourth.body("x")
    assert steps.current is fourth
    assert len(steps.refusals) == 3


def test_a_thread_that_comes_late_takes_what_is_known() -> None:
    """Each request in flight at the first refusal would downgrade the output mode again."""
    steps = primary_model()
    first = steps.current
    second = steps.downgrade(first, NO_FORMAT)
    assert steps.downgrade(first, NO_FORMAT) is second
    assert steps.current.output_mode == "tool"


def test_a_refusal_that_changes_nothing_is_left_to_the_caller() -> None:
    """The step would send the same body again and again."""
    steps = primary_model()
    assert steps.downgrade(steps.current, "Input is too long for requested model.") is None
    assert steps.downgrade(steps.current, "This model does not support assistant message prefill.") is None
    assert steps.refusals == []
