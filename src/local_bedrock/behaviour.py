"""The behaviour of the local Bedrock as data: quotas, durations of job phases, and faults to inject.

The classes are frozen. Every random choice depends on `seed`. `Behaviour.from_json` loads a behaviour from JSON.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

JobEnd = Literal[
    "Completed", "PartiallyCompleted", "FailedInValidating", "Failed", "Expired", "Stopped", "NeverStarts", "NeverEnds"
]
ManifestKind = Literal["right", "wrong", "absent"]


@dataclass(frozen=True, slots=True)
class Phases:
    """Seconds that a job spends in each status, divided by the server's `speed`."""

    submitted: float = 0.02
    validating: float = 0.02
    scheduled: float = 0.02
    in_progress: float = 0.05


@dataclass(frozen=True, slots=True)
class CallFault:
    """A fault in single calls of an operation.

    `operation` is an operation such as `Converse` or `S3.PutObject`, or a pattern such as `S3.*` or `*`. `calls` are
    the ordinals, from 1, of the faulty calls among those that match `operation`; empty means every call. `drop` closes
    the connection without a response. `body` is sent as the whole response, with `status` or 200. `when="after"` lets
    the service do its work first; together with `drop` the response is lost. `when="during"` breaks the event stream of
    ConverseStream and InvokeModelWithResponseStream behind its first `after_events` events; other calls ignore it.
    """

    operation: str
    calls: tuple[int, ...] = ()
    code: str = "ThrottlingException"
    message: str | None = None
    status: int | None = None
    retry_after: float | None = None
    drop: bool = False
    body: str | None = None
    when: Literal["before", "during", "after"] = "before"
    after_events: int = 3


@dataclass(frozen=True, slots=True)
class JobFault:
    """How a job ends and what it writes. The first fault in the list that matches a job applies.

    `ordinals` (from 1, in order of creation) and `name` (a regular expression that is searched in the job name) select
    jobs; without both, the fault applies to every job. `share` is the share of the records that are processed before
    the end; a job that `NeverEnds` is stuck there until it is stopped.
    """

    ordinals: tuple[int, ...] = ()
    name: str | None = None
    ends: JobEnd = "Completed"
    message: str | None = None
    share: float = 1.0
    writes_output: bool = True
    all_records_error: str | None = None
    output_parts: int = 1
    extra_objects: int = 0
    manifest: ManifestKind = "right"
    phases: Phases | None = None


@dataclass(frozen=True, slots=True)
class AnswerFaults:
    """Shares of answers that differ from the JSON that was asked for.

    The prompt decides which answers, so batch and real time give the same ones.
    """

    truncated: float = 0.0
    refused: float = 0.0
    fenced: float = 0.0
    prose: float = 0.0
    typographic_quotes: float = 0.0
    line_separator: float = 0.0
    invalid: float = 0.0
    not_json: float = 0.0


@dataclass(frozen=True, slots=True)
class RecordFaults:
    """Shares of batch records whose output line is faulty. The record id decides which records."""

    error: float = 0.0
    throttled: float = 0.0
    missing: float = 0.0
    repeated: float = 0.0
    unknown_id: float = 0.0
    not_json: float = 0.0
    invalid_utf8: float = 0.0
    wrong_echo: float = 0.0
    error_code: int = 400
    error_message: str = "bad request"
    error_retryable: bool = False


@dataclass(frozen=True, slots=True)
class Behaviour:
    """All settings of a local Bedrock. The default is a service without faults."""

    seed: int = 0
    phases: Phases = field(default_factory=Phases)
    min_records_per_job: int = 100
    max_records_per_job: int = 50_000
    max_input_file_bytes: int = 1024**3
    max_concurrent_jobs: int = 20
    refuse_duplicate_record_ids: bool = False
    entitled: bool = True
    not_batchable: tuple[str, ...] = ()
    closed_models: tuple[str, ...] = ()
    legacy_models: tuple[str, ...] = ()
    ends_of_life: Mapping[str, str] = field(default_factory=dict)
    no_service_tiers: tuple[str, ...] = ()
    reserved_models: tuple[str, ...] = ()
    denied_actions: tuple[str, ...] = ()
    application_profiles: Mapping[str, str] = field(default_factory=dict)
    omit_optional_share: float = 0.25
    latency_seconds: Mapping[str, float] = field(default_factory=dict)
    seconds_per_token: float = 0.0
    throttle_share: Mapping[str, float] = field(default_factory=dict)
    quota_exceeded_creates: int = 0
    calls: tuple[CallFault, ...] = ()
    jobs: tuple[JobFault, ...] = ()
    answers: AnswerFaults = field(default_factory=AnswerFaults)
    records: RecordFaults = field(default_factory=RecordFaults)

    def __post_init__(self) -> None:
        for name, shares in (("answers", self.answers), ("records", self.records)):
            values = [getattr(shares, each.name) for each in dataclasses.fields(shares) if type(each.default) is float]
            _require(min(values) >= 0 and sum(values) <= 1, name, "shares from 0 to 1 that add up to 1 at most", values)
        _require(self.seconds_per_token >= 0, "seconds_per_token", "0 or more", self.seconds_per_token)
        for i, fault in enumerate(self.jobs):
            _require(0 <= fault.share <= 1, f"jobs[{i}].share", "from 0 to 1", fault.share)
        for model_id, day in self.ends_of_life.items():
            _require(_is_day(day), f"ends_of_life.{model_id}", "a day as YYYY-MM-DD", day)

    @classmethod
    def from_json(cls, source: str | Path | Mapping[str, Any]) -> Behaviour:
        """Build a behaviour from a JSON file (a Path), JSON text or a mapping.

        Raise ValueError with the path of an unknown field or an invalid value.
        """
        if isinstance(source, Path):
            source = source.read_text(encoding="utf-8")
        data = json.loads(source) if isinstance(source, str) else source
        result = _build(cls, data, "behaviour")
        assert isinstance(result, cls)  # noqa: S101 - tells mypy what _build made
        return result


def _build(kind: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, path)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        _require(isinstance(value, list | tuple), path, "a list", value)
        return tuple(_build(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    if origin is Literal:
        _require(value in arguments, path, f"one of {', '.join(map(str, arguments))}", value)
        return value
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _build(arguments[0], value, path)
    if kind is float:
        _require(isinstance(value, int | float) and not isinstance(value, bool), path, "a number", value)
        return float(value)
    if kind in (int, str, bool):
        _require(type(value) is kind, path, f"of type {kind.__name__}", value)
        return value
    _require(isinstance(value, Mapping), path, "an object", value)
    return {name: _build(arguments[1], item, f"{path}.{name}") for name, item in value.items()}


def _build_dataclass(kind: Any, value: Any, path: str) -> Any:
    _require(isinstance(value, Mapping), path, "an object", value)
    hints = typing.get_type_hints(kind)
    known = [item.name for item in dataclasses.fields(kind)]
    for name in value:
        _require(name in known, f"{path}.{name}", f"one of the fields {', '.join(known)}", name)
    return kind(**{name: _build(hints[name], item, f"{path}.{name}") for name, item in value.items()})


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _require(condition: bool, path: str, expected: str, value: Any) -> None:
    if not condition:
        raise ValueError(f"{path} must be {expected}, not {value!r}")
