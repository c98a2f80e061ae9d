"""Parses the output of a model into an answer: checks the stop reason, parses the text, and repairs it if needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bedrock_batch.answers.json_repair import dump_json, parse_object, repair_object
from bedrock_batch.answers.outer_object import find_outer_object, texts_to_parse, without_trailing_prose
from bedrock_batch.answers.schema.response_schema import MalformedJson, ResponseSchema, SchemaMismatch
from bedrock_batch.models.model_output import BROKEN_STOP_REASONS, OutputContent, is_complete, read_output
from bedrock_batch.records import RESPONSE_FIELD, Answer, ParseStatus, RecordError, RecordOutput
from bedrock_batch.text import printable, shorten

_REASON_LIMIT = 300
_NO_CONTENT = OutputContent("")


@dataclass(slots=True)  # not frozen for speed: see `records`
class _Parsed:
    """The result of parsing: `fields` and the repair that they took, or the reason why there are none."""

    status: ParseStatus
    fields: dict[str, Any] | None = None
    reason: str = ""
    kind: str | None = None
    """The kind of the failure, in the words of `Answer.error_kind`."""
    repair: str | None = None


class AnswerParser:
    """Parses the outputs of records into answers; all threads and both modes share one parser.

    Without a schema, an answer only needs to be a JSON object. Its status is `json_only`, and its one field is the text
    of the object.
    """

    def __init__(self, schema: ResponseSchema | None) -> None:
        self._accept: Callable[[str], dict[str, Any]] = schema.validate_text if schema else _accept_object
        self._accept_texts = schema.accept_texts if schema else _accept_objects
        self._success: ParseStatus = "success" if schema else "json_only"
        self._no_fields: dict[str, Any] = dict.fromkeys(schema.fields if schema else (RESPONSE_FIELD,))

    def parse(self, output: RecordOutput) -> Answer:
        """Return the answer in a model output, or an answer with the reason of a record error; never raises."""
        if isinstance(output, RecordError):
            error = _Parsed("error", reason=output.message, kind=output.kind)
            return self._answer(output, error, _NO_CONTENT, None)
        content = read_output(output.body)
        text, parsed = self._read(content, output.prefilled)
        return self._answer(output, parsed, content, text)

    def accept(self, texts: Iterable[str], prefilled: bool) -> list[dict[str, Any] | None]:
        """Return the fields of each text of a complete answer that is valid without repair, without absent fields.

        None for any other text, which is left to `parse`.
        """
        if prefilled:
            # A text that repeats the prefilled brace is not JSON behind another brace, so it is left to `parse`.
            texts = (f"{{{text}" for text in texts)
        return self._accept_texts(texts)

    def _answer(self, output: RecordOutput, parsed: _Parsed, content: OutputContent, text: str | None) -> Answer:
        """Return the answer to a record; `text` is the text of the model's output, None without one."""
        reason = None if parsed.fields is not None else printable(parsed.reason)
        in_batch = output.source == "batch"
        return Answer(
            fields=dict(self._no_fields) if parsed.fields is None else parsed.fields,
            parse_status=parsed.status,
            answered=text is not None,
            error=reason if text is None else None,
            error_kind=None if reason is None else parsed.kind,
            validation_error=None if text is None else reason,
            raw_response=None if reason is None or text is None else printable(text),
            repair=parsed.repair,
            model_id=printable(output.model_id) or None,
            input_tokens=content.input_tokens,
            output_tokens=content.output_tokens,
            batch_input_tokens=content.input_tokens if in_batch else None,
            batch_output_tokens=content.output_tokens if in_batch else None,
            stop_reason=content.stop_reason,
            attempts=output.attempts,
            source=output.source,
            salvaged_from=output.salvaged_from,
            billing=None if in_batch else content.billing,
        )

    def _read(self, content: OutputContent, prefilled: bool) -> tuple[str, _Parsed]:
        """Return the text of an output and what it was parsed into."""
        try:
            text = content.text if content.tool_input is None else dump_json(content.tool_input)
        except ValueError as error:
            return content.text, _Parsed("json_failed", reason=f"the tool's input {error}", kind="json_failed")
        stop_reason = (content.stop_reason or "").casefold()
        if stop_reason in BROKEN_STOP_REASONS:
            reason = f"stop reason {stop_reason}: the answer is incomplete and was not parsed"
            return text, _Parsed("json_failed", reason=reason, kind=stop_reason)
        if not text.strip():
            return text, _Parsed("json_failed", reason="the answer has no text", kind="no_text")
        return text, self._parse_text(text, prefilled, is_complete(stop_reason))

    def _parse_text(self, text: str, prefilled: bool, complete: bool) -> _Parsed:
        """Parse the text, then its outer object, then repairs of that object, until one of them is JSON.

        An object inside the outer one is never tried. Only a `complete` answer is repaired by adding what is missing.
        """
        parsed = first = self._attempt(_as_prefilled(text) if prefilled else text, "none")
        found = find_outer_object(text, prefilled) if parsed.status == "json_failed" else None
        if found is None:
            return parsed
        before, outer = found
        for repair, candidate in texts_to_parse(before, outer):
            parsed = self._attempt(candidate, repair)
            if parsed.status != "json_failed":
                return parsed
        return (self._repair(outer) if complete else None) or first

    def _attempt(self, candidate: str, repair: str) -> _Parsed:
        try:
            return _Parsed(self._success, self._accept(candidate), repair=repair)
        except MalformedJson as error:
            return _Parsed("json_failed", reason=shorten(str(error), _REASON_LIMIT), kind="json_failed")
        except SchemaMismatch as error:
            return _Parsed("validation_failed", reason=shorten(str(error), _REASON_LIMIT), kind="validation_failed")

    def _repair(self, outer: str) -> _Parsed | None:
        """Return the fields that json_repair finds in the outer object, or None if they are invalid or all null.

        json_repair makes an object of nearly any text, and a schema with only optional fields accepts an empty one.
        """
        try:
            fields = self._accept(repair_object(without_trailing_prose(outer)))
        except ValueError:
            return None
        if all(value is None for value in fields.values()):
            return None
        return _Parsed(self._success, fields, repair="json_repair")


def _accept_object(text: str) -> dict[str, Any]:
    """Return the text of a JSON object as the only field of an answer; MalformedJson for any other text."""
    try:
        parse_object(text)
    except ValueError as error:
        raise MalformedJson(str(error)) from None
    return {RESPONSE_FIELD: printable(text.strip())}


def _accept_objects(texts: Iterable[str]) -> list[dict[str, Any] | None]:
    return [_object_or_none(text) for text in texts]


def _object_or_none(text: str) -> dict[str, Any] | None:
    try:
        return _accept_object(text)
    except MalformedJson:
        return None


def _as_prefilled(text: str) -> str:
    return text if text[:1] == "{" or text.lstrip()[:1] == "{" else "{" + text
