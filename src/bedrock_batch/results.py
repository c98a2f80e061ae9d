"""Result files of a job: every record that was sent gets its answer, or the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bedrock_batch.job_answers import JobAnswers
from bedrock_batch.jsonl import OutputLine, parse_output_line
from bedrock_batch.model_input import prompt_of
from bedrock_batch.plain_lines import PlainLines
from bedrock_batch.records import ModelAnswer, ModelInvocationOutput, RecordError, record_number
from bedrock_batch.staging import prompt_check
from bedrock_batch.text import shorten

_RECORD_ID = re.compile(rb'"recordId"\s*:\s*"(R\d{10})"')
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")
# Codes of a record's error after which asking again unchanged can help; every other 4xx is about the request itself.
_RETRYABLE_CODES = frozenset({408, 409, 424, 429})

# A job's message stands in each of its rows.
REASON_LIMIT = 300
# With a smaller one the lines of a file take three times as long to read.
_FILE_BUFFER = 1 << 20
# Lines are taken together that the cache of a processor holds.
_LINES_TOGETHER = 1 << 17

# Why a record of a job has no line, and what its error column says.
UNANSWERED = {
    "missing": "the batch job ended without a result for this record",
    "job_failed": "the batch job failed before it answered this record",
    "expired": "the batch job expired before it answered this record",
    "stopped": "the batch job was stopped before it answered this record",
    "out_of_time": "the batch job ran out of time before it answered this record",
    "cost_limit": "not asked: BEDROCK_MAX_COST_USD is reached",
    "not_submitted": "the batch job for this record could not be created",
}


@dataclass(slots=True)
class ResultCounts:
    """What the lines of a job's result files were, and how many records had none (`missing`).

    `unverified` are answers whose echo holds no prompt that could be compared with the one sent: they are kept, since
    their record id is right and a change of the echo must not buy every answer again.
    """

    lines: int = 0
    missing: int = 0
    unknown: int = 0
    repeated: int = 0
    unreadable: int = 0
    unverified: int = 0


@dataclass(slots=True)
class JobResults:
    """What a job left: the answers, by row number the errors of all other records that were sent, and the counts."""

    answers: JobAnswers
    errors: dict[int, RecordError] = field(default_factory=dict)
    counts: ResultCounts = field(default_factory=ResultCounts)


@dataclass(frozen=True, slots=True)
class SentRecords:
    """What a job was sent: row numbers with the CRC-32 of their prompts, and how the model was asked."""

    checks: Mapping[int, int]
    model_id: str
    prefilled: bool


def read_results(
    paths: Iterable[Path], sent: SentRecords, answers: JobAnswers, *, unanswered: str, reason: str = ""
) -> JobResults:
    """Read the result files of a job: its answers into `answers`, and an error for every other record sent.

    Lines are joined by record id alone, since their order is not guaranteed; of a repeated id the first answer is
    kept. `unanswered` is the kind of failure of a record without a line, a key of `UNANSWERED`; `reason` is what AWS
    says about the job.
    """
    reader = ResultReader(sent, answers)
    for path in paths:
        with path.open("rb", buffering=_FILE_BUFFER) as file:
            # A binary file ends its lines at \n alone: U+2028 and its like stand inside JSON strings.
            while lines := file.readlines(_LINES_TOGETHER):
                reader.take(lines)
    return reader.finish(unanswered, reason)


class ResultReader:
    """Takes the lines of a job's result files, in any order."""

    def __init__(self, sent: SentRecords, answers: JobAnswers) -> None:
        self._sent = sent
        self._awaited = dict(sent.checks)  # without those that have an answer or an error
        self._results = JobResults(answers)
        self._plain = PlainLines(self._awaited, answers, sent.model_id, sent.prefilled)

    def take(self, lines: Sequence[bytes]) -> None:
        """Take lines, the plain ones in a way of their own that is faster."""
        for line in self._plain.take(lines):
            self.take_line(line)

    def take_line(self, line: bytes) -> None:
        """Take a line of any kind."""
        if not line.strip():
            return
        counts, errors = self._results.counts, self._results.errors
        counts.lines += 1
        parsed = parse_output_line(line)
        number = _number_in(line) if parsed is None else parsed.number
        counts.unreadable += parsed is None
        if number is None or number not in self._sent.checks:
            counts.unknown += parsed is not None
            return
        counts.repeated += number not in self._awaited
        counts.unverified += parsed is not None and _is_unverified(parsed)
        output = _unreadable(number) if parsed is None else _output(parsed, number, self._sent)
        if number not in self._awaited and number not in errors:
            return  # answered before
        self._awaited.pop(number, None)
        if isinstance(output, RecordError):
            errors.setdefault(number, output)
        else:
            errors.pop(number, None)
            self._results.answers.add(output, len(line))

    def finish(self, unanswered: str, reason: str) -> JobResults:
        """Return what the lines came to, an error for every record that has none: see `read_results`."""
        results = self._results
        self._plain.flush()
        results.counts.lines += self._plain.count
        results.answers.flush()
        message = UNANSWERED[unanswered] + (f": {shorten(reason, REASON_LIMIT)}" if reason else "")
        for number in self._awaited:
            results.errors[number] = RecordError(number, unanswered, message, "batch")
        results.counts.missing = len(self._awaited)
        return results


def _is_unverified(line: OutputLine) -> bool:
    return line.model_output is not None and line.model_input is not None and prompt_of(line.model_input) is None


def _output(line: OutputLine, number: int, sent: SentRecords) -> ModelInvocationOutput:
    """Return the answer on a line, or why it has none."""
    echoed = None if line.model_input is None else prompt_of(line.model_input)
    if echoed is not None and prompt_check(echoed) != sent.checks[number]:
        return RecordError(number, "mismatched", "the result carries another record's input", "batch")
    if line.model_output is not None:
        return ModelAnswer(number, line.model_output, sent.model_id, "batch", prefilled=sent.prefilled)
    return _record_error(number, line.error or {}, sent)


def _record_error(number: int, error: Mapping[str, Any], sent: SentRecords) -> RecordError:
    kind = "expired" if error.get("expired") else f"batch_error_{_code_word(error.get('errorCode'))}"
    message = str(error.get("errorMessage") or "the batch job gave an error without a message for this record")
    return RecordError(number, kind, message, "batch", retryable=_is_retryable(error), model_id=sent.model_id)


def _code_word(code: Any) -> str:
    """Return an error code as a short word to count by; whatever is neither a number nor a name is `unknown`."""
    text = str(code)
    return text if isinstance(code, int | str) and _CODE.fullmatch(text) else "unknown"


def _is_retryable(error: Mapping[str, Any]) -> bool:
    """Whether a record's error can pass when the same record is asked again.

    The service marks it by `retryable`; a record out of time carries `expired`. Without a mark the code decides: a 4xx
    is about the request itself, all else is not.
    """
    if error.get("expired"):
        return True
    if isinstance(error.get("retryable"), bool):
        return bool(error["retryable"])
    code = error.get("errorCode")
    return not (isinstance(code, int) and 400 <= code < 500 and code not in _RETRYABLE_CODES)


def _unreadable(number: int) -> RecordError:
    return RecordError(number, "unreadable", "the record's line in the result file is not JSON", "batch")


def _number_in(line: bytes) -> int | None:
    match = _RECORD_ID.search(line)
    return record_number(match.group(1).decode("ascii")) if match else None
