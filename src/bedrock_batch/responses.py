"""From a model's answer to what a row gets: the stop-reason gate and the steps of parsing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bedrock_batch.answers import AnswerText, read_answer
from bedrock_batch.json_text import (
    dump_json,
    extract_json_candidate,
    iter_json_candidates,
    parse_object,
    repair_json,
    salvage_json,
    strip_fences_and_thinking,
)
from bedrock_batch.records import ModelAnswer, ModelInvocationOutput, Outcome, ParseStatus, RecordError
from bedrock_batch.schema import MalformedJson, ResponseSchema, SchemaMismatch
from bedrock_batch.text import printable, shorten

# Stop reasons of a complete answer, lower case: Anthropic, Converse, OpenAI, Cohere and Titan.
COMPLETE_STOP_REASONS = frozenset(
    {"end_turn", "stop_sequence", "tool_use", "stop", "tool_calls", "function_call", "complete", "finish", "finished"}
)
# Of an answer that was cut off or withheld: the enumeration of Converse in botocore's service model, the stop reasons
# of Anthropic's SDK, and OpenAI's. Any other reason is not trusted with a repair that completes what is missing.
BROKEN_STOP_REASONS = frozenset(
    {"max_tokens", "length", "model_length", "model_context_window_exceeded", "pause_turn", "refusal"}
    | {"content_filter", "content_filtered", "guardrail_intervened", "malformed_model_output", "malformed_tool_use"}
)
_REASON_LIMIT = 300


@dataclass(frozen=True, slots=True)
class _Parsed:
    """What the text of an answer came to: `fields` and how they were reached, or the reason why there are none."""

    status: ParseStatus
    fields: dict[str, Any] | None = None
    reason: str | None = None
    kind: str | None = None
    repair: str | None = None


class ResponseParser:
    """Parses answers into outcomes; one parser serves all threads and both modes.

    Without a schema an answer only has to be a JSON object: `json_only`, and no fields.
    """

    def __init__(self, schema: ResponseSchema | None) -> None:
        self._accept: Callable[[str], dict[str, Any]] = schema.validate_text if schema else _accept_object
        self._accept_texts = schema.accept_texts if schema else _accept_objects
        self._success: ParseStatus = "success" if schema else "json_only"
        self._no_fields: dict[str, Any] = dict.fromkeys(schema.fields) if schema else {}

    def parse(self, output: ModelInvocationOutput) -> Outcome:
        """Return the outcome of an answer or of an error; it never raises."""
        match output:
            case RecordError():
                return self._failed(output)
            case ModelAnswer():
                return self._answered(output)

    def accept(self, texts: Iterable[str], prefilled: bool) -> list[dict[str, Any] | None]:
        """Return what each text of a complete answer holds where it is valid as it stands, absent fields left out.

        None for any other text: `parse` tells what comes of it.
        """
        if prefilled:
            # A text that has the brace all the same is not JSON with another one before it, and left to `parse`.
            texts = (f"{{{text}" for text in texts)
        return self._accept_texts(texts)

    def _failed(self, error: RecordError) -> Outcome:
        return Outcome(
            fields=dict(self._no_fields),
            parse_status="error",
            answered=False,
            error=printable(error.message),
            error_kind=error.kind,
            model_id=printable(error.model_id) or None,
            attempts=error.attempts,
            source=error.source,
            salvaged_from=error.salvaged_from,
        )

    def _answered(self, output: ModelAnswer) -> Outcome:
        answer = read_answer(output.body)
        text, parsed = self._read(answer, output.prefilled)
        if parsed.fields is not None:
            return self._succeeded(output, answer, parsed.fields, parsed.repair)
        return Outcome(
            fields=dict(self._no_fields),
            parse_status=parsed.status,
            answered=True,
            error_kind=parsed.kind or parsed.status,
            validation_error=printable(parsed.reason or parsed.status),
            raw_response=printable(text),
            repair=parsed.repair,
            model_id=printable(output.model_id),
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            batch_input_tokens=answer.input_tokens if output.source == "batch" else None,
            batch_output_tokens=answer.output_tokens if output.source == "batch" else None,
            stop_reason=answer.stop_reason,
            attempts=output.attempts,
            source=output.source,
            salvaged_from=output.salvaged_from,
        )

    def _succeeded(
        self, output: ModelAnswer, answer: AnswerText, fields: dict[str, Any], repair: str | None
    ) -> Outcome:
        return Outcome(
            fields=fields,
            parse_status=self._success,
            answered=True,
            repair=repair,
            model_id=output.model_id,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            batch_input_tokens=answer.input_tokens if output.source == "batch" else None,
            batch_output_tokens=answer.output_tokens if output.source == "batch" else None,
            stop_reason=answer.stop_reason,
            attempts=output.attempts,
            source=output.source,
            salvaged_from=output.salvaged_from,
        )

    def _read(self, answer: AnswerText, prefill: bool) -> tuple[str, _Parsed]:
        try:
            text = answer.text if answer.tool_input is None else dump_json(answer.tool_input)
        except ValueError as error:
            return answer.text, _Parsed("json_failed", reason=f"the tool's input {error}")
        stop_reason = (answer.stop_reason or "").casefold()
        if stop_reason in BROKEN_STOP_REASONS:
            reason = f"stop reason {stop_reason}: the answer is not complete and was not parsed"
            return text, _Parsed("json_failed", reason=reason, kind=stop_reason)
        if not text.strip():
            return text, _Parsed("json_failed", reason="the answer holds no text", kind="no_text")
        return text, self._parse_text(text, prefill, complete=stop_reason in COMPLETE_STOP_REASONS)

    def _parse_text(self, text: str, prefill: bool, complete: bool) -> _Parsed:
        """Try what may be meant, untouched texts first; the first that is JSON decides, and is never repaired."""
        first: _Parsed | None = None
        for repair, candidate in _candidates(text, prefill):
            parsed = self._attempt(candidate, repair)
            if parsed.status != "json_failed":
                return parsed
            first = first or parsed
        fields = self._salvage(text, prefill) if complete else None
        if fields is not None:
            return _Parsed(self._success, fields, repair="json_repair")
        return first or _Parsed("json_failed")

    def _attempt(self, candidate: str, repair: str) -> _Parsed:
        try:
            return _Parsed(self._success, self._accept(candidate), repair=repair)
        except MalformedJson as error:
            return _Parsed("json_failed", reason=shorten(str(error), _REASON_LIMIT))
        except SchemaMismatch as error:
            return _Parsed("validation_failed", reason=shorten(str(error), _REASON_LIMIT))

    def _salvage(self, text: str, prefill: bool) -> dict[str, Any] | None:
        """Return the fields of what json_repair makes of a text, if the schema accepts it and it says anything.

        json_repair makes an object of nearly everything, and an all-optional schema accepts an empty one.
        """
        for source in _sources(text, prefill):
            start, end = source.find("{"), source.rfind("}") + 1
            if start < 0:
                continue
            try:
                fields = self._accept(salvage_json(source[start : end if end > start else None]))
            except ValueError:
                continue
            if not self._no_fields or any(value is not None for value in fields.values()):
                return fields
        return None


def _accept_object(text: str) -> dict[str, Any]:
    """Stand in for a schema where there is none."""
    try:
        parse_object(text)
    except ValueError as error:
        raise MalformedJson(str(error)) from None
    return {}


def _accept_objects(texts: Iterable[str]) -> list[dict[str, Any] | None]:
    return [_object_or_none(text) for text in texts]


def _object_or_none(text: str) -> dict[str, Any] | None:
    try:
        return _accept_object(text)
    except MalformedJson:
        return None


def _candidates(text: str, prefill: bool) -> Iterator[tuple[str, str]]:
    """Yield the texts to parse with the kind of repair that each took, once each and the likeliest first."""
    whole = _as_prefilled(text) if prefill else text
    yield "none", whole
    tried = {whole}
    for kind, candidate in _further_candidates(text, prefill):
        if candidate not in tried:
            tried.add(candidate)
            yield kind, candidate


def _further_candidates(text: str, prefill: bool) -> Iterator[tuple[str, str]]:
    sources = _sources(text, prefill)
    for source in sources:
        yield from (("extracted", candidate) for candidate in iter_json_candidates(source))
    for source in sources:
        yield "quotes", repair_json(extract_json_candidate(source))
        # A quote that ends a string too early misleads the count of braces; once repaired, it does not.
        yield "quotes", extract_json_candidate(repair_json(source))


def _sources(text: str, prefill: bool) -> list[str]:
    """Return the texts in which to look for the object: thinking and fences go first, they may hold drafts."""
    stripped = strip_fences_and_thinking(text)
    return [_as_prefilled(text), stripped] if prefill else [stripped]


def _as_prefilled(text: str) -> str:
    return text if text[:1] == "{" or text.lstrip()[:1] == "{" else "{" + text
