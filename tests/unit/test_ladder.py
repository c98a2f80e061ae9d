"""The way of asking a model goes down once it is refused, and for all threads."""

from __future__ import annotations

import logging

from bedrock_batch.config import load_settings
from bedrock_batch.families import Capabilities, capabilities_of
from bedrock_batch.ladder import ModelLadder
from bedrock_batch.model_input import build_model_input

SONNET_46 = "us.anthropic.claude-sonnet-4-6"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
NO_FORMAT = "output_config.format: Extra inputs are not permitted"
NO_TOOL = 'tool_choice: type "tool" and "any" are not supported for this model'
NO_TEMPERATURE = "`temperature` is deprecated for this model"


def ladder() -> ModelLadder:
    settings = load_settings({"BEDROCK_PRIMARY_MODEL_ID": SONNET_46})[0]

    def build(able: Capabilities) -> object:
        return build_model_input(settings, SONNET_46, capabilities=able, schema=SCHEMA)

    return ModelLadder(capabilities_of(SONNET_46), build, logging.Logger("quiet"))  # type: ignore[arg-type]  # a ModelInput


def test_each_refusal_takes_one_rung() -> None:
    """A model that refuses two things would fail every record after the first change."""
    steps = ladder()
    first = steps.current
    second = steps.lower(first, NO_FORMAT)
    third = steps.lower(second, NO_TOOL)
    fourth = steps.lower(third, NO_TEMPERATURE)
    assert [each.structure for each in (first, second, third, fourth)] == ["json_schema", "tool", "prompt", "prompt"]
    assert "temperature" in third.body("x")
    assert "temperature" not in fourth.body("x")
    assert steps.current is fourth
    assert len(steps.refusals) == 3


def test_a_thread_that_comes_late_takes_what_is_known() -> None:
    """Every request in flight at the first refusal would take a rung of its own, down to the last."""
    steps = ladder()
    first = steps.current
    second = steps.lower(first, NO_FORMAT)
    assert steps.lower(first, NO_FORMAT) is second
    assert steps.current.structure == "tool"


def test_a_refusal_that_changes_nothing_is_left_to_the_caller() -> None:
    """The same body would be sent again without end."""
    steps = ladder()
    assert steps.lower(steps.current, "Input is too long for requested model.") is None
    assert steps.lower(steps.current, "This model does not support assistant message prefill.") is None
    assert steps.refusals == []
