"""The answers of the local models: deterministic per model and prompt, and valid for the schema of the request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from local_bedrock.answers.samples import Sampler, SchemaCompiler
from local_bedrock.behaviour import Behaviour
from local_bedrock.body_checks import BodyError
from local_bedrock.draws import Draw, Lottery
from local_bedrock.jsonio import dump_json
from local_bedrock.questions import Answer, Question, StopReason

AnswerSource = Mapping[str, Any] | Path | Callable[[str, Question], "str | Mapping[str, Any]"] | None
"""A JSON schema, the path of one, or a function from (model id without prefix, question) to text or an object."""

_FREE_TEXT = "The local model read {count} characters and has no schema to answer by ({identity})."
_THOUGHT = "Consider what is asked, then answer in the form that is asked for."
_NO_SYNTAX = str.maketrans("", "", '{}"')
_INVALID = {"unexpected": "this value is not what the schema asks for"}


class Answerer:
    """Answers questions. The same question to the same model always gets the same answer."""

    def __init__(self, behaviour: Behaviour, source: AnswerSource = None) -> None:
        self._behaviour = behaviour
        self._function = source if callable(source) else None
        schema = json.loads(source.read_text(encoding="utf-8")) if isinstance(source, Path) else source
        self._sampler = self._compile(schema) if isinstance(schema, Mapping) else None
        shares = behaviour.answers
        self._lottery = Lottery(
            [(name, getattr(shares, name)) for name in shares.__dataclass_fields__], behaviour.seed, "answer"
        )
        self._sampler_of_text = lru_cache(maxsize=256)(self._compile_text)
        self._sampler_in_system = lru_cache(maxsize=256)(self._embedded)

    def answer(self, model: str, question: Question, thinks: bool = False) -> Answer:
        """Answer one question as `model` (a model id without profile prefix)."""
        draw = Draw.of(self._behaviour.seed, model, question.system, question.prompt)
        identity = f"{draw.below(1 << 48):012x}{draw.below(1 << 48):012x}"
        fault = self._lottery.draw(identity)
        content = self._content(model, question, draw, identity)
        if fault == "invalid" and isinstance(content, dict) and content:
            content = {**content, draw.choice(list(content)): _INVALID}
        input_tokens = estimate_tokens(question.system, question.prompt)
        thought = _THOUGHT if thinks else None
        if fault == "refused":
            return Answer("", "refusal", input_tokens, 1, identity, thought=thought)
        tool = _chosen_tool(question)
        if tool is not None:
            value = _read_object(content) if isinstance(content, str) else content
            return _tool_answer(tool, value, question, input_tokens, identity, thought)
        text = content if isinstance(content, str) else dump_json(content).decode()
        text = _continue_prefill(_disfigure(text, fault, draw), question.prefill)
        return _text_answer(text, question, fault, input_tokens, identity, thought)

    def _content(self, model: str, question: Question, draw: Draw, identity: str) -> str | dict[str, Any]:
        if self._function is not None:
            given = self._function(model, question)
            return given if isinstance(given, str) else dict(given)
        sampler = self._find_sampler(question)
        if sampler is None:
            text = _FREE_TEXT.format(count=len(question.prompt), identity=identity[:8])
            return {"answer": text} if question.prefill else text  # a model continues the object that the prefill opens
        content = sampler(draw)
        return content if isinstance(content, dict) else json.dumps(content)

    def _find_sampler(self, question: Question) -> Sampler | None:
        if self._sampler is not None:
            return self._sampler
        tool = _chosen_tool(question)
        requested = question.tools[tool] if tool is not None else question.output_schema
        if requested is not None:
            text = requested if isinstance(requested, str) else dump_json(requested).decode()
            return self._sampler_of_text(text)
        found = self._sampler_in_system(question.system)
        return found if found is not None else self._embedded(question.prompt)

    def _embedded(self, text: str) -> Sampler | None:
        schema = find_schema(text)
        return None if schema is None else self._sampler_of_text(dump_json(schema).decode())

    def _compile_text(self, text: str) -> Sampler:
        try:
            return self._compile(json.loads(text))
        except (ValueError, TypeError, AttributeError, LookupError, re.error, RecursionError) as error:
            raise BodyError(f"The JSON schema of the request cannot be answered: {error}") from error

    def _compile(self, schema: Mapping[str, Any]) -> Sampler:
        return SchemaCompiler(schema, self._behaviour.omit_optional_share).compile()


def find_schema(text: str) -> dict[str, Any] | None:
    """Return the first JSON object in `text` that has `properties`, or None."""
    if '"properties"' not in text:
        return None
    decoder = json.JSONDecoder()
    position = text.find("{")
    while position >= 0:
        try:
            found, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            found, end = None, position + 1
        if isinstance(found, dict) and isinstance(found.get("properties"), dict):
            return found
        position = text.find("{", end)
    return None


def estimate_tokens(*texts: str) -> int:
    """Return the number of tokens by a simple rule: one per four characters, at least one."""
    return max(1, sum(map(len, texts)) // 4)


def _chosen_tool(question: Question) -> str | None:
    if not question.tools or question.tool_choice == "none":
        return None
    if question.has_tool_result and not question.forces_tool:
        return None
    wanted = (question.tool_choice or "").removeprefix("tool:")
    return wanted if wanted in question.tools else next(iter(question.tools))


def _read_object(text: str) -> dict[str, Any]:
    """Parse the object in a text answer that becomes the input of a tool."""
    try:
        value = json.loads(text[text.find("{") : text.rfind("}") + 1])
    except ValueError:
        value = text
    return value if isinstance(value, dict) else {"value": value}


def _disfigure(text: str, fault: str | None, draw: Draw) -> str:
    match fault:
        case "fenced":
            return f"```json\n{text}\n```"
        case "prose":
            return f"Here is the answer in the form you asked for:\n\n{text}\n\nLet me know if you need anything else."
        case "typographic_quotes":
            return _insert_in_string(text, ' „gut" gesagt', draw)
        case "line_separator":
            return _insert_in_string(text, " \u2028 ", draw)
        case "not_json":
            return "I looked at the text and could not decide. " + text.translate(_NO_SYNTAX)[:40]
        case _:
            return text


def _insert_in_string(text: str, piece: str, draw: Draw) -> str:
    """Insert `piece` at a space inside one of the strings of a JSON text. Only free text contains spaces."""
    inside = escaped = False
    places = []
    for i, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            inside = not inside
        elif character == " " and inside:
            places.append(i)
    if not places:
        return text
    place = draw.choice(places)
    return text[:place] + piece + text[place:]


def _continue_prefill(text: str, prefill: str | None) -> str:
    """Return the text that follows the assistant's prefill.

    If the prefill opens a JSON object, that is the rest of the object.
    """
    if not prefill:
        return text
    start = text.find("{")
    opening = prefill.rstrip()
    if start >= 0 and opening.endswith("{"):
        return text[start + 1 :]
    return text[len(prefill) :] if text.startswith(prefill) else text


def _text_answer(
    text: str, question: Question, fault: str | None, input_tokens: int, identity: str, thought: str | None
) -> Answer:
    stop_reason: StopReason = "end_turn"
    stopped_at = None
    for stop in question.stop_sequences:
        if stop and stop in text:
            text, stop_reason, stopped_at = text.partition(stop)[0], "stop_sequence", stop
    room = question.max_tokens * 4 if question.max_tokens is not None else len(text)
    if fault == "truncated":
        room = min(room, len(text) * 2 // 3)
    if len(text) > room:
        text, stop_reason, stopped_at = text[:room], "max_tokens", None
    return Answer(
        text, stop_reason, input_tokens, estimate_tokens(text), identity, thought=thought, stopped_at=stopped_at
    )


def _tool_answer(
    tool: str, value: dict[str, Any], question: Question, input_tokens: int, identity: str, thought: str | None
) -> Answer:
    output_tokens = estimate_tokens(dump_json(value).decode())
    if question.max_tokens is not None and output_tokens > question.max_tokens:
        cut = dict(list(value.items())[: len(value) // 2])
        return Answer("", "max_tokens", input_tokens, question.max_tokens, identity, tool, cut, thought)
    return Answer("", "tool_use", input_tokens, output_tokens, identity, tool, value, thought)
