"""The stored form of a ledger."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bedrock_batch.errors import RunError

SCHEMA_VERSION = 4
"""Version 2 added `refused_model`, version 3 `lease`, version 4 `taken`. Older documents are read, and written as 4."""
_READABLE = frozenset({1, 2, 3})
JobProgress = Literal["planned", "uploaded", "created", "ended", "collected", "refused"]


class JobEntry(BaseModel):
    """A job: its rows, the digest of its job file, its progress and its results.

    `left_out` counts the records that were set aside, for example because their line is longer than `max_bytes`.
    `planned` is written before the upload, `uploaded` before the creation, `created` with the ARN after it. A `refused`
    job was not created; `refused_model` says that the service refused the model, so the fallback model gets its
    records.
    """

    model_config = ConfigDict(extra="forbid")

    index: int
    start: int
    stop: int
    records: int
    left_out: int
    bytes: int
    max_bytes: int | None = None
    content_digest: str
    name: str
    input_uri: str
    state: JobProgress = "planned"
    arn: str | None = None
    status: str | None = None
    message: str | None = None
    output_uri: str | None = None
    submit_time: str | None = None
    end_time: str | None = None
    results: dict[str, int] | None = None
    refused_model: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether the job was created, or refused by the service, and not only prepared."""
        return self.state not in ("planned", "uploaded")

    @property
    def has_ended(self) -> bool:
        """Whether a start has seen the end of the job, or its refusal."""
        return self.state in ("ended", "collected", "refused")

    @field_validator("submit_time", "end_time")
    @classmethod
    def _is_a_time(cls, value: str | None) -> str | None:
        if value is not None:
            datetime.fromisoformat(value)
        return value


class LedgerDocument(BaseModel):
    """A run: its identity, its owner, and its jobs in the order of their rows.

    `owner` is the process that works on the run, or None. `beat` grows with every write, so that a reader can see
    whether the owner is alive without comparing clocks. `taken` names the file that says which answers the run takes
    from the answer store; None if it takes none.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA_VERSION
    run_id: str
    parts: dict[str, str]
    mode: Literal["batch", "realtime"] | None = None
    owner: str | None = None
    beat: int = 0
    lease: float | None = Field(default=None, gt=0)
    finished: bool = False
    taken: str | None = None
    jobs: list[JobEntry] = Field(default_factory=list)


def encode_document(document: LedgerDocument) -> bytes:
    """Return a document in its stored form."""
    return document.model_dump_json(indent=1).encode("utf-8")


def parse_document(data: bytes, where: str) -> LedgerDocument:
    """Return the document in stored bytes; RunError, with its location and the next step, if it cannot be continued."""
    advice = "set BEDROCK_BATCH_RESUME=false to begin a new run, which pays again for what this one has answered"
    try:
        document = LedgerDocument.model_validate_json(data)
    except ValidationError as error:
        version = _version_in(data)
        if version is not None and version > SCHEMA_VERSION:
            raise RunError(
                f"the ledger {where} has version {version} and this step knows {SCHEMA_VERSION}: continue with the "
                f"newer version of the step, or {advice}"
            ) from None
        raise RunError(
            f"the ledger {where} is damaged ({error.error_count()} errors): restore it, or {advice}"
        ) from None
    if document.schema_version in _READABLE:
        document.schema_version = SCHEMA_VERSION
    if document.schema_version != SCHEMA_VERSION:
        raise RunError(
            f"the ledger {where} has version {document.schema_version} and this step knows {SCHEMA_VERSION}: continue "
            f"with the version of the step that wrote it, or {advice}"
        )
    return document


class _Versioned(BaseModel):
    schema_version: int


def _version_in(data: bytes) -> int | None:
    try:
        return _Versioned.model_validate_json(data).schema_version
    except ValidationError:
        return None
