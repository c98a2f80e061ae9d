"""What travels between the parts: a record to ask, the model's answer or its failure, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Source = Literal["batch", "realtime"]
ParseStatus = Literal["success", "json_only", "validation_failed", "json_failed", "error"]

RECORD_ID_WIDTH = 10
_RECORD_ID = f"R%0{RECORD_ID_WIDTH}d"


def record_id(number: int) -> str:
    """Return the record id of a row: `R` and ten digits.

    Eleven characters of `[A-Za-z0-9]` satisfy every version of AWS's description of `recordId`
    (https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-data.html).
    """
    return _RECORD_ID % number


def record_number(record_id: str) -> int | None:
    """Return the row number that a record id names, or None when it is not an id of ours."""
    digits = record_id[1:]
    is_ours = len(digits) == RECORD_ID_WIDTH and record_id[0] == "R" and digits.isascii() and digits.isdigit()
    return int(digits) if is_ours else None


# Values by use, but not frozen: up to one of each is made for every row, and `frozen` makes that three times as slow
# (2.4 against 0.8 microseconds for an Outcome).
@dataclass(slots=True)
class ModelInvocationRecord:
    """One row on its way to the model: its number in the run (from 0) and its rendered prompt."""

    number: int
    prompt: str

    @property
    def record_id(self) -> str:
        return record_id(self.number)


@dataclass(slots=True)
class ModelAnswer:
    """The body that the model answered with, as the service gave it.

    `prefilled` says that the request ended with the assistant's `{`, so that the text starts behind it.
    `salvaged_from` is the cause that sent a record of a batch run to real time, as `RecordError.kind`.
    """

    number: int
    body: dict[str, Any]
    model_id: str
    source: Source
    attempts: int = 1
    prefilled: bool = False
    salvaged_from: str | None = None


@dataclass(frozen=True, slots=True)
class RecordError:
    """The reason why a record has no answer.

    `kind` is a short stable word for counting (`throttled`, `validation`, `missing`, ...); `message` is AWS's text
    or ours, without row text; `retryable` says whether asking again unchanged can help.
    """

    number: int
    kind: str
    message: str
    source: Source
    retryable: bool = True
    attempts: int = 1
    model_id: str = ""
    salvaged_from: str | None = None


ModelInvocationOutput = ModelAnswer | RecordError


@dataclass(slots=True)
class Outcome:
    """What a row gets in its output columns.

    `fields` holds every field of the schema in order (None where there is no value). `error` is set exactly when no
    answer could be had (`answered` is False, `parse_status` is `error`); why an answer could not be used stands in
    `validation_error`, and its text in `raw_response`.
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
    """The part of the tokens that was used in batch; the rest was used in real time."""
    batch_output_tokens: int | None = None
    stop_reason: str | None = None
    attempts: int = 1
    source: Source = "realtime"
    salvaged_from: str | None = None

    @property
    def status(self) -> Literal["success", "error"]:
        return "success" if self.answered else "error"

    @property
    def validation_passed(self) -> bool:
        return self.parse_status == "success"


class Manifest(BaseModel):
    """The totals of `manifest.json.out`, which a job writes beside its results.

    https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-results.html
    """

    model_config = ConfigDict(populate_by_name=True, extra="ignore", frozen=True)

    total_record_count: int | None = Field(default=None, alias="totalRecordCount")
    processed_record_count: int | None = Field(default=None, alias="processedRecordCount")
    success_record_count: int | None = Field(default=None, alias="successRecordCount")
    error_record_count: int | None = Field(default=None, alias="errorRecordCount")
    input_token_count: int | None = Field(default=None, alias="inputTokenCount")
    output_token_count: int | None = Field(default=None, alias="outputTokenCount")
