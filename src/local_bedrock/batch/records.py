"""Processing of one input line: the output lines, and a note of what happened to the record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from local_bedrock.behaviour import Behaviour, JobFault
from local_bedrock.body_checks import BodyError
from local_bedrock.draws import Draw, Lottery
from local_bedrock.errors import AwsError
from local_bedrock.jsonio import dump_json, load_json
from local_bedrock.models.registry import Model, ModelRegistry
from local_bedrock.questions import Answer, Question, prompt_hash

Outcome = Literal["answered", "error", "missing", "repeated", "unknown_id", "not_json", "invalid_utf8", "wrong_echo"]
_FAULTS = ("error", "throttled", "missing", "repeated", "unknown_id", "not_json", "invalid_utf8", "wrong_echo")
_THROTTLED = {
    "errorCode": 429,
    "errorMessage": "Too many requests, please wait before trying again.",
    "retryable": True,
}


@dataclass(frozen=True, slots=True)
class Fate:
    """What happened to one record: its outcome, whether it was charged, and the hash of its prompt.

    Only `answered`, `repeated` and `wrong_echo` records have a usable answer in the output.
    """

    outcome: Outcome
    charged: bool
    prompt: str
    input_tokens: int = 0
    output_tokens: int = 0


class RecordProcessor:
    """Processes the records of one job."""

    def __init__(
        self,
        registry: ModelRegistry,
        model: Model,
        read: Callable[[Mapping[str, Any]], Question],
        write: Callable[[Answer], dict[str, Any]],
        behaviour: Behaviour,
        fault: JobFault,
    ) -> None:
        self._registry = registry
        self._model = model
        self._read = read
        self._write = write
        self._faults = behaviour.records
        self._all_error = fault.all_records_error
        shares = [(name, getattr(behaviour.records, name)) for name in _FAULTS]
        self._lottery = Lottery(shares, behaviour.seed, "record")

    def process(self, line: bytes) -> tuple[str, Fate, list[bytes]]:
        """Process one input line; return the record id, its fate and the output lines."""
        record = load_json(line)
        record_id = record.get("recordId")
        if not isinstance(record_id, str):
            record_id = _made_up_id(line)
        body = record.get("modelInput")
        error = self._error_by_fault(record_id)
        if error is not None:
            return self._failed(record_id, body, error)
        try:
            if not isinstance(body, dict):
                raise BodyError("modelInput: Field required")
            question = self._read(body)
            answer = self._registry.answer(self._model, question)
        except BodyError as refusal:
            return self._failed(record_id, body, _error(refusal.code, refusal.message, False))
        except AwsError as error_of_model:
            return self._failed(record_id, body, _error(error_of_model.status, error_of_model.message, True))
        document = {"recordId": record_id, "modelInput": body, "modelOutput": self._write(answer)}
        return self._answered(document, question, answer)

    def _error_by_fault(self, record_id: str) -> dict[str, Any] | None:
        if self._all_error is not None:
            return _error(400, self._all_error, False)
        match self._lottery.draw(record_id):
            case "error":
                faults = self._faults
                return _error(faults.error_code, faults.error_message, faults.error_retryable)
            case "throttled":
                return dict(_THROTTLED)
            case _:
                return None

    def _failed(self, record_id: str, body: Any, error: dict[str, Any]) -> tuple[str, Fate, list[bytes]]:
        line = dump_json({"recordId": record_id, "modelInput": body, "error": error})
        return record_id, Fate("error", False, ""), [line]

    def _answered(self, document: dict[str, Any], question: Question, answer: Answer) -> tuple[str, Fate, list[bytes]]:
        record_id = document["recordId"]
        outcome: Outcome = "answered"
        match self._lottery.draw(record_id):
            case "missing":
                outcome, lines = "missing", []
            case "repeated":
                line = dump_json(document)
                outcome, lines = "repeated", [line, line]
            case "unknown_id":
                outcome, lines = "unknown_id", [dump_json({**document, "recordId": _made_up_id(record_id.encode())})]
            case "not_json":
                line = dump_json(document)
                outcome, lines = "not_json", [line[: len(line) * 2 // 3]]
            case "invalid_utf8":
                outcome, lines = "invalid_utf8", [dump_json(document)[:-2] + b'\xff\xfe"}}']
            case "wrong_echo":
                outcome, lines = "wrong_echo", [dump_json({**document, "modelInput": {"messages": []}})]
            case _:
                lines = [dump_json(document)]
        charged = outcome != "missing"
        prompt = prompt_hash(question.prompt, question.system)
        return record_id, Fate(outcome, charged, prompt, answer.input_tokens, answer.output_tokens), lines


def _error(code: int, message: str, retryable: bool) -> dict[str, Any]:
    return {"errorCode": code, "errorMessage": message, "retryable": retryable}


def _made_up_id(data: bytes) -> str:
    draw = Draw(int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big"))
    return "".join(draw.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") for _ in range(11))
