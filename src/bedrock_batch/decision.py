"""Batch or real time: the decision for a run, with its reasons in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bedrock_batch.config import Settings


@dataclass(frozen=True, slots=True)
class Decision:
    """Which mode a run takes; `reasons` are the conditions that decided, each with what to set to change it."""

    use_batch: bool
    reasons: tuple[str, ...]


def decide_mode(settings: Settings, count: int, of_model: Sequence[str] = ()) -> Decision:
    """Return whether `count` records are answered by batch inference, by the rule of `BEDROCK_BATCH_MODE`.

    `auto` takes batch for a run of at least `BEDROCK_BATCH_THRESHOLD` records with a role and both S3 paths. What
    makes batch impossible (no role, no S3 path, fewer records than a job's minimum) decides in `batch` mode too.
    `of_model` are the obstacles that lie in the model or in how it must be asked.
    """
    if settings.batch_mode == "realtime":
        return Decision(False, ("BEDROCK_BATCH_MODE=realtime",))
    obstacles = (*batch_obstacles(settings, count), *of_model)
    if settings.batch_mode == "auto" and count < settings.batch_threshold:
        obstacles += (f"{count} records are fewer than BEDROCK_BATCH_THRESHOLD={settings.batch_threshold}",)
    if obstacles:
        return Decision(False, obstacles)
    return Decision(True, (f"{count} records, BEDROCK_BATCH_MODE={settings.batch_mode}, a role and both S3 paths",))


def batch_obstacles(settings: Settings, count: int) -> tuple[str, ...]:
    """Return what makes batch inference impossible for `count` records, each with what to set."""
    required = (
        ("BEDROCK_BATCH_ROLE_ARN", settings.batch_role_arn),
        ("BEDROCK_BATCH_INPUT_S3_PATH", settings.batch_input_s3_path),
        ("BEDROCK_BATCH_OUTPUT_S3_PATH", settings.batch_output_s3_path),
    )
    obstacles = [f"{name} is not set" for name, value in required if not value]
    if count < settings.min_records_per_job:
        obstacles.append(
            f"{count} records are fewer than a job needs, BEDROCK_MIN_RECORDS_PER_JOB={settings.min_records_per_job}"
        )
    return tuple(obstacles)
