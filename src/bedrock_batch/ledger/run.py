"""A run while this process works on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bedrock_batch.ledger.document import JobEntry
from bedrock_batch.ledger.ledger import Ledger

_JOBS_TOLD = 3


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What differs between runs of one processor: the rows of a block in real time, and the folder of local ledgers.

    Without a `state_folder`, a local ledger lasts only as long as the run.
    """

    batch_size: int | None = None
    state_folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A run that this process works on: how many rows it asks, a folder that lasts as long as it, and its ledger.

    `taken` counts its other rows, whose answers it takes from the answer store. `stopped_jobs` are the ARNs of jobs
    that were stopped because the run ended early and cannot be resumed.
    """

    count: int
    folder: Path
    ledger: Ledger
    options: RunOptions = field(default_factory=RunOptions)
    stopped_jobs: list[str] = field(default_factory=list)
    taken: int = 0


def describe_interrupted(
    jobs: Sequence[JobEntry], stopped: Collection[str], *, kept_in: str | None, resume: bool
) -> str:
    """Describe what an interrupted run leaves behind, what is kept, and what the next start does."""
    going_on = [job.arn for job in jobs if job.state == "created" and job.arn and job.arn not in stopped]
    parts = []
    if going_on:
        parts.append(f"{len(going_on)} batch jobs go on at AWS and are charged for ({_list(going_on)})")
    if unknown := [job.name for job in jobs if job.state == "uploaded"]:
        parts.append(f"{len(unknown)} batch jobs are ready and not known to be created ({_list(unknown)})")
    if stopped:
        parts.append(f"{len(stopped)} batch jobs were asked to stop; what they have answered is charged for")
    if not resume:
        parts.append("with BEDROCK_BATCH_RESUME=false the next start asks every record again")
    elif kept_in is None:
        parts.append("no folder or S3 path keeps the answers: the next start asks every record again")
    else:
        parts.append(
            f"the answers that have come are kept ({kept_in}), real-time requests that were under way are asked again; "
            "to continue, start the step again with the same inputs"
        )
    return "; ".join(parts)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_JOBS_TOLD]) + (", ..." if len(names) > _JOBS_TOLD else "")
