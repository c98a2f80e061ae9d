"""What to do about each kind of failure that a run counts."""

from __future__ import annotations

from bedrock_batch.aws.calls.advice import TEXT_BY_KIND
from bedrock_batch.records import JobErrorKind

_BATCH = "with BEDROCK_BATCH_FALLBACK=realtime such records are asked in real time; the job's message says why"
_ACTIONS_BY_JOB_ERROR: dict[JobErrorKind, str] = {
    "missing": f"the job wrote no line for the record: {_BATCH}",
    "job_failed": f"the job failed: {_BATCH}",
    "expired": f"the job expired before it began: raise BEDROCK_BATCH_TIMEOUT_HOURS; {_BATCH}",
    "stopped": f"the job was stopped: {_BATCH}",
    "out_of_time": f"the job ran out of time: raise BEDROCK_BATCH_TIMEOUT_HOURS; {_BATCH}",
    "not_submitted": "the job could not be created: see its message below, and run --doctor",
    "not_batchable": "no job can hold the record: it is too large, or fewer are left than a job needs",
    "cost_limit": "raise BEDROCK_MAX_COST_USD and start again: answered records are not paid for twice",
    "unreadable": "the job's line for the record is not JSON: ask again",
    "mismatched": "the job's line carries another record's input: ask again",
}
# By the stop reason of the model or the parse status.
_ACTIONS_BY_ANSWER = {
    "max_tokens": "raise BEDROCK_MAX_TOKENS, or ask for a shorter answer",
    "length": "raise BEDROCK_MAX_TOKENS, or ask for a shorter answer",
    "refusal": "the model declined: look at these rows, and say in the prompt what the task is for",
    "content_filtered": "a content filter stopped the answer: look at these rows",
    "guardrail_intervened": "a guardrail stopped the answer: look at these rows, or at the guardrail",
    "model_context_window_exceeded": "the prompt is too long for the model: lower BEDROCK_MAX_INPUT_FIELD_LENGTH",
    "json_failed": "the answer is not JSON: ask for JSON in the prompt, or set BEDROCK_STRUCTURED_OUTPUT",
    "no_text": "the answer has no text: check the prompt, or whether thinking uses up BEDROCK_MAX_TOKENS",
    "validation_failed": "the answer breaks the schema: describe the fields, or set BEDROCK_VALIDATION_RETRIES=1",
}
_ACTIONS_BY_AWS_ERROR = {
    "validation": "AWS refused the request: its message names what it does not accept",
    "transient": "the service failed for a moment: start again, answered records are kept",
    "model_error": "the model failed on the request: start again, or set BEDROCK_FALLBACK_MODEL_ID",
}
_ACTIONS: dict[str, str] = {
    **TEXT_BY_KIND,
    **_ACTIONS_BY_AWS_ERROR,
    **_ACTIONS_BY_ANSWER,
    **{str(kind): action for kind, action in _ACTIONS_BY_JOB_ERROR.items()},
}


def next_action(kind: str) -> str:
    """Return what to do about a kind of failure, in one sentence; a general one for an unknown kind."""
    if kind.startswith("batch_error_"):
        return "the job reported this error for the record: its message says why; a 4xx is about the request itself"
    return _ACTIONS.get(kind) or "see the message of the example and docs/troubleshooting.md"
