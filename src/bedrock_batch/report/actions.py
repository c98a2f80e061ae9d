"""What to do about each kind of failure that a run counts."""

from __future__ import annotations

from bedrock_batch.aws.advice import TEXT_BY_KIND
from bedrock_batch.aws.retries import ErrorKind

_BATCH = "BEDROCK_BATCH_FALLBACK=realtime asks such records again by itself; the job's message says why"
_ACTIONS = {
    "max_tokens": "raise BEDROCK_MAX_TOKENS, or ask for a shorter answer",
    "length": "raise BEDROCK_MAX_TOKENS, or ask for a shorter answer",
    "refusal": "the model declined: look at these rows, and say in the prompt what the task is for",
    "content_filtered": "a content filter stopped the answer: look at these rows",
    "guardrail_intervened": "a guardrail stopped the answer: look at these rows, or at the guardrail",
    "model_context_window_exceeded": "the prompt is too long for the model: lower BEDROCK_MAX_INPUT_FIELD_LENGTH",
    "json_failed": "the answer is no JSON: say so in the prompt, or set BEDROCK_STRUCTURED_OUTPUT",
    "no_text": "the answer holds no text: look at the prompt, or at the model's thinking within BEDROCK_MAX_TOKENS",
    "validation_failed": "the answer breaks the schema: describe the fields, or set BEDROCK_VALIDATION_RETRIES=1",
    "missing": f"the job left no line for the record: {_BATCH}",
    "job_failed": f"the job failed: {_BATCH}",
    "expired": f"the job expired before it began: raise BEDROCK_BATCH_TIMEOUT_HOURS; {_BATCH}",
    "stopped": f"the job was stopped: {_BATCH}",
    "out_of_time": f"the job ran out of time: raise BEDROCK_BATCH_TIMEOUT_HOURS; {_BATCH}",
    "not_submitted": "the job could not be created: see its message below, and run --doctor",
    "not_batchable": "no job can hold the record: it is too large, or fewer are left than a job needs",
    "cost_limit": "raise BEDROCK_MAX_COST_USD and start again: answered records are not paid for twice",
    "unreadable": "the job's line for the record is no JSON; asking again helps",
    "mismatched": "the line carries another record's input; asking again helps",
    "validation": "AWS refused the request: its message says what it does not take",
    "transient": "the service failed for a moment: start again, answered records are kept",
    "model_error": "the model failed on the request: start again, or set BEDROCK_FALLBACK_MODEL_ID",
}


def next_action(kind: str) -> str:
    """Return what to do about a kind of failure, in one sentence; a general one where nothing special is known."""
    if kind in _ACTIONS:
        return _ACTIONS[kind]
    if kind.startswith("batch_error_"):
        return "the job gave this error for the record: its message says why; a 4xx is about the request itself"
    known = {each.value: each for each in ErrorKind}
    text = TEXT_BY_KIND.get(known[kind], "") if kind in known else ""
    return text or "the message of the example says more; see docs/troubleshooting.md"
