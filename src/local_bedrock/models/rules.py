"""Checks of a question against the rules of its model family, with the error messages of AWS."""

from __future__ import annotations

from local_bedrock.answers.schema_answers import estimate_tokens
from local_bedrock.body_checks import BodyError, refuse_unknown
from local_bedrock.models.anthropic_messages import MESSAGES_FIELDS, wrong_version
from local_bedrock.models.families import Family
from local_bedrock.models.output_schemas import refuse_output_schema
from local_bedrock.questions import Question

# Current GPT and Grok models on Bedrock answer with the second, whatever the value is.
_SAMPLING_REFUSALS = {
    "deprecated": "`{name}` is deprecated for this model",
    "field": "This model doesn't support the {name} field. Remove {name} and try again.",
}
_THINKING_ACCEPTED = {
    "none": frozenset({"disabled"}),
    "budget": frozenset({"enabled", "disabled"}),
    "budget_or_adaptive": frozenset({"enabled", "adaptive", "disabled"}),
    "adaptive": frozenset({"adaptive", "disabled"}),
    "adaptive_by_default": frozenset({"adaptive", "disabled"}),
    "always": frozenset({"adaptive", "between_tools"}),
}


def refuse_question(family: Family, question: Question, in_batch: bool) -> None:
    """Raise `BodyError` if the models of `family` do not accept the question."""
    if family.embeds:
        return
    if family.shape == "anthropic":
        refuse_unknown(question.extra_fields, MESSAGES_FIELDS)
    if question.has_dated_version and not family.dated_version:
        raise wrong_version()
    if question.max_tokens is not None and question.max_tokens > family.max_output_tokens:
        raise BodyError(
            f"max_tokens: {question.max_tokens} > {family.max_output_tokens}, which is the maximum allowed number of "
            "output tokens for this model"
        )
    _refuse_length(family, question)
    if question.has_image and not family.images:
        raise BodyError(
            "This model doesn't support the image content block that you provided. Update the content block and try "
            "again.",
            by_model=False,
        )
    if question.by_converse and family.shape != "anthropic":
        _refuse_by_converse(family, question)
    _refuse_sampling(family, question)
    _refuse_prefill(family, question)
    _refuse_thinking(family, question)
    _refuse_tools(family, question)
    if question.output_schema is not None:
        if not family.json_schema:
            raise BodyError("output_config.format: Extra inputs are not permitted")
        refuse_output_schema(question.output_schema)
    if question.has_cache_marker and (in_batch or not family.prompt_cache):
        raise BodyError(
            "You invoked an unsupported model or your request did not allow prompt caching. "
            "See the documentation for more information."
        )


def _refuse_length(family: Family, question: Question) -> None:
    """Raise `BodyError` if the prompt is longer than the context of the model. Only Claude tells by how much."""
    tokens = estimate_tokens(question.system, question.prompt)
    if tokens <= family.context_tokens:
        return
    if family.shape == "anthropic":
        raise BodyError(f"prompt is too long: {tokens} tokens > {family.context_tokens} maximum")
    raise BodyError("Input is too long for requested model.")


_FIELDS_OF_BODIES = {
    "nova": frozenset({"inferenceConfig", "reasoningConfig", "schemaVersion"}),
    "llama": frozenset({"images"}),
}
"""What Converse may pass on to a model whose body has a fixed schema."""


def _refuse_by_converse(family: Family, question: Question) -> None:
    """Raise `BodyError` in the words that Converse itself has for a model without a feature."""
    if question.prefill is not None and not family.prefill:
        raise BodyError(
            "The model that you are using requires the last turn in the conversation to be a user message. "
            "Add a user message to the conversation and try again.",
            by_model=False,
        )
    if question.stop_sequences and family.shape == "llama":
        raise _unsupported("stopSequences")
    if question.forces_tool and not family.forced_tool:
        raise _unsupported(f"toolConfig.toolChoice.{(question.tool_choice or '').partition(':')[0]}")
    known = _FIELDS_OF_BODIES.get(family.shape)
    for name in question.extra_fields if known is not None else ():
        if name not in (known or ()):
            raise BodyError(
                f"Malformed input request: #: extraneous key [{name}] is not permitted, please reformat your input "
                "and try again."
            )


def _unsupported(field: str) -> BodyError:
    return BodyError(f"This model doesn't support the {field} field. Remove {field} and try again.", by_model=False)


def _refuse_prefill(family: Family, question: Question) -> None:
    if question.prefill is None:
        return
    if not family.prefill:
        raise BodyError(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    if family.shape == "anthropic" and question.prefill != question.prefill.rstrip():
        raise BodyError("messages: final assistant content cannot end with trailing whitespace")


def _refuse_sampling(family: Family, question: Question) -> None:
    temperature, top_p = question.temperature, question.top_p
    if family.sampling == "either" and temperature is not None and top_p is not None:
        raise BodyError("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if family.sampling == "none":
        if temperature is not None and (temperature != 1 or family.refusal == "field"):
            raise BodyError(_SAMPLING_REFUSALS[family.refusal].format(name="temperature"))
        if top_p is not None:
            raise BodyError(_SAMPLING_REFUSALS[family.refusal].format(name="top_p"))
    if question.top_k is not None and not family.top_k:
        raise BodyError("`top_k` is deprecated for this model")


def _refuse_thinking(family: Family, question: Question) -> None:
    if question.effort is not None and family.thinking in ("none", "budget"):
        raise BodyError("This model does not support the effort parameter.")
    if question.thinking is None:
        return
    if question.thinking not in _THINKING_ACCEPTED[family.thinking]:
        raise BodyError(f'"thinking.type.{question.thinking}" is not supported for this model.')
    if question.thinking == "enabled":
        if question.temperature is not None and question.temperature != 1:
            raise BodyError("`temperature` may only be set to 1 when thinking is enabled.")
        if question.forces_tool:
            raise BodyError("Thinking may not be enabled when tool_choice forces tool use.")
        if question.prefill is not None:
            raise BodyError("Assistant message prefill is not supported when thinking is enabled.")


def _refuse_tools(family: Family, question: Question) -> None:
    if question.forces_tool and not family.forced_tool:
        raise BodyError('tool_choice: type "tool" and "any" are not supported for this model')
    named = (question.tool_choice or "").removeprefix("tool:")
    if (question.tool_choice or "").startswith("tool:") and named not in question.tools:
        raise BodyError(f"tool_choice: tool '{named}' not found in provided tools")


def thinks(family: Family, question: Question) -> bool:
    """Tell whether the answer begins with thinking: it was asked for, or it is on by default and not switched off."""
    if question.thinking is not None:
        return question.thinking in ("enabled", "adaptive")
    return family.thinking in ("adaptive_by_default", "always")
