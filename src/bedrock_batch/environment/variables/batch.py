"""The variables of batch inference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bedrock_batch.environment.variables import value_types as values
from bedrock_batch.environment.variables.variable import Group

BATCH = Group("Batch inference")
BATCH_JOB = Group("Batch jobs: security and ownership")

BatchMode = Literal["auto", "batch", "realtime"]
BatchSpread = Literal["full", "even"]
BatchFallback = Literal["realtime", "error", "fail"]


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """When batch inference is used, how records are divided into jobs, and who owns the jobs."""

    batch_mode: BatchMode = BATCH.setting(
        values.choice(BatchMode),
        "auto: batch inference from BEDROCK_BATCH_THRESHOLD records on, if the role and the S3 paths are set; batch: "
        "always; realtime: never.",
        default="auto",
    )
    batch_threshold: int = BATCH.setting(
        values.integer(1), "The number of records of the run from which auto mode uses batch inference.", default="1000"
    )
    batch_role_arn: str = BATCH.setting(
        values.ROLE_ARN,
        "The service role that Bedrock assumes for the jobs. It must trust bedrock.amazonaws.com and be allowed to "
        "read and write the S3 paths.",
    )
    batch_input_s3_path: str = BATCH.setting(
        values.S3_PATH, "Where the step writes the jobs' input and the ledger of the run. A step builder sets it."
    )
    batch_output_s3_path: str = BATCH.setting(
        values.S3_PATH, "Where the jobs write their results. A step builder sets it."
    )
    batch_timeout_hours: int = BATCH.setting(
        values.integer(1, 168),
        "How long a job may take, waiting included, before AWS ends it. AWS's minimum is 24; a lower value is "
        "raised to it.",
        default="24",
    )
    max_records_per_job: int = BATCH.setting(
        values.integer(1),
        "Records per job, at most. AWS's quota was 50,000 for every model and is higher for some; a value above it "
        "gives a warning.",
        default="45000",
    )
    min_records_per_job: int = BATCH.setting(
        values.integer(1),
        "Records per job, at least: AWS's minimum. Fewer records are answered in real time.",
        default="100",
    )
    max_job_file_bytes: int = BATCH.setting(
        values.integer(1),
        "Bytes of a job's input file, at most, measured and not estimated (900 MiB; AWS's quota is 1 GB).",
        default="943718400",
    )
    max_concurrent_batch_jobs: int = BATCH.setting(
        values.integer(1),
        "Jobs in flight at a time. AWS's quota is 20 per model and region by default.",
        default="20",
    )
    batch_spread: BatchSpread = BATCH.setting(
        values.choice(BatchSpread),
        "full: fill each job up to its limits; even: divide the rows into equal jobs, as many as may be in flight.",
        default="full",
    )
    batch_poll_initial_seconds: float = BATCH.setting(
        values.PACE,
        "The first wait between two polls of a job; each wait is 1.2 times the one before.",
        default="10",
    )
    batch_poll_max_seconds: float = BATCH.setting(
        values.PACE, "The longest wait between two polls of a job.", default="60"
    )
    batch_fallback: BatchFallback = BATCH.setting(
        values.choice(BatchFallback),
        "What to do with records that batch inference did not answer: realtime (ask again in real time), error (keep "
        "them as failed), or fail (end the run with an error).",
        default="realtime",
    )
    batch_accept_lost_results: bool = BATCH.setting(
        values.BOOLEAN,
        "Give up results that AWS counted but that can no longer be read: BEDROCK_BATCH_FALLBACK applies to their "
        "records, which are paid for again. By default the run ends and says what to restore.",
        default="false",
    )
    batch_wait: bool = BATCH.setting(
        values.BOOLEAN,
        "true: wait until all batch jobs have ended; false: submit the jobs and end at once, with exit code 0 and no "
        "outputs. A later start with the same inputs collects the answers.",
        default="true",
    )
    deadline_hours: float | None = BATCH.setting(
        values.optional(values.HOURS),
        "The hours from the start of the step in which the outputs are needed. Records that jobs do not answer in time "
        "are asked in real time. Empty: wait as long as the jobs take.",
    )
    deadline: str = BATCH.setting(
        values.MOMENT, "The same as a time of day; the step ends with exit code 2 if it has passed."
    )
    batch_lease_seconds: float = BATCH.setting(
        values.PACE,
        "How long the heartbeat in a run's ledger must be silent before another process may take the run over.",
        default="60",
    )
    batch_resume: bool = BATCH.setting(
        values.BOOLEAN,
        "Continue an interrupted run of the same input and settings, without paying for a record twice.",
        default="true",
    )
    batch_job_name_prefix: str = BATCH.setting(
        values.JOB_NAME_PREFIX, "The prefix of the jobs' names.", default="cursus-bedrock-batch"
    )
    batch_kms_key_id: str = BATCH_JOB.setting(
        values.KMS_KEY_ID, "The KMS key that encrypts the jobs' input and results in S3."
    )
    batch_bucket_owner: str = BATCH_JOB.setting(
        values.ACCOUNT_ID,
        "The account that must own the buckets of both S3 paths; AWS requires it if that is another account.",
    )
    batch_tags: tuple[tuple[str, str], ...] = BATCH_JOB.setting(values.TAGS, "Tags of the jobs.", default="{}")
    batch_subnet_ids: tuple[str, ...] = BATCH_JOB.setting(
        values.network_ids(16), "Subnets of the VPC in which the jobs reach S3; needs the security groups too."
    )
    batch_security_group_ids: tuple[str, ...] = BATCH_JOB.setting(
        values.network_ids(5), "Security groups of that VPC; needs the subnets too."
    )
