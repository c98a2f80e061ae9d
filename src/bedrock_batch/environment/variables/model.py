"""The variables of the model, of the request and of the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bedrock_batch.environment.variables import value_types as values
from bedrock_batch.environment.variables.variable import Group

MODEL = Group("Model and request")
PROMPT = Group("Prompt and schema without the input channels")

Api = Literal["auto", "invoke_model", "converse"]
OutputMode = Literal["prefill", "tool", "json_schema", "prompt"]


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The model and its parameters, and the texts that the step asks with when no input channel holds them."""

    primary_model_id: str = MODEL.setting(values.MODEL_ID, "The model that answers.", required=True)
    fallback_model_id: str = MODEL.setting(
        values.MODEL_ID,
        "The model to use if AWS refuses the primary model or its inference profile (ValidationException).",
    )
    inference_profile_arn: str = MODEL.setting(
        values.INFERENCE_PROFILE,
        "The inference profile through which the primary model is called, for capacity in several regions.",
    )
    inference_profile_required_models: tuple[str, ...] = MODEL.setting(
        values.NAMES,
        "Models that can be called only through an inference profile; the profile of the region is then used.",
        default="[]",
    )
    region_name: str = MODEL.setting(
        values.REGION,
        "The region of the Bedrock API. If it is not set, AWS_REGION counts.",
        default="us-east-1",
        name="AWS_DEFAULT_REGION",
    )
    model_capabilities: Mapping[str, Any] = MODEL.setting(
        values.CAPABILITIES,
        "What the primary model accepts, if the bundled table of model families lacks it or is wrong.",
        default="{}",
    )
    api: Api = MODEL.setting(
        values.choice(Api),
        "How the model is called: invoke_model (the Anthropic Messages body), converse (any model family), "
        "auto (by model).",
        default="auto",
    )
    structured_output: str = MODEL.setting(
        values.preferences(OutputMode, "auto"),
        "How the model is made to answer in JSON: prefill (the beginning of the answer is given), tool (a forced tool "
        "call), json_schema (the structured output of the service), prompt (the prompt alone), or auto (the best that "
        "the model and the mode accept). Of several, the first that the model is known to accept is used.",
        default="auto",
    )
    tool_name: str = MODEL.setting(
        values.TOOL_NAME,
        "The name of the tool that the model must call, where the output mode is tool.",
        default="record_answer",
    )
    tool_description: str = MODEL.setting(
        values.TOOL_DESCRIPTION,
        "What the model reads about the tool, where the output mode is tool.",
        default="Record the answer.",
        secret=True,
    )
    max_tokens: int = MODEL.setting(
        values.integer(1),
        "The longest answer, in tokens. An answer that reaches it is cut off and counts as failed to parse.",
        default="32768",
    )
    temperature: float | None = MODEL.setting(
        values.none_or(values.FRACTION),
        "The sampling temperature. Not sent to models that refuse it.",
        default="1.0",
    )
    top_p: float | None = MODEL.setting(
        values.none_or(values.FRACTION),
        "The share of probability that nucleus sampling draws tokens from. Not sent to models that refuse it.",
        default="0.999",
    )
    user_prompt_template: str = PROMPT.setting(
        values.REFERENCE_OR_TEXT,
        "The prompt of every row, with {placeholder} for its columns. A prompts.json in the channel wins.",
        secret=True,
    )
    system_prompt: str = PROMPT.setting(
        values.REFERENCE_OR_TEXT, "The system prompt. A prompts.json in the channel wins.", secret=True
    )
    input_placeholders: str = PROMPT.setting(
        values.REFERENCE_OR_NAMES,
        "The placeholders of the template; empty: every {name} in it. A prompts.json in the channel wins.",
    )
    rules: str = PROMPT.setting(
        values.REFERENCE_OR_RULES,
        "The rules of a rule set; {routed_rules} in the template shows those that a record names. Rules of a "
        "prompts.json in the channel win.",
        secret=True,
    )
    validation_schema: str = PROMPT.setting(
        values.REFERENCE_OR_SCHEMA,
        "The JSON Schema that every answer must satisfy. A schema file in the channel wins, and so does output_schema "
        "in prompts.json.",
        secret=True,
    )
