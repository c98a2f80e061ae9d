"""The values of a row's journey: record, model output or record error, and answer."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Source = Literal["batch", "realtime"]
AnswerSource = Literal["batch", "realtime", "store"]
"""How an answer came: from a batch job, in real time, or from the answer store, which an earlier run has paid."""
ParseStatus = Literal["success", "json_only", "validation_failed", "json_failed", "error"]

JobErrorKind = Literal[
    "missing",
    "job_failed",
    "expired",
    "stopped",
    "out_of_time",
    "not_submitted",
    "not_batchable",
    "unreadable",
    "mismatched",
    "cost_limit",
]
"""Why a record of a batch run has no answer, unless the service gives the reason itself (see `RecordError.kind`)."""

# The one field of an answer in a run without a schema: the JSON object as text.
RESPONSE_FIELD = "response"

RECORD_ID_WIDTH = 10
_RECORD_ID = f"R%0{RECORD_ID_WIDTH}d"
_ORIGINAL_ID = "record_"


def record_id(number: int) -> str:
    """Return the record id of a row: `R` and ten digits.

    Eleven characters of `[A-Za-z0-9]` satisfy every version of AWS's description of `recordId`
    (https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-data.html).
    """
    return _RECORD_ID % number


def record_number(record_id: str) -> int | None:
    """Return the row number that a record id names, or None if it is not an id of this step."""
    digits = record_id[1:]
    is_ours = len(digits) == RECORD_ID_WIDTH and record_id[0] == "R" and digits.isascii() and digits.isdigit()
    return int(digits) if is_ours else None


def row_position(record_id: str) -> int | None:
    """Return the row number in an id of this step or in `record_{position}`, the id of the original script."""
    number = record_number(record_id)
    if number is not None:
        return number
    prefix, digits = record_id[: len(_ORIGINAL_ID)], record_id[len(_ORIGINAL_ID) :]
    is_position = prefix == _ORIGINAL_ID and digits.isascii() and digits.isdigit() and len(digits) <= RECORD_ID_WIDTH
    return int(digits) if is_position else None


# Treated as values but not frozen: one is made for every row, and a frozen dataclass takes three times as long to make.
@dataclass(slots=True)
class Record:
    """One row to ask the model about: its number in the run (from 0) and its rendered prompt."""

    number: int
    prompt: str

    @property
    def record_id(self) -> str:
        return record_id(self.number)


@dataclass(slots=True)
class ModelOutput:
    """The response body of the model, as the service returned it.

    `prefilled` says that the request ended with the assistant's `{`, which the text therefore lacks. `frame` is the
    frame in which the model was asked (see `models.question_frame`), empty if it is unknown.
    `salvaged_from` is the `RecordError.kind` that sent a record of a batch run to the real-time fallback.
    """

    number: int
    body: dict[str, Any]
    model_id: str
    source: AnswerSource
    attempts: int = 1
    prefilled: bool = False
    salvaged_from: str | None = None
    frame: str = ""


@dataclass(frozen=True, slots=True)
class RecordError:
    """The reason why a record has no answer.

    `kind` is a stable word for counting: a JobErrorKind, an ErrorKind of `aws`, or `batch_error_` and the code that a
    job gave. `message` is the text of AWS or of the step, without row text. `retryable` says whether the same request
    can succeed later.
    """

    number: int
    kind: str
    message: str
    source: Source
    retryable: bool = True
    attempts: int = 1
    model_id: str = ""
    salvaged_from: str | None = None


RecordOutput = ModelOutput | RecordError


@dataclass(frozen=True, slots=True)
class Billing:
    """How the tokens of a real-time answer are billed: the service tier that served it, and the use of a prompt cache.

    `tier` is empty if the service did not name it. The tokens of the cache are part of the input tokens.
    """

    tier: str = ""
    cache_read: int = 0
    cache_write: int = 0
    """Tokens that were written into the cache for five minutes."""
    cache_write_1h: int = 0


@dataclass(slots=True)
class Answer:
    """What the parser made of a record's output: the values of the row's output columns.

    `fields` holds every field of the schema in order, None for a missing value. `error` is set if and only if there is
    no answer (`answered` is False and `parse_status` is `error`). An answer that could not be used has the reason in
    `validation_error` and its text in `raw_response`.
    """

    fields: dict[str, Any]
    parse_status: ParseStatus
    answered: bool
    error: str | None = None
    error_kind: str | None = None
    validation_error: str | None = None
    raw_response: str | None = None
    repair: str | None = None
    model_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    batch_input_tokens: int | None = None
    """The tokens that were used in batch; the others were used in real time."""
    batch_output_tokens: int | None = None
    stop_reason: str | None = None
    attempts: int = 1
    source: AnswerSource = "realtime"
    salvaged_from: str | None = None
    billing: Billing | None = None
    """None for an answer of the default service tier without a prompt cache."""

    @property
    def status(self) -> Literal["success", "error"]:
        return "success" if self.answered else "error"

    @property
    def validation_passed(self) -> bool:
        return self.parse_status == "success"

    @property
    def json_error(self) -> str | None:
        """Why the answer is no JSON that can be used: broken, cut off or withheld; None for every other answer."""
        return self.validation_error if self.parse_status == "json_failed" else None


class Manifest(BaseModel):
    """The totals of a job, from the `manifest.json.out` that it writes beside its results.

    https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-results.html
    """

    model_config = ConfigDict(populate_by_name=True, extra="ignore", frozen=True)

    total_record_count: int | None = Field(default=None, alias="totalRecordCount")
    processed_record_count: int | None = Field(default=None, alias="processedRecordCount")
    success_record_count: int | None = Field(default=None, alias="successRecordCount")
    error_record_count: int | None = Field(default=None, alias="errorRecordCount")
    input_token_count: int | None = Field(default=None, alias="inputTokenCount")
    output_token_count: int | None = Field(default=None, alias="outputTokenCount")


_VALIDATION = "validation-"


def validation_purpose(attempt: int) -> str:
    """Return the purpose of a validation retry, by which a journal tells it from the record's other requests."""
    return f"{_VALIDATION}{attempt}"


def attempt_of(purpose: str) -> int:
    """Return the number of the validation retry with this purpose, 0 for every other request."""
    return int(purpose.removeprefix(_VALIDATION)) if purpose.startswith(_VALIDATION) else 0


def prompt_check(prompt: str) -> int:
    """Return the CRC-32 of a prompt, by which a result under the wrong record id is noticed."""
    return zlib.crc32(prompt.encode("utf-8", "surrogatepass"))
