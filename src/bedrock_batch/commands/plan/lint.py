"""Finds what a user may want to correct before the run: columns, schema, limits, identical prompts, model, price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bedrock_batch.commands.plan.reading import Reading
from bedrock_batch.costs.estimate import Estimate, answer_tokens
from bedrock_batch.costs.prices import find_stale_prices
from bedrock_batch.environment.settings import BY_NAME
from bedrock_batch.models.model_warnings import find_model_warnings
from bedrock_batch.realtime.bedrock_processor import BedrockProcessor
from bedrock_batch.text import nearest

# A token limit of this many times the longest answer of the schema is far too large.
GENEROUS = 4
WIDE_ENUM = 50
_DEPTH = 8


def find_problems(reading: Reading, processor: BedrockProcessor, set_aside: int) -> list[str]:
    """Return the problems found, one sentence each with what to do."""
    problems = [*_column_problems(reading), *_cell_problems(reading, processor), *_routing_problems(reading, processor)]
    if processor.schema is None:
        problems.append("there is no validation schema: answers are kept as JSON text and not checked")
    else:
        problems += _schema_problems(processor.schema.wire_schema())
    problems += _token_problems(processor)
    problems += [f"model: {note}" for note in processor.model_input.notes]
    if (same := reading.rows - reading.distinct) and not processor.settings.deduplicate_prompts:
        available = BY_NAME["BEDROCK_DEDUPLICATE_PROMPTS"].available
        remedy = ": BEDROCK_DEDUPLICATE_PROMPTS=true would ask and pay once for each" if available else ""
        problems.append(f"{same} of {reading.rows} prompts are identical to an earlier one{remedy}")
    if set_aside:
        problems.append(f"{set_aside} records fit in no batch job and are asked in real time")
    return problems


def find_model_problems(processor: BedrockProcessor) -> list[str]:
    """Return what is wrong with the model, its tier and its price."""
    context, book = processor.context, processor.spending.book
    today = context.now().date()
    return [
        *find_model_warnings(processor.settings, today, context.clients.bedrock),
        *processor.realtime.tiers.notes,
        *find_stale_prices(book, [processor.effective_model_id], today),
    ]


def find_cost_problems(processor: BedrockProcessor, estimate: Estimate, use_batch: bool) -> list[str]:
    """Return what is wrong with the price of the run, and whether its cost is near or above the limit."""
    price = processor.expected_price()
    limit = processor.settings.max_cost_usd
    if price is None:
        return [
            f"no price is known for {processor.effective_model_id}: the plan has tokens only; give its price in "
            "BEDROCK_PRICES"
        ]
    problems = []
    if price.batch_assumed and use_batch:
        problems.append("the batch price of this model is not listed: half of its on-demand price is assumed")
    cost = estimate.cost(price, "batch" if use_batch else "realtime")
    if limit is not None and cost.likely > limit:
        problems.append(f"the likely cost is above BEDROCK_MAX_COST_USD={limit:g}: the run would be refused")
    elif limit is not None and cost.high > limit:
        problems.append(
            f"the highest cost is above BEDROCK_MAX_COST_USD={limit:g}: the run may stop before all records are asked"
        )
    return problems


def _column_problems(reading: Reading) -> Iterator[str]:
    for file in reading.files:
        for name in file.missing:
            guess = nearest(name, file.columns)
            hint = f"; did you mean {guess!r}?" if guess else f" (it has {', '.join(file.columns[:12])})"
            yield f"{file.path.name} has no column {name!r}: its prompts read [Missing: {name}]{hint}"
        for name in file.repeated:
            yield f"{file.path.name} has several columns {name!r}: the first of them counts"


def _cell_problems(reading: Reading, processor: BedrockProcessor) -> Iterator[str]:
    for name, count in reading.null_cells.items():
        yield f"column {name!r} is empty in {count} of {reading.rows} rows: their prompts have no text there"
    if reading.truncated_records:
        yield (
            f"{reading.truncated_records} records have a field of more than BEDROCK_MAX_INPUT_FIELD_LENGTH="
            f"{processor.settings.max_input_field_length} characters, which is cut"
        )
    if processor.template.unused:
        yield f"input_placeholders names {', '.join(processor.template.unused)}, which the template does not use"


def _routing_problems(reading: Reading, processor: BedrockProcessor) -> Iterator[str]:
    rules, counts = processor.template.rules, reading.routing
    if rules is None or counts is None:
        return
    for file in reading.files:
        if file.omits_rules:
            yield (
                f"{file.path.name} has no column {rules.column!r} and the template no {{routed_rules}}: its prompts "
                "hold no rules; set BEDROCK_ROUTED_RULES_COLUMN to the column that names them"
            )
    if counts.records_with_unknown_names:
        yield (
            f"{counts.records_with_unknown_names} of {reading.rows} records name rules in column {rules.column!r} that "
            f"the rule set does not have ({counts.unknown_names} names): their prompts say so"
        )
    if counts.records_without_rules:
        yield (
            f"{counts.records_without_rules} of {reading.rows} records name no rule in column {rules.column!r}: their "
            "prompts say so"
        )


def _token_problems(processor: BedrockProcessor) -> Iterator[str]:
    schema = processor.schema.wire_schema() if processor.schema else None
    longest = answer_tokens(schema, 10**9).high
    limit = processor.model_input.max_tokens
    if schema is not None and limit > GENEROUS * max(longest, 128):
        wanted = max(256, round(longest * 2 / 256 + 0.5) * 256)
        yield (
            f"BEDROCK_MAX_TOKENS={processor.settings.max_tokens} is far more than an answer of this schema needs "
            f"(at most about {round(longest)} tokens): the service reserves input plus max_tokens of every real-time "
            f"request against the quota, so that {wanted} would let more requests through"
        )
    elif schema is not None and limit < answer_tokens(schema, 10**9).likely:
        yield (
            f"BEDROCK_MAX_TOKENS={limit} is less than a likely answer of this schema needs (about "
            f"{round(answer_tokens(schema, 10**9).likely)} tokens): answers will be cut off and fail"
        )


def _schema_problems(schema: Mapping[str, Any], place: str = "", depth: int = _DEPTH) -> Iterator[str]:
    """Yield the problems of the fields of a schema, including nested objects and arrays."""
    properties = schema.get("properties")
    for name, part in properties.items() if isinstance(properties, Mapping) else ():
        path = f"{place}{name}"
        if not isinstance(part, Mapping):
            continue
        if not part.get("description"):
            yield f"schema field {path!r} has no description: the model sees only its name and type"
        if isinstance(part.get("enum"), list):
            yield from _enum_problems(path, part["enum"])
        if depth:
            yield from _schema_problems(part, f"{path}.", depth - 1)
    items = schema.get("items")
    if isinstance(items, Mapping) and depth:
        yield from _schema_problems(items, f"{place.rstrip('.')}[].", depth - 1)


def _enum_problems(path: str, values: list[Any]) -> Iterator[str]:
    if len(values) > WIDE_ENUM:
        yield f"schema field {path!r} has {len(values)} enum values: models confuse so many, group them"
    folded: dict[str, Any] = {}
    for value in values:
        known = folded.setdefault(str(value).casefold().strip().replace("-", "_").replace(" ", "_"), value)
        if known != value:
            yield f"schema field {path!r} has the enum values {known!r} and {value!r}, which a model will confuse"
    if len(values) == 1:
        yield f"schema field {path!r} has a single enum value: every answer is the same"
