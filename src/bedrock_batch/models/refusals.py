"""Learns from the service's refusals (HTTP 400) which field of a request a model does not accept.

The patterns match messages that AWS and its models are known to send; `docs/models.md` and the tests name their sources
and dates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from bedrock_batch.families import Capabilities

# The optional fields of a request under the names that services use, and the capability that a refusal of each one
# sets. A model that refuses one sampling parameter is asked without both: all known models that refuse one refuse both,
# and in batch each refusal costs the time of a whole job.
_FIELDS: tuple[tuple[str, str, object], ...] = (
    (r"(?:inference_?config[./])?(?:temperature|top_?p)", "sampling", "none"),
    (r"(?:output_?config|text_?format|response_?format)(?:[./]\w+)*", "json_schema", False),
    (r"(?:tool_?choice|tool_?config|tools)(?:[./]\w+|\[\d+\])*", "forced_tool", False),
)
# The wordings of a refusal. FIELD stands for the name of the field, with or without quotation marks.
_WORDINGS = (
    r"(?:doesn.t|does not|do not|don.t|not) support(?:ed)?(?: the)? FIELD(?: field| parameter| argument)?\b",
    r"FIELD(?: field| parameter)? (?:is|are) (?:not|no longer) (?:supported|allowed|permitted|available)",
    r"FIELD(?: field| parameter)? (?:is|are) (?:deprecated|unsupported|discontinued)",
    r"FIELD: extra inputs? (?:is|are) not permitted",
    r"extra inputs? (?:is|are) not permitted[:,;]?(?: field:?)? FIELD",
    r"(?:unsupported|unknown|unrecognized|unexpected|extraneous) (?:request )?"
    r"(?:parameter|field|argument|keyword argument|key|input)s?(?: supplied)?:? FIELD",
    r"unsupported value: FIELD does not support",
    r"invalid FIELD: only",
)
_NAME = r"(?:[`'\"\[]NAME[`'\"\]]|(?<![\w.`'\"\[])NAME(?![\w./`'\"\]]))"
# The service may quote the message of a model as JSON. A quotation before the refusal is text of a row.
_INNER_MESSAGE = re.compile(r'"message"\s*:\s*"((?:[^"\\]|\\.)*)"')
_QUOTATION = re.compile(r"[`'\"\u2018\u201c]")


def _compile(wording: str, field: str) -> re.Pattern[str]:
    name = _NAME.replace("NAME", f"(?:#/)?(?:{field})")
    return re.compile(wording.replace("FIELD", name), re.IGNORECASE)


# The first pattern that matches decides. Apostrophes are U+0027 or U+2019.
_REFUSALS: tuple[tuple[re.Pattern[str], str, object], ...] = (
    *(
        (re.compile(pattern, re.IGNORECASE | re.DOTALL), member, value)
        for pattern, member, value in (
            (r"`?temperature.{1,20}top_?p.{1,10}cannot both be specified", "sampling", "either"),
            (
                r"assistant message prefill|must end with a user message|last turn in the conversation to be a user",
                "prefill",
                False,
            ),
            (r"structured outputs? (is|are) not supported", "json_schema", False),
            (r"output_config\.format\.schema: ", "json_schema", False),
            (r"schema is too complex|compilation exceeded limits", "json_schema", False),
            (r"tool_choice\b.{0,60}not supported", "forced_tool", False),
            (r"(doesn[^a-z]t|does not) support tool|tool (use|calling) is not supported", "forced_tool", False),
            (r"\btoolConfig\b.{0,60}(not supported|not permitted|batch)", "forced_tool", False),
        )
    ),
    *((_compile(wording, field), member, value) for field, member, value in _FIELDS for wording in _WORDINGS),
)
_LIMIT = re.compile(
    r"max_tokens: \d+ > (\d+)|exceeds the model limit of (\d+)|maximum tokens .{0,60}?limit of (\d+)", re.IGNORECASE
)


def learn(able: Capabilities, message: str) -> Capabilities | None:
    """Return the capabilities without what the service refused, or None if the message says nothing new."""
    if limit := _LIMIT.search(message):
        learned = replace(able, max_output_tokens=int(next(filter(None, limit.groups()))))
        lower = able.max_output_tokens is None or (learned.max_output_tokens or 0) < able.max_output_tokens
        return learned if lower else None
    inner = _INNER_MESSAGE.search(message)
    text = (inner[1] if inner else message).replace("\u2019", "'")
    for pattern, member, value in _REFUSALS:
        found = pattern.search(text)
        # The apostrophe of "doesn't" is not a quotation mark. "not" is as long as "n't", so positions stay the same.
        if found and not _QUOTATION.search(text.replace("n't", "not"), 0, found.start()):
            return _without(able, member, value)
    return None


def without_one_field(able: Capabilities) -> Iterator[Capabilities]:
    """Yield what `learn` may return for any refusal of a field; limits of tokens are left out."""
    for member, value in dict.fromkeys((member, value) for _, member, value in _REFUSALS):
        if (learned := _without(able, member, value)) is not None:
            yield learned


def _without(able: Capabilities, member: str, value: object) -> Capabilities | None:
    known = getattr(able, member)
    if known == value or (member, known) == ("sampling", "none"):
        return None
    return replace(able, **{member: value})  # type: ignore[arg-type]  # the table names real members only
