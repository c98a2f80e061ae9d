"""What the service's refusals (HTTP 400) say about a model: which member of its capabilities the table had wrong.

The texts are those that AWS was seen to answer with; their sources and dates stand in `docs/models.md`.
"""

from __future__ import annotations

import re
from dataclasses import replace

from bedrock_batch.families import Capabilities

# The first text that fits decides. Apostrophes are U+0027 or U+2019.
_REFUSALS: tuple[tuple[re.Pattern[str], str, object], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), member, value)
    for pattern, member, value in (
        (r"temperature.{1,20}top_?p.{1,10}cannot both be specified", "sampling", "either"),
        (r"\b(temperature|top_?p)\b.{0,40}(is deprecated|is not supported|extra inputs)", "sampling", "none"),
        (r"support(s)? the inferenceConfig\.(temperature|topP) field", "sampling", "none"),
        (r"assistant message prefill|must end with a user message", "prefill", False),
        (r"(outputConfig|output_config|textFormat)\b|structured outputs? (is|are) not supported", "json_schema", False),
        (r"schema is too complex|compilation exceeded limits", "json_schema", False),
        (r"tool_choice\b.{0,60}not supported|support the toolConfig\.toolChoice", "forced_tool", False),
        (r"(doesn[^a-z]t|does not) support tool|tool (use|calling) is not supported", "forced_tool", False),
        (r"\btoolConfig\b.{0,60}(not supported|not permitted|batch)", "forced_tool", False),
    )
)  # fmt: skip # a pattern reads better on one line
_LIMIT = re.compile(
    r"max_tokens: \d+ > (\d+)|exceeds the model limit of (\d+)|maximum tokens .{0,60}?limit of (\d+)", re.IGNORECASE
)


def learn(able: Capabilities, message: str) -> Capabilities | None:
    """Return the capabilities without what the service has just refused, or None where a text tells nothing new."""
    if limit := _LIMIT.search(message):
        learned = replace(able, max_output_tokens=int(next(filter(None, limit.groups()))))
        lower = able.max_output_tokens is None or (learned.max_output_tokens or 0) < able.max_output_tokens
        return learned if lower else None
    for pattern, member, value in _REFUSALS:
        if pattern.search(message):
            known = getattr(able, member)
            if known == value or (member, known) == ("sampling", "none"):
                return None
            return replace(able, **{member: value})  # type: ignore[arg-type]  # the table names real members only
    return None
