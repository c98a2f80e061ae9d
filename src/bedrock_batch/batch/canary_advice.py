"""Says why an answer of the canary is not valid, without its text, and what to change before the run is paid for."""

from __future__ import annotations

import re

from bedrock_batch.records import Answer
from bedrock_batch.text import shorten

_REASON_CHARACTERS = 140
# What a message quotes may be text of the answer, and so of the row.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_BY_KIND = {
    "max_tokens": "raise BEDROCK_MAX_TOKENS, or ask for a shorter answer",
    "length": "raise BEDROCK_MAX_TOKENS, or ask for a shorter answer",
    "validation_failed": "describe each field and its values in the schema, and in the prompt",
    "json_failed": "say in the prompt that the answer is one JSON object, or set BEDROCK_STRUCTURED_OUTPUT",
    "no_text": "look at the prompt, or raise BEDROCK_MAX_TOKENS if the model thinks",
    "validation": "the service refuses such requests: its message says what it does not accept",
}
_OTHERWISE = "look at such a row with --plan --show-rows, and ask it alone with --sample"


def advise(kind: str) -> str:
    """Return what to change if many answers of the canary fail for a reason."""
    return _BY_KIND.get(kind, _OTHERWISE)


def describe_reason(answer: Answer) -> str:
    """Return why an answer is not valid, with all that the message quotes left out."""
    if answer.error is not None:  # the text of the service
        return shorten(answer.error, _REASON_CHARACTERS)
    return shorten(_QUOTED.sub("...", answer.validation_error or answer.parse_status), _REASON_CHARACTERS)
