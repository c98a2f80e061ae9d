"""The mode of a run, batch or real time, with the reasons for the decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bedrock_batch.aws.clients import sdk_version, supports
from bedrock_batch.environment.settings import Settings
from bedrock_batch.models.negotiation import NegotiatedModel


@dataclass(frozen=True, slots=True)
class Decision:
    """The mode of a run; `reasons` are the conditions that decided, each with the setting that changes it."""

    use_batch: bool
    reasons: tuple[str, ...]


def decide_mode(settings: Settings, count: int, of_model: Sequence[str] = ()) -> Decision:
    """Return whether `count` records are answered by batch inference, by the rule of `BEDROCK_BATCH_MODE`.

    `auto` chooses batch for at least `BEDROCK_BATCH_THRESHOLD` records with a role and both S3 paths, unless they are a
    sample. Obstacles (no
    role, no S3 path, fewer records than a job needs, `of_model`) rule out batch in the mode `batch`, too.
    """
    if settings.batch_mode == "realtime":
        return Decision(False, ("BEDROCK_BATCH_MODE=realtime",))
    if settings.takes_sample and settings.batch_mode == "auto":
        return Decision(False, ("a sample is asked in real time unless BEDROCK_BATCH_MODE=batch",))
    obstacles = (*batch_obstacles(settings, count), *of_model)
    if settings.batch_mode == "auto" and count < settings.batch_threshold:
        obstacles += (f"{count} records are fewer than BEDROCK_BATCH_THRESHOLD={settings.batch_threshold}",)
    if obstacles:
        return Decision(False, obstacles)
    return Decision(True, (f"{count} records, BEDROCK_BATCH_MODE={settings.batch_mode}, a role and both S3 paths",))


def batch_obstacles(settings: Settings, count: int) -> tuple[str, ...]:
    """Return what makes batch inference impossible for `count` records, each with the setting to change."""
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


def model_obstacles(model: NegotiatedModel, bedrock_client: Any) -> list[str]:
    """Return what in a model, or in how it must be asked, makes batch inference impossible."""
    able, obstacles = model.capabilities, []
    if able.batch is False:
        obstacles.append(f"the {able.family} family has no batch inference (BEDROCK_MODEL_CAPABILITIES says so)")
    needs_converse = model.current.invocation_type == "Converse"
    if needs_converse and not supports(bedrock_client, "CreateModelInvocationJob", "modelInvocationType"):
        obstacles.append(
            f"this model is asked through Converse, which in batch needs botocore 1.42.59 or newer; {sdk_version()} "
            "is installed"
        )
    return obstacles
