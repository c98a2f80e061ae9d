"""The questions of a batch job, in a file beside its ledger: another run sees by them whether to wait for the job."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

SCHEMA_VERSION = 1
DIGEST_BYTES = 16
_NUMBER, _CHECK = np.dtype("<i8"), np.dtype("<u4")
_RECORD_BYTES = _NUMBER.itemsize + _CHECK.itemsize + DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class JobQuestions:
    """How a job asks its model, and the number, the CRC-32 of the prompt and the question's digest of each record.

    `digests` has 16 bytes for each record.
    """

    frame: str
    model_id: str
    prefilled: bool
    numbers: npt.NDArray[np.int64]
    checks: npt.NDArray[np.uint32]
    digests: bytes

    @classmethod
    def of(
        cls, frame: str, model_id: str, prefilled: bool, numbers: Iterable[int], checks: Iterable[int], digests: bytes
    ) -> JobQuestions:
        """Return the questions of the records of a job file."""
        return cls(frame, model_id, prefilled, np.array(numbers, _NUMBER), np.array(checks, _CHECK), digests)

    def encode(self) -> bytes:
        """Return a line of JSON that says how the model is asked, and behind it the three columns."""
        head = {
            "schema_version": SCHEMA_VERSION,
            "records": len(self.numbers),
            "frame": self.frame,
            "model_id": self.model_id,
            "prefilled": self.prefilled,
        }
        columns = self.numbers.astype(_NUMBER).tobytes() + self.checks.astype(_CHECK).tobytes() + self.digests
        return json.dumps(head).encode("ascii") + b"\n" + columns


def questions_name(index: int, content_digest: str) -> str:
    """Return the name of the file with the questions of a job, which is told from an earlier one by its content."""
    return f"questions-{index:05d}-{content_digest[:16]}.bin"


def parse_job_questions(data: bytes) -> JobQuestions | None:
    """Return the questions in a stored file; None if it is damaged or of another version."""
    line, _, columns = data.partition(b"\n")
    try:
        head: dict[str, Any] = json.loads(line)
        version, count, prefilled = head["schema_version"], head["records"], head["prefilled"]
        frame, model_id = head["frame"], head["model_id"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    types = (type(count), type(prefilled), type(frame), type(model_id))
    if version != SCHEMA_VERSION or types != (int, bool, str, str) or len(columns) != count * _RECORD_BYTES:
        return None
    checks_at, digests_at = count * _NUMBER.itemsize, count * (_NUMBER.itemsize + _CHECK.itemsize)
    return JobQuestions(
        frame,
        model_id,
        prefilled,
        np.frombuffer(columns, _NUMBER, count),
        np.frombuffer(columns, _CHECK, count, checks_at),
        columns[digests_at:],
    )
