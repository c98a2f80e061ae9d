"""The document of a ledger, as it is stored."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bedrock_batch.errors import RunError

SCHEMA_VERSION = 1
JobProgress = Literal["planned", "uploaded", "created", "ended", "collected", "refused"]


class JobEntry(BaseModel):
    """One job: the rows it stands for, the digest of its file, how far it is and what became of it.

    Records whose line is longer than `max_bytes` were left out. `planned` is written before the upload, `uploaded`
    before the creation, `created` with the ARN after it. `refused` is a job that the service would not create.
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


class LedgerDocument(BaseModel):
    """A run: its identity, who works on it, and its jobs in the order of their rows.

    `owner` is the process that works on the run, None when none does; `beat` grows with every write, so that a reader
    can tell whether the owner is alive without comparing clocks.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA_VERSION
    run_id: str
    parts: dict[str, str]
    mode: Literal["batch", "realtime"] | None = None
    owner: str | None = None
    beat: int = 0
    finished: bool = False
    jobs: list[JobEntry] = Field(default_factory=list)


def parse_document(data: bytes, where: str) -> LedgerDocument:
    """Return a stored document; RunError, naming the place and what to do, when it cannot be continued."""
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
