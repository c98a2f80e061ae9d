"""Reading the result files of a job: every record that was sent gets its answer or an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bedrock_batch.answers.collector import AnswerCollector
from bedrock_batch.batch.results.fast_reader import FastResultReader
from bedrock_batch.batch.results.lines import OutputLine, parse_output_line
from bedrock_batch.models.model_input import prompt_of
from bedrock_batch.records import JobErrorKind, ModelOutput, RecordError, RecordOutput, prompt_check, record_number
from bedrock_batch.text import shorten

_RECORD_ID = re.compile(rb'"recordId"\s*:\s*"(R\d{10})"')
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")
# Codes of record errors that may pass when the same record is asked again; any other 4xx concerns the request itself.
_RETRYABLE_CODES = frozenset({408, 409, 424, 429})

# The message of a job is repeated in each of its rows.
REASON_LIMIT = 300
# A smaller buffer makes reading lines three times as slow.
_FILE_BUFFER = 1 << 20
# As many bytes of lines as fit into the cache of a processor.
_LINES_TOGETHER = 1 << 17

# Why a record of a job has no line, and what its error column says.
UNANSWERED: dict[JobErrorKind, str] = {
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
    """Counts of the lines of a job's result files, and of the records without a line (`missing`).

    `unverified` answers have an echo without a prompt to compare. They are kept, since their record id is right and a
    change of the echo's form must not buy every answer again.
    """

    lines: int = 0
    missing: int = 0
    unknown: int = 0
    repeated: int = 0
    unreadable: int = 0
    unverified: int = 0


@dataclass(slots=True)
class JobResults:
    """The results of a job: its answers, the errors of all other records by row number, and the counts of lines."""

    answers: AnswerCollector
    errors: dict[int, RecordError] = field(default_factory=dict)
    counts: ResultCounts = field(default_factory=ResultCounts)


@dataclass(frozen=True, slots=True)
class SentRecords:
    """The records of a job: row numbers with the CRC-32 of their prompts, and how the model was asked."""

    checks: Mapping[int, int]
    model_id: str
    prefilled: bool
    frame: str = ""


def read_results(
    paths: Iterable[Path], sent: SentRecords, answers: AnswerCollector, *, unanswered: JobErrorKind, reason: str = ""
) -> JobResults:
    """Read the result files of a job: its answers into `answers`, and an error for every other record sent.

    Lines are joined by record id, since their order is not guaranteed. The first answer to a repeated id is kept.
    `unanswered` is the kind of failure of a record without a line, a key of `UNANSWERED`; `reason` is AWS's message
    about the job.
    """
    reader = ResultReader(sent, answers)
    for path in paths:
        with path.open("rb", buffering=_FILE_BUFFER) as file:
            # Lines of a binary file end at \n alone; U+2028 and the like may occur inside JSON strings.
            while lines := file.readlines(_LINES_TOGETHER):
                reader.take(lines)
    return reader.finish(unanswered, reason)


def read_outputs(paths: Iterable[Path], sent: SentRecords, counts: ResultCounts) -> Iterator[ModelOutput]:
    """Yield the first output of each record in the result files of a job, as it came; count lines and missing records.

    Unlike `read_results` it parses no answer: what an answer is worth is left to the run that takes it.
    """
    answered: set[int] = set()
    seen: set[int] = set()
    for path in paths:
        with path.open("rb", buffering=_FILE_BUFFER) as file:
            for line in file:
                parsed = parse_output_line(line)
                number = None if parsed is None else parsed.number
                if parsed is None or number is None or number not in sent.checks:
                    continue
                counts.lines += 1
                counts.repeated += number in seen
                seen.add(number)
                output = _output(parsed, number, sent)
                if isinstance(output, ModelOutput) and number not in answered:
                    answered.add(number)
                    yield output
    counts.missing = len(sent.checks) - len(seen)


class ResultReader:
    """Reads the lines of a job's result files, in any order."""

    def __init__(self, sent: SentRecords, answers: AnswerCollector) -> None:
        self._sent = sent
        self._awaited = dict(sent.checks)  # without those that have an answer or an error
        self._results = JobResults(answers)
        self._plain = FastResultReader(self._awaited, answers, sent.model_id, sent.prefilled, sent.frame)

    def take(self, lines: Sequence[bytes]) -> None:
        """Read lines, most of them by the fast path."""
        for line in self._plain.take(lines):
            self.take_line(line)

    def take_line(self, line: bytes) -> None:
        """Read a line of any kind."""
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

    def finish(self, unanswered: JobErrorKind, reason: str) -> JobResults:
        """Return the results, with an error for every record without a line: see `read_results`."""
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


def _output(line: OutputLine, number: int, sent: SentRecords) -> RecordOutput:
    """Return the model output on a line, or the reason why there is none."""
    echoed = None if line.model_input is None else prompt_of(line.model_input)
    if echoed is not None and prompt_check(echoed) != sent.checks[number]:
        return RecordError(number, "mismatched", "the result carries another record's input", "batch")
    if line.model_output is not None:
        return ModelOutput(
            number, line.model_output, sent.model_id, "batch", prefilled=sent.prefilled, frame=sent.frame
        )
    return _record_error(number, line.error or {}, sent)


def _record_error(number: int, error: Mapping[str, Any], sent: SentRecords) -> RecordError:
    kind = "expired" if error.get("expired") else f"batch_error_{_code_word(error.get('errorCode'))}"
    message = str(error.get("errorMessage") or "the batch job gave an error without a message for this record")
    return RecordError(number, kind, message, "batch", retryable=_is_retryable(error), model_id=sent.model_id)


def _code_word(code: Any) -> str:
    """Return an error code as a short word for counting, `unknown` for anything that is neither a number nor a name."""
    text = str(code)
    return text if isinstance(code, int | str) and _CODE.fullmatch(text) else "unknown"


def _is_retryable(error: Mapping[str, Any]) -> bool:
    """Return whether a record's error may pass when the same record is asked again.

    The service marks that with `retryable`, and a record that ran out of time with `expired`. Without a mark the code
    decides: a 4xx concerns the request itself.
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
